//! One call from its headers to the end of its answer: counted, timed and logged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use http::HeaderMap;
use serde_json::json;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};
use tonic::Code;

use crate::limits::Unread;
use crate::log::LogLines;
use crate::methods::METHODS;
use crate::metrics::{Metrics, code_name};

/// A call that takes this long is logged even if it went well.
const SLOW_MS: u128 = 1_000;

/// How a caller is connected; all that the log says of it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PeerKind {
    Loopback,
    Remote,
    RemoteTls,
}

impl PeerKind {
    fn name(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Remote => "remote",
            Self::RemoteTls => "remote-tls",
        }
    }
}

/// A connection, as its calls know it.
#[derive(Debug)]
pub(crate) struct Peer {
    kind: PeerKind,
    begun: AtomicUsize,
    under_way: AtomicUsize,
    hang_up: Notify,
}

/// Kept while an answer is to be read.
pub(crate) struct ReadInTime {
    _unread: Unread,
    _told: oneshot::Sender<()>,
}

impl Peer {
    pub(crate) fn new(kind: PeerKind) -> Arc<Self> {
        Arc::new(Self { kind, begun: AtomicUsize::new(0), under_way: AtomicUsize::new(0), hang_up: Notify::new() })
    }

    /// Waits until this is somebody to hang up on.
    pub(crate) async fn is_to_go(&self) {
        self.hang_up.notified().await;
    }

    /// Hangs up on a peer who has not read an answer in time. Nothing else would end it: what a peer leaves no window for is
    /// not even asked whether it has come to its deadline.
    pub(crate) fn hang_up_unless_read(self: &Arc<Self>, unread: Unread, patience: Duration) -> ReadInTime {
        let (told, read) = oneshot::channel::<()>();
        let peer = Arc::clone(self);
        tokio::spawn(async move {
            if timeout(patience, read).await.is_err() {
                peer.hang_up.notify_one();
            }
        });
        ReadInTime { _unread: unread, _told: told }
    }

    /// Whether it ever called.
    pub(crate) fn has_called(&self) -> bool {
        self.begun.load(Relaxed) > 0
    }

    /// Whether none of its calls is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.load(Relaxed) == 0
    }
}

/// The record of one call; it ends when this is dropped, as cancelled unless something else was known by then.
pub(crate) struct Call {
    method: Option<usize>,
    peer: Arc<Peer>,
    began: Instant,
    code: Option<Code>,
    metrics: Arc<Metrics>,
    log: LogLines,
}

impl Call {
    pub(crate) fn begin(method: Option<usize>, peer: &Arc<Peer>, metrics: &Arc<Metrics>, log: &LogLines) -> Self {
        metrics.call_begins(method);
        peer.begun.fetch_add(1, Relaxed);
        peer.under_way.fetch_add(1, Relaxed);
        let (peer, metrics, log) = (Arc::clone(peer), Arc::clone(metrics), log.clone());
        Self { method, peer, began: Instant::now(), code: None, metrics, log }
    }

    pub(crate) fn ends_with(&mut self, code: Code) {
        self.code.get_or_insert(code);
    }

    /// Takes the code from headers or trailers, if they hold one.
    pub(crate) fn note(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get("grpc-status") {
            self.ends_with(Code::from_bytes(code.as_bytes()));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let code = self.code.unwrap_or(Code::Cancelled);
        let took = self.began.elapsed();
        self.peer.under_way.fetch_sub(1, Relaxed);
        self.metrics.call_ends(self.method, code, took);
        let slow = took.as_millis() >= SLOW_MS;
        let worth_a_line = (code != Code::Ok || slow) && self.log.has_room_for_a_call();
        if self.log.all_calls() || worth_a_line {
            // The path of an unknown method is what a caller typed, so it is not repeated.
            let method = self.method.map_or("other", |place| METHODS[place].path);
            let latency_us = took.as_micros() as u64;
            let level = if matches!(code, Code::Internal | Code::Unknown | Code::DataLoss) { "error" } else { "info" };
            let peer = self.peer.kind.name();
            self.log.line(
                level,
                "call",
                json!({"method": method, "code": code_name(code), "latency_us": latency_us, "peer": peer}),
            );
        }
    }
}
