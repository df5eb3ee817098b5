//! Waiting until an instant, to a few microseconds where the system can: the runtime's own clock ticks in milliseconds.

use std::io;
use std::time::Instant;

/// A clock that wakes a task.
#[cfg(target_os = "linux")]
pub(crate) struct Pacer(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>);

#[cfg(target_os = "linux")]
impl Pacer {
    pub(crate) fn new() -> io::Result<Self> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // SAFETY: the descriptor is open, and it is neither replaced nor closed while this owns it.
        Ok(Self(unsafe { tokio::io::unix::AsyncFd::register(timer)? }))
    }

    /// Waits; not at all if the instant has passed.
    pub(crate) async fn wait_until(&self, due: Instant) -> io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        let wait = due.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return Ok(());
        }
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() },
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            let mut expirations = [0; 8];
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut expirations)?));
            if let Ok(read) = read {
                return read.map(|_| ());
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) struct Pacer;

#[cfg(not(target_os = "linux"))]
impl Pacer {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) async fn wait_until(&self, due: Instant) -> io::Result<()> {
        tokio::time::sleep_until(due.into()).await;
        Ok(())
    }
}
