//! Log lines: one JSON object each, without personal data.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use prost_types::Timestamp;
use serde_json::{Map, Value, json};

use crate::instants::{now_us, timestamp};

/// So many lines wait for a slow reader; more are dropped and counted.
const WAITING_LINES: usize = 4096;

/// Where lines go, written by a thread of its own: a reader who stalls never holds up a call.
#[derive(Clone)]
pub struct LogLines {
    lines: SyncSender<String>,
    dropped: Arc<AtomicU64>,
    /// Whether calls that went well are logged too.
    all_calls: bool,
}

impl LogLines {
    /// To standard error; of the calls, those that failed or took a second.
    #[must_use]
    pub fn stderr() -> Self {
        Self::to(std::io::stderr())
    }

    /// To any writer.
    #[must_use]
    pub fn to(mut writer: impl Write + Send + 'static) -> Self {
        let (lines, waiting) = sync_channel::<String>(WAITING_LINES);
        thread::spawn(move || {
            for line in waiting {
                // Nobody is left to tell if the log cannot be written.
                let _ = writer.write_all(line.as_bytes()).and_then(|()| writer.flush());
            }
        });
        Self { lines, dropped: Arc::default(), all_calls: false }
    }

    /// To memory, for tests and for embedding.
    #[must_use]
    pub fn to_memory(kept: Arc<Mutex<Vec<u8>>>) -> Self {
        Self::to(Memory(kept))
    }

    /// The same, with a line for every call.
    #[must_use]
    pub fn with_all_calls(self) -> Self {
        Self { all_calls: true, ..self }
    }

    pub(crate) fn all_calls(&self) -> bool {
        self.all_calls
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes one line; `fields` hold no personal data.
    pub(crate) fn line(&self, level: &'static str, event: &'static str, fields: Value) {
        let time: Timestamp = timestamp(now_us());
        let mut line = Map::new();
        line.insert("time".to_owned(), json!(time.to_string()));
        line.insert("level".to_owned(), json!(level));
        line.insert("event".to_owned(), json!(event));
        if let Value::Object(fields) = fields {
            line.extend(fields);
        }
        if self.lines.try_send(format!("{}\n", Value::Object(line))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for LogLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLines").field("all_calls", &self.all_calls).finish_non_exhaustive()
    }
}

struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
