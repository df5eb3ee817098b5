//! A request's body, bounded while it arrives: in the size of each message, and in what all requests together hold.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use crate::error::ServiceError;

/// One permit of the memory that requests may hold.
const UNIT_BYTES: usize = 1 << 10;
/// A message begins with a flag and its length.
const PREFIX_BYTES: usize = 5;

/// Memory for messages that have begun and not yet arrived whole.
#[derive(Clone)]
pub(crate) struct RequestMemory(Arc<Semaphore>);

impl RequestMemory {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / UNIT_BYTES)))
    }
}

/// Follows the messages of a body as their bytes pass.
pub(crate) struct RequestBody {
    inner: Incoming,
    message_limit: usize,
    memory: RequestMemory,
    /// What the message under way holds.
    held: Option<OwnedSemaphorePermit>,
    held_bytes: usize,
    prefix: [u8; PREFIX_BYTES],
    prefix_read: usize,
    /// Bytes that the message under way still lacks.
    lacking: usize,
    failed: bool,
}

impl RequestBody {
    pub(crate) fn new(inner: Incoming, message_limit: usize, memory: &RequestMemory) -> Self {
        let memory = memory.clone();
        let (held, prefix) = (None, [0; PREFIX_BYTES]);
        Self { inner, message_limit, memory, held, held_bytes: 0, prefix, prefix_read: 0, lacking: 0, failed: false }
    }

    fn follow(&mut self, mut data: &[u8]) -> Result<(), ServiceError> {
        while !data.is_empty() {
            if self.prefix_read < PREFIX_BYTES {
                let taken = data.len().min(PREFIX_BYTES - self.prefix_read);
                self.prefix[self.prefix_read..self.prefix_read + taken].copy_from_slice(&data[..taken]);
                self.prefix_read += taken;
                data = &data[taken..];
                if self.prefix_read < PREFIX_BYTES {
                    return Ok(());
                }
                let [_, length @ ..] = self.prefix;
                self.lacking = u32::from_be_bytes(length) as usize;
                if self.lacking > self.message_limit {
                    return Err(ServiceError::MessageTooLarge { limit: self.message_limit });
                }
            }
            let taken = data.len().min(self.lacking);
            self.hold(taken)?;
            self.lacking -= taken;
            data = &data[taken..];
            if self.lacking == 0 {
                (self.prefix_read, self.held, self.held_bytes) = (0, None, 0);
            }
        }
        Ok(())
    }

    fn hold(&mut self, more: usize) -> Result<(), ServiceError> {
        self.held_bytes += more;
        let units = self.held_bytes.div_ceil(UNIT_BYTES);
        let missing = units - self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if missing == 0 {
            return Ok(());
        }
        let taken = Arc::clone(&self.memory.0).try_acquire_many_owned(missing as u32);
        let taken = taken.map_err(|_| ServiceError::Overloaded)?;
        match &mut self.held {
            Some(held) => held.merge(taken),
            none => *none = Some(taken),
        }
        Ok(())
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        if this.failed {
            return Poll::Ready(None);
        }
        let frame = match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
            None => return Poll::Ready(None),
            // The peer went away or broke the protocol: nobody reads what is said of it.
            Some(Err(_)) => Err(Status::cancelled("the request broke off")),
            Some(Ok(frame)) => match frame.data_ref().map_or(Ok(()), |data| this.follow(data)) {
                Ok(()) => Ok(frame),
                Err(error) => Err(Status::from(error)),
            },
        };
        if frame.is_err() {
            (this.failed, this.held) = (true, None);
        }
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
