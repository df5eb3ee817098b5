//! Live segments are what a batch run says: after every write, at every transition, and after every restart, whatever the
//! segments, the events and the clock.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod batch;
mod breakable;
mod dice;
#[path = "../../../propense-onnx/tests/fixtures/mod.rs"]
mod fixtures;
mod people;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use batch::{Batch, plans};
use breakable::Breakable;
use dice::{DAY_US, Dice, MODEL, Reads, segment, segments};
use people::{People, event, profile, stored, stored_profile};
use propense_core::events::UserIds;
use propense_core::segments::SegmentDefinition;
use propense_onnx::{LoadedModel, ModelDirectory};
use propense_server::{Backend, Cause, Clock, LiveOptions, LiveSegments, LogLines, Serving, StoreBackend, Transition};
use propense_store::StoreOptions;
use tempfile::TempDir;

const START_US: i64 = 1_700_000_000_000_000;

fn model_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").join(MODEL)
}

/// In memory where there is such a place: what is tested here is not the disk.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

/// A store with live segments, what was sent to it, and what came of it.
struct World {
    seed: u64,
    dice: Dice,
    reads: Reads,
    span_us: i64,
    folder: TempDir,
    disk: Breakable,
    clock: Clock,
    backend: Option<StoreBackend>,
    model: Option<Arc<LoadedModel>>,
    people: People,
    /// In force, ascending by name.
    definitions: BTreeMap<String, SegmentDefinition>,
    /// Fold of the transitions.
    members: BTreeMap<(String, String), bool>,
    number: u64,
    events_sent: i64,
    erased: Vec<String>,
    compared: usize,
    /// The clock when all was compared last.
    compared_us: i64,
    /// Instants in between that are still to be compared.
    instants: u64,
}

impl World {
    fn new(seed: u64, with_model: bool) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1);
        let clock = !with_model && dice.one_in(4);
        let reads = Reads { clock, model: with_model };
        let span_us = if clock || with_model { 3 * DAY_US } else { 30 * DAY_US };
        let mut world = Self {
            seed,
            dice,
            reads,
            span_us,
            folder: folder(),
            disk: Breakable::default(),
            clock: Clock::simulated(START_US),
            backend: None,
            model: with_model.then(|| Arc::new(ModelDirectory::load(model_folder()).unwrap())),
            people: People::default(),
            definitions: BTreeMap::new(),
            members: BTreeMap::new(),
            number: 0,
            events_sent: 0,
            erased: Vec::new(),
            compared: 0,
            compared_us: START_US,
            instants: instants(),
        };
        world.open();
        world
    }

    fn open(&mut self) {
        let options = StoreOptions {
            background: false,
            notes_bytes: 1 << 10,
            disk: Arc::new(self.disk.clone()),
            ..StoreOptions::default()
        };
        let live = LiveOptions { clock: self.clock.clone(), log: Some(LogLines::stderr()), segments: Vec::new() };
        let backend = StoreBackend::open(self.folder.path().join("store"), options, live).unwrap();
        let model = self.model.as_ref().map(|_| backend.load_model(&model_folder()).unwrap());
        let serving: Vec<_> = (model.iter())
            .map(|model| Serving { name: MODEL, digest: &model.digest, is_audited: false, model: &model.model })
            .collect();
        backend.serve_models(&serving).unwrap();
        self.backend = Some(backend);
    }

    fn live(&self) -> Arc<LiveSegments> {
        Arc::clone(self.backend.as_ref().unwrap().segments().unwrap())
    }

    fn send_events(&mut self, count: u64) {
        let now_us = self.clock.now_us();
        let first = self.people.events.len();
        for _ in 0..count {
            self.events_sent += 1;
            // Most just now, some late, some to come.
            let back_us = if self.dice.one_in(2) { self.span_us } else { 60_000_000 };
            let event = event(&mut self.dice, self.events_sent, now_us, back_us, DAY_US / 2);
            self.people.events.push(event);
        }
        self.backend.as_ref().unwrap().store().ingest(stored(&self.people.events[first..])).unwrap();
        let erased = &self.erased;
        self.people.events.retain(|event| !erased.contains(&event.user));
    }

    /// One random thing; gives what may be the causes of what follows.
    fn act(&mut self) -> Vec<Cause> {
        let now_us = self.clock.now_us();
        match self.dice.below(14) {
            12 => {
                // What cannot be written has not happened.
                let number = self.events_sent + 1;
                let event = event(&mut self.dice, number, now_us, self.span_us, 0);
                // Of somebody erased there is nothing to be written.
                let is_erased = self.erased.contains(&event.user);
                self.fail(|world| {
                    world.backend.as_ref().unwrap().store().ingest(stored(&[event])).is_err() || is_erased
                });
                vec![]
            }
            13 => {
                // A clock that goes on while nothing can be written: what was due comes later, and once.
                let until_us = now_us + 1 + self.dice.within_us(DAY_US / 2);
                self.fail(|world| {
                    // Where nothing was due, nothing had to be written.
                    let _ = world.live().advance_clock(until_us);
                    true
                });
                vec![Cause::Time]
            }
            0..=3 => {
                let count = 1 + self.dice.below(8);
                self.send_events(count);
                vec![Cause::Event]
            }
            4 | 5 => {
                let most_us = if self.reads.clock || self.reads.model { DAY_US / 2 } else { 4 * DAY_US };
                let until_us = now_us + 1 + self.dice.within_us(most_us);
                self.live().advance_clock(until_us).unwrap();
                vec![Cause::Time]
            }
            6 => {
                let Some(user) = self.people.events.first().map(|event| event.user.clone()) else { return vec![] };
                let profile = profile(&mut self.dice);
                self.backend.as_ref().unwrap().store().put_profiles(stored_profile(&user, profile)).unwrap();
                self.people.profiles.insert(user, profile);
                vec![Cause::Event]
            }
            7 => {
                let place = self.dice.below(5) as usize;
                let definition = segment(&mut self.dice, place, self.reads, now_us);
                self.put(vec![definition]);
                vec![Cause::RuleChange]
            }
            8 => {
                let Some(name) = self.definitions.keys().next_back().cloned() else { return vec![] };
                if self.live().delete(&name).is_ok() {
                    self.definitions.remove(&name);
                }
                vec![Cause::RuleChange]
            }
            9 => {
                if self.dice.one_in(2) {
                    self.backend.as_ref().unwrap().store().seal().unwrap();
                } else {
                    self.backend.as_ref().unwrap().store().compact().unwrap();
                }
                vec![]
            }
            10 => {
                let down_us = if self.dice.one_in(2) { self.dice.within_us(DAY_US / 2) } else { 0 };
                self.backend = None;
                self.clock = Clock::simulated(now_us + down_us);
                self.open();
                vec![Cause::Time]
            }
            _ => {
                let Some(user) = self.people.events.first().map(|event| event.user.clone()) else { return vec![] };
                if self.erased.len() > 1 || !self.dice.one_in(3) {
                    return vec![];
                }
                self.backend.as_ref().unwrap().store().erase(&user).unwrap();
                self.people.events.retain(|event| event.user != user);
                self.people.profiles.remove(&user);
                self.erased.push(user);
                vec![Cause::Erased]
            }
        }
    }

    fn fail(&mut self, fails: impl FnOnce(&mut Self) -> bool) {
        self.disk.full.store(true, SeqCst);
        assert!(fails(self), "the disk is full");
        self.disk.full.store(false, SeqCst);
    }

    fn put(&mut self, definitions: Vec<SegmentDefinition>) {
        // Names that are read may be missing, or closed to a circle: then nothing changes.
        if self.live().put(definitions.clone()).is_ok() {
            self.definitions.extend(definitions.into_iter().map(|new| (new.name.clone(), new)));
        }
    }

    /// Reads what followed, and compares all with batch.
    fn compare(&mut self, what: &str, causes: &[Cause], slowly: bool) {
        self.live().catch_up().unwrap();
        let transitions = self.live().transitions_after(self.number, 100_000, Duration::ZERO).unwrap().transitions;
        let log = self.people.log();
        let definitions: Vec<SegmentDefinition> = self.definitions.values().cloned().collect();
        let model = self.model.clone();
        let plans = model.as_ref().map(|model| plans(model, &log));
        let batch = Batch::new(&log, &definitions, model.as_deref().zip(plans.as_ref()));
        let context = format!("seed {}, after {what}", self.seed);
        let share = if slowly { self.instants } else { self.instants / 4 };
        self.compare_between(&transitions, &batch, share, &context);
        for transition in &transitions {
            self.take(transition, causes, &batch, &context);
        }
        let now_us = self.clock.now_us();
        let (live, names) = (self.live(), batch.names());
        for user in 0..log.users().len() {
            let UserIds::Texts(ids) = log.users() else { panic!("ids are texts") };
            let id = ids.value(user).to_owned();
            let expected = batch.standings(user, now_us);
            if slowly {
                let slowly = batch.slow_standings(user, now_us);
                assert_eq!(expected, slowly, "{context}: batch and oracle, {id} at {now_us}, of {definitions:#?}");
            }
            for (standing, (name, expected)) in
                live.of_user(&id, names).unwrap().iter().zip(names.iter().zip(&expected))
            {
                assert_eq!(
                    (standing.is_member, standing.since_us),
                    (expected.member, expected.member.then_some(expected.since_us)),
                    "{context}: {id} in {name} at {now_us}, of {definitions:#?}"
                );
                let folded = self.members.get(&(id.clone(), name.clone())).copied().unwrap_or_default();
                assert_eq!(folded, expected.member, "{context}: the fold of {id} in {name}");
                self.compared += 1;
            }
        }
        let counts: u64 = live.list(false).segments.iter().map(|segment| segment.members).sum();
        let folded = self.members.values().filter(|member| **member).count() as u64;
        assert_eq!(counts, folded, "{context}: counts");
    }

    /// Compares what the transitions fold to with batch, at random instants since all was compared last: nothing but time has
    /// passed since then.
    fn compare_between(&mut self, transitions: &[Transition], batch: &Batch<'_>, instants: u64, context: &str) {
        let (from_us, to_us) = (self.compared_us, self.clock.now_us());
        self.compared_us = to_us;
        let users = batch.log.users().len();
        if from_us == to_us || users == 0 {
            return;
        }
        self.instants -= instants;
        let dice = &mut self.dice;
        let mut random = || (dice.below(users as u64) as usize, from_us + 1 + dice.within_us(to_us - from_us));
        let asked: Vec<(usize, i64)> = (0..instants).map(|_| random()).collect();
        let UserIds::Texts(ids) = batch.log.users() else { panic!("ids are texts") };
        for (place, (&(user, at_us), expected)) in asked.iter().zip(batch.members(&asked)).enumerate() {
            let id = ids.value(user);
            if place % 250 == 0 {
                let slowly: Vec<bool> = batch.slow_standings(user, at_us).iter().map(|now| now.member).collect();
                assert_eq!(expected, slowly, "{context}: batch and oracle, {id} at {at_us}");
            }
            for (name, &expected) in batch.names().iter().zip(&expected) {
                let is_of = |one: &&Transition| *one.user == *id && *one.segment == **name && one.time_us <= at_us;
                let before = || self.members.get(&(id.to_owned(), name.clone())).copied().unwrap_or_default();
                let live = transitions.iter().rfind(is_of).map_or_else(before, |last| last.enter);
                let moved = || transitions.iter().filter(|one| *one.user == *id).collect::<Vec<_>>();
                assert_eq!(
                    live,
                    expected,
                    "{context}: {id} in {name} at {at_us}, from {from_us} to {to_us}, after {:#?}, of {:#?}",
                    moved(),
                    self.definitions
                );
                self.compared += 1;
            }
        }
    }

    fn take(&mut self, transition: &Transition, causes: &[Cause], batch: &Batch<'_>, context: &str) {
        let Transition { number, user, segment, enter, time_us, cause } = transition;
        assert_eq!(*number, self.number + 1, "{context}: {transition:?}");
        self.number = *number;
        let known = self.members.entry((user.to_string(), segment.to_string())).or_default();
        assert_ne!(*known, *enter, "{context}: {transition:?} twice");
        *known = *enter;
        assert!(causes.contains(cause), "{context}: {transition:?} is none of {causes:?}");
        assert!(*time_us <= self.clock.now_us());
        // Who is gone, and what is, is in no batch.
        let place =
            (batch.log.users().find_text(user), batch.names().binary_search_by(|name| name.as_str().cmp(segment)));
        if let (Some(user), Ok(segment)) = place {
            let standing = batch.standings(user, *time_us)[segment];
            assert_eq!(standing.member, *enter, "{context}: {transition:?}");
            self.compared += 1;
        }
    }
}

fn run(seed: u64, with_model: bool) -> usize {
    let mut world = World::new(seed, with_model);
    let count = 20 + world.dice.below(30);
    world.send_events(count);
    world.compare("the first events", &[Cause::Event], false);
    let definitions = segments(&mut world.dice, world.reads, START_US);
    world.put(definitions);
    world.compare("the first segments", &[Cause::RuleChange], false);
    let steps = if with_model { 8 } else { 14 };
    for step in 0..steps {
        let causes = world.act();
        world.compare(&format!("step {step} {causes:?}"), &causes, false);
    }
    // What is left of the instants is spread over a time in which nothing happens.
    let until_us = world.clock.now_us() + 1 + world.dice.within_us(world.span_us / 2);
    world.live().advance_clock(until_us).unwrap();
    world.compare("the last of time", &[Cause::Time], true);
    assert_eq!(world.instants, 0);
    world.compared
}

/// Seeds: so many as `PROPENSE_SEGMENT_SETS` says or as usual, or the one of `PROPENSE_SEGMENT_SEED`.
fn seeds(usual: u64) -> std::ops::Range<u64> {
    let given = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
    match given("PROPENSE_SEGMENT_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..given("PROPENSE_SEGMENT_SETS").unwrap_or(usual),
    }
}

/// Whether all that was promised is tried: 500 sets and 1,000 instants each, some minutes.
fn is_long() -> bool {
    std::env::var_os("PROPENSE_LONG").is_some()
}

/// Random instants between two writes, a set.
fn instants() -> u64 {
    if is_long() { 1_000 } else { 100 }
}

#[test]
fn live_membership_is_that_of_batch() {
    let compared: usize = seeds(if is_long() { 500 } else { 60 }).map(|seed| run(seed, false)).sum();
    assert!(compared > 50, "only {compared} memberships were compared");
}

#[test]
fn live_membership_by_a_model_is_that_of_batch() {
    if !fixtures::ready() {
        return;
    }
    let compared: usize = seeds(if is_long() { 500 } else { 60 }).step_by(15).map(|seed| run(seed, true)).sum();
    assert!(compared > 100, "only {compared} memberships were compared");
}
