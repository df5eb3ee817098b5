//! Work that is told to stop when it has taken too long.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::error::{OnnxError, Stage};

/// Do `work`, calling `stop` from another thread if it is still going after `deadline`.
///
/// `stop` must make `work` return an error soon; work that succeeds all the same has succeeded.
///
/// # Errors
///
/// [`OnnxError::DeadlinePassed`] instead of the error of work that was stopped; otherwise the
/// work's own, or [`OnnxError::Watchdog`].
pub(crate) fn within<T>(
    deadline: Duration,
    stage: Stage,
    stop: impl FnOnce() + Send,
    work: impl FnOnce() -> Result<T, OnnxError>,
) -> Result<T, OnnxError> {
    thread::scope(|scope| {
        // Dropped when the work is over, by whatever way: that is the news.
        let (working, news) = mpsc::channel::<()>();
        let watchdog = thread::Builder::new()
            .name("propense-deadline".to_owned())
            .spawn_scoped(scope, move || {
                let late = news.recv_timeout(deadline) == Err(RecvTimeoutError::Timeout);
                if late {
                    stop();
                }
                late
            })
            .map_err(|source| OnnxError::Watchdog { source })?;
        let outcome = work();
        drop(working);
        let late = watchdog.join().unwrap_or(false);
        outcome.map_err(|error| if late { OnnxError::DeadlinePassed { stage, deadline } } else { error })
    })
}
