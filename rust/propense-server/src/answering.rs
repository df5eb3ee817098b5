//! A connection that answers some of its calls itself.
//!
//! A short call is answered soonest, and with least work, by the task that has read it: no other thread is woken up for it,
//! nor this one to send its answer. Of calls that are read together one is answered so and the others run on tasks of their
//! own, beside it; so does what has to wait for something.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use hyper::rt::Executor;

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Has calls run; the one that came last waits for [`Answering`].
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<Option<Running>>>);

impl Calls {
    fn replace(&self, call: Option<Running>) -> Option<Running> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), call)
    }
}

impl<C: Future<Output = ()> + Send + 'static> Executor<C> for Calls {
    fn execute(&self, call: C) {
        if let Some(before) = self.replace(Some(Box::pin(call))) {
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
        if let Some(call) = this.calls.replace(None) {
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
