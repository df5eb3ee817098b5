//! One call from its headers to the end of its answer: counted, timed, logged, and ended at its deadline.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use serde_json::json;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tonic::{Code, Status};

use crate::error::ServiceError;
use crate::limits::Unread;
use crate::log::LogLines;
use crate::methods::METHODS;
use crate::metrics::{Metrics, code_name};

/// A call that takes this long is logged even if it went well.
const SLOW_MS: u128 = 1_000;

/// Once the server stops, how long those who watch its health may still be told so.
const LAST_WORDS: Duration = Duration::from_millis(200);

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

/// A call's answer.
pub(crate) struct CallBody {
    inner: tonic::body::Body,
    deadline: Option<Pin<Box<Sleep>>>,
    /// For streams that have no end of their own: when the server stops.
    stopped: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    ended: bool,
    call: Call,
    unread: Option<ReadInTime>,
}

impl CallBody {
    pub(crate) fn new(inner: tonic::body::Body, call: Call) -> Self {
        Self { inner, deadline: None, stopped: None, ended: false, call, unread: None }
    }

    pub(crate) fn until(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline.map(|at| Box::pin(sleep_until(at)));
        self
    }

    pub(crate) fn until_stop(mut self, stopping: Option<watch::Receiver<bool>>) -> Self {
        self.stopped = stopping.map(|mut stopping| -> Pin<Box<dyn Future<Output = ()> + Send>> {
            Box::pin(async move {
                let _ = stopping.wait_for(|stop| *stop).await;
                sleep(LAST_WORDS).await;
            })
        });
        self
    }

    pub(crate) fn while_unread(mut self, unread: Option<ReadInTime>) -> Self {
        self.unread = unread;
        self
    }

    /// The end that comes from outside, if it has.
    fn cut_short(&mut self, context: &mut Context<'_>) -> Option<ServiceError> {
        if self.deadline.as_mut().is_some_and(|sleep| sleep.as_mut().poll(context).is_ready()) {
            return Some(ServiceError::DeadlineExceeded);
        }
        let stopped = self.stopped.as_mut()?.as_mut().poll(context).is_ready();
        stopped.then_some(ServiceError::Stopping)
    }
}

impl Body for CallBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        // Looked at first, so that a stream which always has more to say is cut off too.
        if let Some(error) = this.cut_short(context) {
            this.ended = true;
            this.inner = tonic::body::Body::empty();
            let status = Status::from(error);
            this.call.ends_with(status.code());
            let mut trailers = HeaderMap::new();
            let added = status.add_header(&mut trailers);
            return Poll::Ready(Some(added.map(|()| Frame::trailers(trailers))));
        }
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.call.note(trailers);
                }
            }
            Some(Err(status)) => this.call.ends_with(status.code()),
            None => {
                drop(this.unread.take());
                this.call.ends_with(Code::Ok);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
