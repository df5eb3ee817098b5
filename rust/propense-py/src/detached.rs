//! The one door through which the GIL is released.

use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use propense_core::features::Progress;
use pyo3::prelude::*;

use crate::error::CoreError;

/// How often signals are looked at and progress is reported.
const PULSE: Duration = Duration::from_millis(100);

/// Runs `work` without the GIL; meanwhile Ctrl-C is seen and `report(done)` is called with the users done so far.
///
/// An exception from a signal handler or from `report` cancels the work and is raised once it has stopped.
pub(crate) fn detached<T, E, F>(py: Python<'_>, report: Option<Py<PyAny>>, work: F) -> PyResult<T>
where
    T: Send,
    E: Into<CoreError> + Send,
    F: FnOnce(&Progress) -> Result<T, E> + Send,
{
    let progress = Progress::default();
    let pulse = || {
        Python::attach(|py| {
            py.check_signals()?;
            if let Some(report) = &report {
                report.call1(py, (progress.done(),))?;
            }
            Ok(())
        })
    };
    let (outcome, interruption) = py.detach(|| {
        thread::scope(|scope| {
            let (finished, wait) = channel::<()>();
            let worker = scope.spawn(|| {
                // Dropped when the work ends, also by a panic, which wakes the loop below.
                let _finished = finished;
                work(&progress)
            });
            let mut interruption: Option<PyErr> = None;
            while wait.recv_timeout(PULSE) == Err(RecvTimeoutError::Timeout) {
                if interruption.is_none() {
                    interruption = pulse().err();
                    if interruption.is_some() {
                        progress.cancel();
                    }
                }
            }
            (worker.join().unwrap_or_else(|panic| resume_unwind(panic)), interruption)
        })
    });
    if let Some(error) = interruption {
        return Err(error);
    }
    if let Some(report) = &report {
        report.call1(py, (progress.done(),))?;
    }
    Ok(outcome.map_err(Into::into)?)
}
