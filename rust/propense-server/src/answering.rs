//! A connection that answers some of its calls itself.
//!
//! A short call is answered soonest, and with least work, by the task that has read it: no other thread is woken up for it,
//! nor this one to send its answer. Of calls that are read together one is answered so and the others run on tasks of their
//! own, beside it; so does what has to wait for something. Who is refused is told so at once, whatever waits.

use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use hyper::rt::Executor;

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Has the calls of a connection run.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<Read>>);

/// What has just been read.
#[derive(Default)]
struct Read {
    /// The call that came last waits for [`Answering`].
    last: Option<Running>,
    /// Whether the one that comes next only has to be told its answer.
    next_is_answered: bool,
}

impl Calls {
    /// The call that is handed over next has its answer: it was refused.
    pub(crate) fn next_is_answered(&self) {
        self.read().next_is_answered = true;
    }

    fn read(&self) -> MutexGuard<'_, Read> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Future<Output = ()> + Send + 'static> Executor<C> for Calls {
    fn execute(&self, call: C) {
        let call: Running = Box::pin(call);
        let mut read = self.read();
        if take(&mut read.next_is_answered) {
            drop(read);
            return answer(call);
        }
        if let Some(before) = read.last.replace(call) {
            tokio::spawn(before);
        }
    }
}

/// A connection and the calls that it has read.
pub(crate) struct Answering<C> {
    connection: Pin<Box<C>>,
    calls: Calls,
}

impl<C> Answering<C> {
    /// A connection whose calls these are.
    pub(crate) fn new(connection: C, calls: Calls) -> Self {
        Self { connection: Box::pin(connection), calls }
    }

    pub(crate) fn connection(&mut self) -> Pin<&mut C> {
        self.connection.as_mut()
    }
}

impl<C: Future> Future for Answering<C> {
    type Output = C::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<C::Output> {
        let this = self.get_mut();
        let polled = this.connection.as_mut().poll(context);
        let last = this.calls.read().last.take();
        if let Some(call) = last {
            answer(call);
        }
        polled
    }
}

/// Runs a call if it is done in one go, and else on a task of its own. What it says to its connection wakes the task that
/// this runs on.
fn answer(mut call: Running) {
    let mut context = Context::from_waker(Waker::noop());
    // A panic has been reported by now and ends this call, as it would on its own task.
    let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut context)));
    if matches!(polled, Ok(Poll::Pending)) {
        // It is asked once more there, by somebody whom it can wake.
        tokio::spawn(call);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use tokio::sync::oneshot;
    use tokio::task::yield_now;

    use super::*;

    /// Hands over calls that count themselves.
    fn read(calls: &Calls, count: usize, answered: &Arc<AtomicUsize>) {
        for _ in 0..count {
            let answered = Arc::clone(answered);
            calls.execute(async move {
                answered.fetch_add(1, SeqCst);
            });
        }
    }

    #[tokio::test]
    async fn the_last_call_is_answered_here_and_those_before_beside_it() {
        let (calls, answered) = (Calls::default(), Arc::new(AtomicUsize::new(0)));
        let mut connection = Answering::new(pending::<()>(), calls.clone());
        read(&calls, 3, &answered);
        assert_eq!(answered.load(SeqCst), 0);
        poll_fn(|context| Poll::Ready(Pin::new(&mut connection).poll(context).is_pending())).await;
        assert_eq!(answered.load(SeqCst), 1, "no other task has run yet");
        yield_now().await;
        assert_eq!(answered.load(SeqCst), 3);
    }

    #[tokio::test]
    async fn who_is_refused_is_told_before_anything_else() {
        let (calls, answered) = (Calls::default(), Arc::new(AtomicUsize::new(0)));
        read(&calls, 1, &Arc::default());
        calls.next_is_answered();
        read(&calls, 1, &answered);
        assert_eq!(answered.load(SeqCst), 1);
        read(&calls, 1, &answered);
        assert_eq!(answered.load(SeqCst), 1, "that was said of one call only");
    }

    #[tokio::test]
    async fn what_has_to_wait_goes_on_when_it_may() {
        let (calls, (sender, receiver), (ended, end)) =
            (Calls::default(), oneshot::channel::<u8>(), oneshot::channel());
        let mut connection = Answering::new(pending::<()>(), calls.clone());
        calls.execute(async move { ended.send(receiver.await).unwrap() });
        poll_fn(|context| Poll::Ready(Pin::new(&mut connection).poll(context).is_pending())).await;
        drop(connection);
        sender.send(7).unwrap();
        assert_eq!(end.await, Ok(Ok(7)));
    }
}
