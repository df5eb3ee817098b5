//! The way of a stream's answers to its reader.

use std::time::Duration;

use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::error::ServiceError;

/// What a stream sends.
type Answer<T> = Result<T, Status>;

/// Sends answers until the reader has stalled or is gone. A stream that breaks off ends with the reason, never as if it
/// were whole.
pub(super) struct Answers<T> {
    messages: mpsc::Sender<Answer<T>>,
    /// Room for the reason, whatever else is waiting to be read.
    last: Option<OwnedPermit<Answer<T>>>,
    stalled_reader: Duration,
}

impl<T> Answers<T> {
    /// A way for so many answers that wait to be read, and its other end; a reader who takes none for so long has stalled.
    pub(super) fn new(waiting: usize, stalled_reader: Duration) -> (Self, ReceiverStream<Answer<T>>) {
        let (messages, stream) = mpsc::channel(waiting + 1);
        let last = messages.clone().try_reserve_owned().ok();
        (Self { messages, last, stalled_reader }, ReceiverStream::new(stream))
    }

    /// Sends an answer; says whether there is a use in sending more.
    pub(super) async fn send(&mut self, answer: T) -> bool {
        let sent = timeout(self.stalled_reader, self.messages.send(Ok(answer))).await;
        if sent.is_err() {
            self.end(ServiceError::ReaderStalled.into());
        }
        matches!(sent, Ok(Ok(())))
    }

    /// Ends the stream with an error.
    pub(super) fn end(&mut self, error: Status) {
        if let Some(last) = self.last.take() {
            last.send(Err(error));
        }
    }

    /// Whether nobody reads any more.
    pub(super) fn is_closed(&self) -> bool {
        self.messages.is_closed()
    }

    /// Waits until nobody reads any more.
    pub(super) async fn closed(&self) {
        self.messages.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;
    use tonic::Code;

    use super::*;

    #[tokio::test]
    async fn a_reader_who_stalls_is_told_that_there_was_more() {
        let (mut answers, mut stream) = Answers::new(2, Duration::from_millis(50));
        assert!(answers.send(1).await && answers.send(2).await);
        assert!(!answers.send(3).await);
        drop(answers);
        assert_eq!(stream.next().await.and_then(Result::ok), Some(1));
        assert_eq!(stream.next().await.and_then(Result::ok), Some(2));
        let end = stream.next().await.and_then(Result::err).map(|status| status.code());
        assert_eq!(end, Some(Code::Aborted));
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn who_is_gone_is_sent_nothing_and_who_reads_all_sees_no_error() {
        let (mut answers, stream) = Answers::new(1, Duration::from_mins(1));
        drop(stream);
        assert!(!answers.send(1).await && answers.is_closed());
        let (mut answers, mut stream) = Answers::new(1, Duration::from_mins(1));
        assert!(answers.send(1).await);
        drop(answers);
        assert_eq!(stream.next().await.and_then(Result::ok), Some(1));
        assert!(stream.next().await.is_none());
    }
}
