//! What can be asked of segments, from any thread.

mod answers;
mod changes;
mod transitions;
mod users;

use std::io;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use propense_core::segments::SegmentDefinition;
use propense_store::{Observer, Store};
use serde_json::json;

pub use self::answers::{SegmentState, SegmentsList};
pub use self::users::UserStanding;
use super::engine::Engine;
use super::rules::Rules;
use super::shared::Shared;
use super::worker;
use crate::clock::Clock;
use crate::log::LogLines;
use crate::metrics::SegmentGauges;

/// A store's live segments.
pub struct LiveSegments {
    shared: Arc<Shared>,
    store: Arc<Store>,
    /// There until it is dropped.
    worker: Option<JoinHandle<()>>,
    at_start: Mutex<Vec<SegmentDefinition>>,
}

/// An engine that is not with its store yet.
pub(crate) struct Engaged(Arc<Shared>, Vec<SegmentDefinition>);

impl Engaged {
    /// An engine, for a store to be opened with.
    /// `at_start` is put once the models are known.
    pub(crate) fn new(clock: Clock, log: LogLines, at_start: Vec<SegmentDefinition>) -> (Self, Box<dyn Observer>) {
        let shared = Arc::new(Shared::new(Rules::none(), clock, log));
        let engine = Box::new(Engine::new(Arc::clone(&shared)));
        (Self(shared, at_start), engine)
    }

    /// Together with the store that was opened with the engine.
    ///
    /// # Errors
    /// The thread that sees to timers and passes cannot be started; without it time would change nothing.
    pub(crate) fn live(self, store: &Arc<Store>) -> io::Result<LiveSegments> {
        self.live_on(thread::Builder::new().name("segments".to_owned()), store)
    }

    fn live_on(self, thread: thread::Builder, store: &Arc<Store>) -> io::Result<LiveSegments> {
        let Self(shared, at_start) = self;
        // What rules read is there, if only as missing values, though nothing in the store has it any more.
        let [properties, attributes] = shared.read().rules.columns.kinds();
        if let Err(problem) = store.declare(&properties, &attributes) {
            let problem = problem.to_string();
            shared.log.line("error", "segments", json!({"problem": problem}));
        }
        let (of_worker, of_store) = (Arc::clone(&shared), Arc::downgrade(store));
        let worker = Some(thread.spawn(move || worker::run(&of_worker, &of_store))?);
        Ok(LiveSegments { shared, store: Arc::clone(store), worker, at_start: Mutex::new(at_start) })
    }
}

impl Drop for LiveSegments {
    fn drop(&mut self) {
        self.stop();
        // A panic in there has been reported on its own thread.
        let _ = self.worker.take().map(JoinHandle::join);
    }
}

impl LiveSegments {
    /// The store whose users they are of.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// No timer is seen to any more, and who waits for transitions is told that there will be none. Writes go on.
    pub(crate) fn stop(&self) {
        self.shared.stopping.store(true, SeqCst);
        self.shared.ring();
        self.shared.published.close();
    }

    /// The clock that they go by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// What the metrics page shows.
    pub(crate) fn gauges(&self) -> SegmentGauges {
        let state = self.shared.read();
        let left = state.pass.as_ref().map_or(0, |pass| pass.total.saturating_sub(pass.done));
        let sizes = (state.rules.set.len() as u64, state.standings.counts().iter().sum());
        drop(state);
        SegmentGauges {
            sizes,
            transitions: self.shared.counts.transitions(),
            evaluations: self.shared.counts.evaluations(),
            backfill_left: left,
            watchers: self.shared.watchers.load(Relaxed),
            last_transition: self.last_transition(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use propense_store::{EventBatch, StoreOptions};
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn nobody_is_evaluated_because_a_segment_has_another_owner() {
        let folder = TempDir::new().unwrap();
        let (engaged, observer) = Engaged::new(Clock::simulated(9), LogLines::to_memory(Arc::default()), Vec::new());
        let store = Store::open_observed(folder.path(), StoreOptions::default(), observer).unwrap();
        let live = engaged.live(&Arc::new(store)).unwrap();
        live.serve_models(&[]).unwrap();
        let mut batch = EventBatch::new();
        for user in ["ann", "bob", "eve"] {
            batch.push_event(user, 5, "view", None).unwrap();
        }
        live.store().ingest(batch).unwrap();
        let segment = SegmentDefinition::new("seen", "count(view) >= 1");
        let owned = SegmentDefinition { owner: "growth".to_owned(), ..segment.clone() };
        let mut evaluations = Vec::new();
        for definition in [segment, owned] {
            assert_eq!(live.put(vec![definition]).unwrap(), ["seen"]);
            live.catch_up().unwrap();
            evaluations.push(live.gauges().evaluations.0);
        }
        assert_eq!(evaluations[0], evaluations[1]);
        let state = live.get("seen").unwrap();
        assert_eq!((state.members, state.definition.unwrap().owner.as_str()), (3, "growth"));
    }

    #[test]
    fn without_the_thread_of_the_timers_there_are_no_live_segments() {
        let folder = TempDir::new().unwrap();
        let open = || {
            let (engaged, observer) = Engaged::new(Clock::default(), LogLines::to_memory(Arc::default()), Vec::new());
            (engaged, Arc::new(Store::open_observed(folder.path(), StoreOptions::default(), observer).unwrap()))
        };
        let (engaged, store) = open();
        // More than there are addresses.
        assert!(engaged.live_on(thread::Builder::new().stack_size(1 << 60), &store).is_err());
        drop(store);
        let (engaged, store) = open();
        assert!(engaged.live(&store).is_ok());
    }
}
