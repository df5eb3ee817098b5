//! A call's answer, on its way: cut off at its deadline, and when the server stops.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tonic::{Code, Status};

use crate::call::{Call, ReadInTime};
use crate::error::ServiceError;

/// Once the server stops, how long those who watch its health may still be told so.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A call's answer.
pub(crate) struct CallBody {
    inner: tonic::body::Body,
    deadline: Option<Deadline>,
    /// For streams that have no end of their own: when the server stops.
    stopped: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    ended: bool,
    call: Call,
    unread: Option<ReadInTime>,
}

/// When an answer is cut off.
struct Deadline {
    at: Instant,
    /// Wakes whoever waits for more of the answer; only made for those who do.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    fn has_passed(&self) -> bool {
        Instant::now() >= self.at
    }

    /// Whether it has come while there is nothing to say.
    fn poll(&mut self, context: &mut Context<'_>) -> bool {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(self.at)));
        sleep.as_mut().poll(context).is_ready()
    }
}

impl CallBody {
    pub(crate) fn new(inner: tonic::body::Body, call: Call) -> Self {
        Self { inner, deadline: None, stopped: None, ended: false, call, unread: None }
    }

    pub(crate) fn until(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline.map(|at| Deadline { at, sleep: None });
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
        if self.deadline.as_ref().is_some_and(Deadline::has_passed) {
            return Some(ServiceError::DeadlineExceeded);
        }
        let stopped = self.stopped.as_mut()?.as_mut().poll(context).is_ready();
        stopped.then_some(ServiceError::Stopping)
    }

    fn cut(&mut self, error: ServiceError) -> Result<Frame<Bytes>, Status> {
        self.ended = true;
        self.inner = tonic::body::Body::empty();
        let status = Status::from(error);
        self.call.ends_with(status.code());
        let mut trailers = HeaderMap::new();
        status.add_header(&mut trailers)?;
        Ok(Frame::trailers(trailers))
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
            return Poll::Ready(Some(this.cut(error)));
        }
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) else {
            let is_over = this.deadline.as_mut().is_some_and(|deadline| deadline.poll(context));
            return if is_over { Poll::Ready(Some(this.cut(ServiceError::DeadlineExceeded))) } else { Poll::Pending };
        };
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
