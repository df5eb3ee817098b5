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
/// So many calls that failed or were slow have a line in one second; when everything is refused, lines would be most of the
/// work. The metrics count all of them.
const CALL_LINES_A_SECOND: u64 = 100;
/// Bits of a number of lines beside the second that it is of.
const COUNT_BITS: u32 = 16;

/// Where lines go, written by a thread of its own: a reader who stalls never holds up a call.
#[derive(Clone)]
pub struct LogLines {
    lines: SyncSender<String>,
    dropped: Arc<AtomicU64>,
    /// The second in which a call was last logged, and how many were in it.
    call_lines: Arc<AtomicU64>,
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
        Self { lines, dropped: Arc::default(), call_lines: Arc::default(), all_calls: false }
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

    /// Whether one more call may have a line in this second; if not, that counts as a dropped line.
    pub(crate) fn has_room_for_a_call(&self) -> bool {
        let second = now_us().max(0) as u64 / 1_000_000;
        let next = |last: u64| match last >> COUNT_BITS == second {
            true if last & ((1 << COUNT_BITS) - 1) >= CALL_LINES_A_SECOND => None,
            true => Some(last + 1),
            false => Some(second << COUNT_BITS | 1),
        };
        let has_room = self.call_lines.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok();
        if !has_room {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        has_room
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_room_for_so_many_calls() {
        let log = LogLines::to(std::io::sink());
        let allowed = (0..10_000).filter(|_| log.has_room_for_a_call()).count() as u64;
        // The clock may go on to the next second meanwhile, but hardly to a third.
        assert!((CALL_LINES_A_SECOND..=3 * CALL_LINES_A_SECOND).contains(&allowed), "{allowed}");
        assert_eq!(log.dropped(), 10_000 - allowed);
    }
}
