//! What the engine and those who ask of segments have in common.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use super::metrics::SegmentCounts;
use super::pass::Pass;
use super::published::Published;
use super::rules::{Models, Rules};
use super::standings::Standings;
use super::timers::NEVER;
use crate::clock::Clock;
use crate::log::LogLines;

/// Shared by the engine, which alone changes what is in here, and all who read.
pub(super) struct Shared {
    pub(super) state: RwLock<State>,
    pub(super) published: Published,
    pub(super) clock: Clock,
    pub(super) counts: SegmentCounts,
    pub(super) log: LogLines,
    /// When the next timer is due.
    pub(super) next_us: AtomicI64,
    /// Whether there is a pass.
    pub(super) has_pass: AtomicBool,
    pub(super) stopping: AtomicBool,
    pub(super) watchers: AtomicU64,
    bell: (Mutex<bool>, Condvar),
}

/// All that is true of segments as of the last commit.
pub(super) struct State {
    pub(super) rules: Arc<Rules>,
    pub(super) served: Models,
    pub(super) standings: Standings,
    pub(super) pass: Option<Pass>,
    /// That of the last pass; users who were evaluated since it began have it.
    pub(super) epoch: u32,
    /// Whether the models are known, so that users are evaluated.
    pub(super) awake: bool,
}

impl State {
    /// Whether a user has not been evaluated since the last pass began, or never.
    pub(super) fn is_stale(&self, user: u32) -> bool {
        self.standings.epoch[user as usize] != self.epoch
    }
}

impl Shared {
    pub(super) fn new(rules: Rules, clock: Clock, log: LogLines) -> Self {
        let state = State {
            rules: Arc::new(rules),
            served: Models::new(),
            standings: Standings::new(),
            pass: None,
            epoch: 0,
            awake: false,
        };
        Self {
            state: RwLock::new(state),
            published: Published::new(),
            clock,
            counts: SegmentCounts::default(),
            log,
            next_us: AtomicI64::new(NEVER),
            has_pass: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            watchers: AtomicU64::new(0),
            bell: (Mutex::new(false), Condvar::new()),
        }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is something to evaluate that nobody will ask for.
    pub(super) fn has_work(&self) -> bool {
        self.has_pass.load(SeqCst) || self.next_us.load(SeqCst) <= self.clock.now_us()
    }

    /// Has the worker look again.
    pub(super) fn ring(&self) {
        *self.bell.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.1.notify_all();
    }

    /// Waits until the bell rings, or for a time.
    pub(super) fn wait(&self, patience: Duration) {
        let rung = self.bell.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.bell.1.wait_timeout_while(rung, patience, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}
