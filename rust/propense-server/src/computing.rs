//! Work that takes a core for long.

use std::sync::Arc;
use std::thread;

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::{Semaphore, oneshot};

use crate::error::ServiceError;
use crate::limits::Held;
use crate::options::Limits;

/// How much further down in the line for a core long computations stand than what reads, answers and writes.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Runs what computes for long on a thread that serves no connection. If the caller goes away before it begins, it does
/// not; once begun, it goes on to its end.
pub(crate) async fn compute<T: Send + 'static>(
    held: Held,
    work: impl FnOnce() -> Result<T, ServiceError> + Send + 'static,
) -> Result<T, ServiceError> {
    let (sender, receiver) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        if !sender.is_closed() {
            let _ = sender.send(work());
        }
        drop(held);
    });
    receiver.await.unwrap_or(Err(ServiceError::Internal { problem: "a computation broke off" }))
}

/// Turns at what takes cores for long, first come, first served, on threads that everybody else goes before: short calls,
/// refusals and writes share the machine with a few such computations, not with as many as were asked for.
#[derive(Clone)]
pub(crate) struct Turns {
    free: Arc<Semaphore>,
    /// `None` where no thread could be had: then a computation stays on the thread that waits for it.
    threads: Option<Arc<ThreadPool>>,
}

impl Turns {
    pub(crate) fn new(limits: &Limits) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = ThreadPoolBuilder::new().num_threads(limits.computations.max(cores));
        let threads = threads.thread_name(|_| "propense-batch".to_owned()).start_handler(|_| step_back());
        Self { free: Arc::new(Semaphore::new(limits.computations.max(1))), threads: threads.build().ok().map(Arc::new) }
    }

    /// As [`compute`], when a turn has come.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        held: Held,
        work: impl FnOnce() -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        // Nobody closes the line, so a turn comes.
        let turn = Arc::clone(&self.free).acquire_owned().await.ok();
        let threads = self.threads.clone();
        let in_turn = move || {
            let _turn = turn;
            match threads {
                Some(threads) => threads.install(work),
                None => work(),
            }
        };
        compute(held, in_turn).await
    }
}

/// Lets others go before this thread where both want a core.
fn step_back() {
    // Of Linux alone the call is about one thread. Where it is not allowed, all stay equals.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(NICENESS);
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use rustix::process::nice;

    use super::*;

    #[tokio::test]
    async fn long_computations_let_others_go_before_them() {
        let niceness = || Ok(nice(0).unwrap());
        let usual = compute(Held::default(), niceness).await.unwrap();
        let turns = Turns::new(&Limits::default());
        let in_turn = turns.compute(Held::default(), niceness).await.unwrap();
        assert_eq!(in_turn, (usual + NICENESS).min(19));
        let after = compute(Held::default(), niceness).await.unwrap();
        assert_eq!(after, usual, "of its own threads only");
    }

    #[tokio::test]
    async fn a_computation_that_breaks_down_leaves_its_turn_to_others() {
        let turns = Turns::new(&Limits { computations: 1, ..Limits::default() });
        for _ in 0..3 {
            let broken = turns.compute(Held::default(), || -> Result<(), ServiceError> { panic!("as asked for") });
            assert!(matches!(broken.await, Err(ServiceError::Internal { .. })));
            assert_eq!(turns.compute(Held::default(), || Ok(7)).await.unwrap(), 7);
        }
    }
}
