//! What can be asked of segments, from any thread.

use std::collections::BTreeSet;
use std::mem;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use propense_core::segments::SegmentDefinition;
use propense_store::{Observer, Snapshot, Store};
use serde_json::json;
use tokio::sync::watch;

use super::ask::{Ask, Change, Refusal};
use super::engine::Engine;
use super::error::SegmentsError;
use super::evaluate::replay;
use super::published::Page;
use super::rules::{Model, Models, Rules};
use super::shared::{Shared, State};
use super::transition::Transition;
use super::worker;
use crate::clock::Clock;
use crate::log::LogLines;
use crate::metrics::SegmentGauges;
use crate::serving::ServedModel;

/// A store's live segments.
pub struct LiveSegments {
    shared: Arc<Shared>,
    store: Arc<Store>,
    worker: Option<JoinHandle<()>>,
    at_start: Mutex<Vec<SegmentDefinition>>,
}

/// An engine that is not with its store yet.
pub(crate) struct Engaged(Arc<Shared>, Vec<SegmentDefinition>);

/// A segment as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentState {
    /// Its name.
    pub name: String,
    /// As put, in canonical texts; `None` for a tier of a model.
    pub definition: Option<SegmentDefinition>,
    /// Members as of the last commit.
    pub members: u64,
    /// If users are still to be evaluated for it: how many were, of how many.
    pub backfill: Option<(u64, u64)>,
    /// The segments that its rules read.
    pub reads_segments: Vec<String>,
    /// The models that its rules read.
    pub reads_models: Vec<String>,
}

/// All segments as they stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SegmentsList {
    /// Ascending by name.
    pub segments: Vec<SegmentState>,
    /// If asked for: of every two segments that share a user, their places and how many users.
    pub overlaps: Vec<(usize, usize, u64)>,
    /// The number of the last transition.
    pub last_transition: u64,
}

/// One user's standing with one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserStanding {
    /// The segment's name.
    pub segment: String,
    /// Whether the user is in it.
    pub is_member: bool,
    /// If so, since when by the user's own events with attributes, definitions and models as they are now.
    pub since_us: Option<i64>,
}

impl Engaged {
    /// An engine, for a store to be opened with.
    /// `at_start` is put once the models are known.
    pub(crate) fn new(clock: Clock, log: LogLines, at_start: Vec<SegmentDefinition>) -> (Self, Box<dyn Observer>) {
        let shared = Arc::new(Shared::new(Rules::none(), clock, log));
        let engine = Box::new(Engine::new(Arc::clone(&shared)));
        (Self(shared, at_start), engine)
    }

    /// Together with the store that was opened with the engine.
    pub(crate) fn live(self, store: &Arc<Store>) -> LiveSegments {
        let Self(shared, at_start) = self;
        // What rules read is there, if only as missing values, though nothing in the store has it any more.
        let [properties, attributes] = shared.read().rules.columns.kinds();
        if let Err(problem) = store.declare(&properties, &attributes) {
            let problem = problem.to_string();
            shared.log.line("error", "segments", json!({"problem": problem}));
        }
        let (of_worker, of_store) = (Arc::clone(&shared), Arc::downgrade(store));
        let worker = thread::Builder::new().name("segments".to_owned());
        let worker = worker.spawn(move || worker::run(&of_worker, &of_store)).ok();
        LiveSegments { shared, store: Arc::clone(store), worker, at_start: Mutex::new(at_start) }
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

    /// All segments.
    #[must_use]
    pub fn list(&self, with_overlaps: bool) -> SegmentsList {
        let state = self.shared.read();
        let segments = (0..state.rules.set.len()).map(|segment| segment_state(&state, segment)).collect();
        let overlaps = if with_overlaps { overlaps(&state) } else { Vec::new() };
        SegmentsList { segments, overlaps, last_transition: self.last_transition() }
    }

    /// One segment.
    ///
    /// # Errors
    /// [`SegmentsError::Unknown`].
    pub fn get(&self, name: &str) -> Result<SegmentState, SegmentsError> {
        let state = self.shared.read();
        Ok(segment_state(&state, number(&state.rules, name)?))
    }

    /// A user's standing with segments, in their order; of all that the user is in if none is named.
    ///
    /// # Errors
    /// [`SegmentsError::Unknown`], or the user's events could not be evaluated.
    pub fn of_user(&self, user: &str, names: &[String]) -> Result<Vec<UserStanding>, SegmentsError> {
        let (rules, membership) = {
            let state = self.shared.read();
            let rules = Arc::clone(&state.rules);
            let found = state.standings.users.find(user);
            let is_member = |segment| found.is_some_and(|user| state.standings.is_member(user, segment));
            let wanted: Vec<usize> = if names.is_empty() {
                (0..rules.set.len()).filter(|&segment| is_member(segment)).collect()
            } else {
                names.iter().map(|name| number(&rules, name)).collect::<Result<_, _>>()?
            };
            let membership: Vec<(usize, bool)> = wanted.iter().map(|&segment| (segment, is_member(segment))).collect();
            (rules, membership)
        };
        let now_us = self.shared.clock.now_us();
        let replayed = if membership.iter().any(|(_, is_member)| *is_member) {
            let standings = replay(&self.store.snapshot(), &rules, user, now_us);
            standings.map_err(|error| SegmentsError::Evaluation(error.into()))?
        } else {
            Vec::new()
        };
        let standing = |(segment, is_member): (usize, bool)| UserStanding {
            segment: rules.set.names()[segment].clone(),
            is_member,
            since_us: replayed.get(segment).filter(|now| is_member && now.member).map(|now| now.since_us),
        };
        Ok(membership.into_iter().map(standing).collect())
    }

    /// The members of a segment as they are now, to be read page by page.
    ///
    /// # Errors
    /// [`SegmentsError::Unknown`].
    pub(crate) fn members(&self, name: &str) -> Result<Members, SegmentsError> {
        let state = self.shared.read();
        let segment = number(&state.rules, name)?;
        let standings = &state.standings;
        let mut bits = vec![0_u64; standings.users.len().div_ceil(64)];
        for user in (0..standings.users.len() as u32).filter(|&user| standings.is_member(user, segment)) {
            bits[user as usize / 64] |= 1 << (user % 64);
        }
        Ok(Members { shared: Arc::clone(&self.shared), listing: self.store.snapshot(), bits })
    }

    /// Puts segments, all or none; gives the names of those that were not in force in this form before.
    ///
    /// # Errors
    /// [`SegmentsError::Definition`], or the store does not write it.
    pub fn put(&self, definitions: Vec<SegmentDefinition>) -> Result<Vec<String>, SegmentsError> {
        let changed = self.changed(&definitions)?;
        self.change(Change::Put(definitions))?;
        Ok(changed)
    }

    /// Checks segments as [`Self::put`] does, and gives how they would stand at first.
    ///
    /// # Errors
    /// As there.
    pub fn check(&self, definitions: &[SegmentDefinition]) -> Result<(Vec<SegmentState>, Vec<String>), SegmentsError> {
        let changed = self.changed(definitions)?;
        let state = self.shared.read();
        let rules = Change::Put(definitions.to_vec()).rules(&state, &self.store.snapshot())?;
        let stands = |definition: &SegmentDefinition| {
            let segment = number(&rules, &definition.name)?;
            let members = number(&state.rules, &definition.name).map_or(0, |old| state.standings.counts()[old]);
            Ok(described(&rules, segment, members, None))
        };
        Ok((definitions.iter().map(stands).collect::<Result<_, SegmentsError>>()?, changed))
    }

    /// Which of some definitions are not in force in this form.
    fn changed(&self, definitions: &[SegmentDefinition]) -> Result<Vec<String>, SegmentsError> {
        let state = self.shared.read();
        let mut changed = Vec::new();
        for definition in definitions {
            let canonical = definition.canonical()?;
            if !state.rules.definitions.contains(&canonical) {
                changed.push(canonical.name);
            }
        }
        Ok(changed)
    }

    /// Deletes a segment; gives how many members left it.
    ///
    /// # Errors
    /// [`SegmentsError::Unknown`], [`SegmentsError::OfModel`], [`SegmentsError::InUse`], or the store does not write it.
    pub fn delete(&self, name: &str) -> Result<u64, SegmentsError> {
        let members = self.get(name)?.members;
        self.change(Change::Delete(name.to_owned()))?;
        Ok(members)
    }

    /// Goes over to the models that are served now: names, digests, models.
    ///
    /// # Errors
    /// The store does not write what follows.
    pub(crate) fn serve_models(&self, models: Vec<(String, String, Arc<ServedModel>)>) -> Result<(), SegmentsError> {
        let model = |(name, digest, served)| (name, Model { digest, served });
        self.change(Change::Models(models.into_iter().map(model).collect::<Models>()))?;
        let at_start = mem::take(&mut *self.at_start.lock().unwrap_or_else(PoisonError::into_inner));
        if at_start.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = at_start.iter().map(|definition| definition.name.clone()).collect();
        match self.put(at_start) {
            // As a model that does not load: those in force stay.
            Err(error @ SegmentsError::Definition(_)) => {
                let problem = error.to_string();
                self.shared.log.line("error", "segments_refused", json!({"segments": names, "problem": problem}));
            }
            Err(error) => return Err(error),
            Ok(changed) => self.shared.log.line("info", "segments_put", json!({"segments": changed})),
        }
        Ok(())
    }

    fn change(&self, change: Change) -> Result<(), SegmentsError> {
        let refusal = Refusal::default();
        match self.ask(Ask::Change(change, Arc::clone(&refusal))) {
            Ok(()) => {
                self.shared.ring();
                Ok(())
            }
            Err(error) => Err(refusal.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(error)),
        }
    }

    fn ask(&self, ask: Ask) -> Result<(), SegmentsError> {
        self.store.ask(Box::new(ask))?;
        Ok(())
    }

    /// Lets a simulated clock go on, and waits until everything that falls due by then, and every pass, is seen to.
    ///
    /// # Errors
    /// [`SegmentsError::ClockNotSimulated`], [`SegmentsError::ClockBackwards`], or the store does not write what follows;
    /// the clock has gone on then, and what is due is seen to as soon as it can be.
    pub fn advance_clock(&self, until_us: i64) -> Result<(), SegmentsError> {
        if !self.shared.clock.is_simulated() {
            return Err(SegmentsError::ClockNotSimulated);
        }
        if !self.shared.clock.advance_to(until_us) {
            return Err(SegmentsError::ClockBackwards);
        }
        self.catch_up()
    }

    /// Waits until nothing is due any more and no pass is under way.
    ///
    /// # Errors
    /// The store does not write what follows.
    pub fn catch_up(&self) -> Result<(), SegmentsError> {
        loop {
            self.ask(Ask::Work)?;
            if !self.shared.has_work() {
                return Ok(());
            }
        }
    }

    /// The models that some segments read, directly or not, ascending by name, each with the digest that is served of it,
    /// if any is. What is no segment reads none.
    #[must_use]
    pub fn models_of(&self, segments: &[String]) -> Vec<(String, Option<String>)> {
        let state = self.shared.read();
        let rules = &state.rules;
        let named = segments.iter().filter_map(|name| rules.set.number(name));
        let all: BTreeSet<usize> =
            named.flat_map(|segment| [vec![segment], rules.set.depends_on(segment)].concat()).collect();
        let read: BTreeSet<usize> =
            all.iter().flat_map(|&segment| rules.set.reads_of(segment).models).copied().collect();
        let digest = |place: usize| rules.models.get(place).and_then(Option::as_ref).map(|model| model.digest.clone());
        let found = read.into_iter().map(|place| (rules.set.models()[place].clone(), digest(place)));
        let mut found: Vec<_> = found.collect();
        found.sort();
        found
    }

    /// The number of the last transition; 0 before the first.
    #[must_use]
    pub fn last_transition(&self) -> u64 {
        self.shared.published.last()
    }

    /// Up to about `limit` transitions with larger numbers than `after`, ascending; waits up to `patience` for the first.
    /// Numbers of users who were erased are missing.
    ///
    /// # Errors
    /// [`SegmentsError::Gone`] or [`SegmentsError::Ahead`], or the store's notes cannot be read.
    pub fn transitions_after(
        &self,
        after: u64,
        limit: usize,
        patience: Duration,
    ) -> Result<Vec<Transition>, SegmentsError> {
        let mut after = after;
        loop {
            let page = self.page(after, limit)?;
            if !page.transitions.is_empty() {
                return Ok(page.transitions);
            }
            // Perhaps there were only such as were erased.
            if page.up_to == after && !self.shared.published.wait(after, patience) {
                return Ok(Vec::new());
            }
            if self.shared.stopping.load(SeqCst) {
                return Ok(Vec::new());
            }
            after = page.up_to;
        }
    }

    /// The same at once, with how far one has read.
    pub(crate) fn page(&self, after: u64, limit: usize) -> Result<Page, SegmentsError> {
        self.shared.published.read(after, limit, &self.store)
    }

    /// Changes whenever there are more transitions.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.published.subscribe()
    }

    /// Whether there are all of some segments.
    pub(crate) fn check_names(&self, names: &[String]) -> Result<(), (usize, SegmentsError)> {
        let state = self.shared.read();
        for (place, name) in names.iter().enumerate() {
            number(&state.rules, name).map_err(|error| (place, error))?;
        }
        Ok(())
    }

    /// Those who watch transitions.
    pub(crate) fn watchers(&self) -> &AtomicU64 {
        &self.shared.watchers
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

/// The members of a segment at one moment.
pub(crate) struct Members {
    shared: Arc<Shared>,
    listing: Snapshot,
    bits: Vec<u64>,
}

impl Members {
    /// The members among up to `limit` users after an id, and the last of those users; `None` at the end.
    pub(crate) fn page(&self, after: Option<&str>, limit: usize) -> Option<(Vec<String>, String)> {
        let users = self.listing.users_from(after, limit);
        let last = users.last()?.clone();
        let state = self.shared.read();
        let is_member = |id: &String| {
            let user = state.standings.users.find(id);
            user.is_some_and(|user| self.bits.get(user as usize / 64).is_some_and(|word| word >> (user % 64) & 1 == 1))
        };
        Some((users.into_iter().filter(is_member).collect(), last))
    }
}

fn number(rules: &Rules, name: &str) -> Result<usize, SegmentsError> {
    rules.set.number(name).ok_or_else(|| SegmentsError::Unknown { name: name.to_owned() })
}

fn segment_state(state: &State, segment: usize) -> SegmentState {
    let pass = state.pass.as_ref().filter(|pass| pass.causes.get(segment).is_some_and(Option::is_some));
    let backfill = pass.map(|pass| (pass.done, pass.total));
    described(&state.rules, segment, state.standings.counts().get(segment).copied().unwrap_or(0), backfill)
}

fn described(rules: &Rules, segment: usize, members: u64, backfill: Option<(u64, u64)>) -> SegmentState {
    let reads = rules.set.reads_of(segment);
    let names = |places: &[usize], names: &[String]| places.iter().map(|&place| names[place].clone()).collect();
    SegmentState {
        name: rules.set.names()[segment].clone(),
        definition: rules.set.definition(segment).cloned(),
        members,
        backfill,
        reads_segments: names(reads.segments, rules.set.names()),
        reads_models: names(reads.models, rules.set.models()),
    }
}

/// How many users each two segments share, if any.
fn overlaps(state: &State) -> Vec<(usize, usize, u64)> {
    let segments = state.standings.names().len();
    let mut shared = vec![0_u64; segments * segments];
    let mut of_user = Vec::new();
    for user in 0..state.standings.users.len() as u32 {
        of_user.clear();
        for (word, bits) in state.standings.bits_of(user).iter().enumerate() {
            let mut bits = *bits;
            while bits != 0 {
                of_user.push(word * 64 + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
        for (place, &first) in of_user.iter().enumerate() {
            of_user[place + 1..].iter().for_each(|&second| shared[first * segments + second] += 1);
        }
    }
    let pairs = shared.into_iter().enumerate().filter(|(_, users)| *users > 0);
    pairs.map(|(pair, users)| (pair / segments, pair % segments, users)).collect()
}
