//! The machine stops at any moment, and what was not synced is lost, kept, reordered or torn: every acknowledged write is
//! there exactly once, every other one whole or not at all, and erased users stay away.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod contents;
mod crash;
mod disk;
mod observer;
mod random;
mod run;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use contents::{holds, observed, read_observed};
use crash::{DiskState, FATES, Fate, Kept};
use disk::{RecordingDisk, Step};
use observer::Watched;
use propense_store::LocalDisk;
use random::Random;
use run::{Model, Operation, batch, folder, options, perform, some_operation};
use tempfile::TempDir;

const SEED: u64 = 20_261_122;
const OPERATIONS: usize = 500;
const THREADS: usize = 2;
/// Of each step after which not everything is synced, so many fates are tried.
const FATES_A_STEP: usize = 2;

/// What happened in one operation.
#[derive(Debug)]
struct Done {
    operation: Operation,
    /// Steps of the disk before it.
    start: usize,
    /// Steps of the disk before it was acknowledged.
    end: usize,
}

/// Does so many operations, one after the other, and gives what was done and the model after each; the first is empty.
fn run(disk: &RecordingDisk, folder: &Path, operations: usize, seed: u64) -> (Vec<Done>, Vec<Model>) {
    let mut random = Random::new(seed);
    let mut store = None;
    let (mut done, mut models, mut next) = (Vec::new(), vec![Model::default()], 0);
    for _ in 0..operations {
        let start = disk.steps_so_far();
        let operation = if store.is_none() { Operation::Reopen } else { some_operation(&mut random, &mut next) };
        if matches!(operation, Operation::Reopen) {
            drop(store.take());
            store = Some(Watched::open(folder, options(disk.clone())).unwrap());
        }
        let mut model = models.last().cloned().unwrap();
        perform(store.as_ref().unwrap(), &operation, &model).unwrap();
        model.take(&operation);
        models.push(model);
        done.push(Done { operation, start, end: disk.steps_so_far() });
    }
    (done, models)
}

/// A run, step by step.
struct Recorded {
    steps: Vec<Step>,
    done: Vec<Done>,
    models: Vec<Model>,
}

impl Recorded {
    fn new(operations: usize, seed: u64) -> Self {
        let root = folder();
        let disk = RecordingDisk::new(root.path());
        let (done, models) = run(&disk, &root.path().join("store"), operations, seed);
        Self { steps: disk.steps(), done, models }
    }

    /// What was acknowledged after so many steps, and with the operation that was on its way.
    fn expected(&self, steps: usize) -> (&Model, &Model) {
        let acknowledged = self.done.partition_point(|done| done.end <= steps);
        let is_on_its_way = self.done.get(acknowledged).is_some_and(|done| done.start < steps);
        (&self.models[acknowledged], &self.models[acknowledged + usize::from(is_on_its_way)])
    }

    /// Opens what is left after a crash and compares; gives which of the two models it is.
    fn check<'a>(&'a self, root: &Path, steps: usize, fate: Fate) -> &'a Model {
        let (acknowledged, with_next) = self.expected(steps);
        let what = || format!("seed {SEED}, after {steps} steps, {fate:?}, in {:?}", self.operation(steps));
        let store_folder = root.join("store");
        let store =
            Watched::open(&store_folder, options(LocalDisk)).unwrap_or_else(|error| panic!("{error}; {}", what()));
        let found = read_observed(&store).unwrap_or_else(|error| panic!("{error}; {}", what()));
        let same = |model: &Model| {
            (&model.events, &model.profiles, &model.folded) == (&found.events, &found.profiles, &found.folded)
        };
        let model = [acknowledged, with_next].into_iter().find(|model| same(model)).unwrap_or_else(|| {
            let (expected, next) = (&acknowledged.folded, &with_next.folded);
            let events = (found.events.len(), acknowledged.events.len());
            panic!("{}: {events:?} events;\n{:?}; expected\n{expected:?} or\n{next:?}", what(), found.folded)
        });
        for user in &acknowledged.erased {
            assert!(!holds(root, user), "{user} is still in a file; {}", what());
        }
        model
    }

    fn operation(&self, steps: usize) -> Option<&Operation> {
        self.done.iter().find(|done| done.end > steps).map(|done| &done.operation)
    }
}

#[test]
fn a_crash_at_any_step_loses_nothing_that_was_acknowledged() {
    let recorded = Recorded::new(OPERATIONS, SEED);
    let states = AtomicUsize::new(0);
    thread::scope(|scope| {
        for part in 0..THREADS {
            let (recorded, states) = (&recorded, &states);
            scope.spawn(move || {
                let mut disk = DiskState::new();
                for (number, step) in recorded.steps.iter().enumerate() {
                    disk.take(step);
                    if number % THREADS != part {
                        continue;
                    }
                    let mut random = Random::new(SEED ^ number as u64);
                    let fates = if disk.is_safe() { 1 } else { FATES_A_STEP };
                    let first = random.below(FATES.len());
                    for fate in FATES.into_iter().cycle().skip(first).take(fates) {
                        let root = folder();
                        disk.materialise(fate, &mut random, root.path());
                        recorded.check(root.path(), number + 1, fate);
                        states.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let states = states.into_inner();
    println!("seed {SEED}: {OPERATIONS} operations, {} steps, {states} states", recorded.steps.len());
    assert!(states >= 5_000, "{states}");
}

/// Copies of the disk after a crash at some steps, and how it was.
fn crashes(recorded: &Recorded, every: usize) -> Vec<(usize, Fate, TempDir)> {
    let (mut disk, mut random, mut crashes) = (DiskState::new(), Random::new(SEED), Vec::new());
    for (number, step) in recorded.steps.iter().enumerate() {
        disk.take(step);
        if !disk.is_safe() && random.below(every) == 0 {
            let (root, fate) = (folder(), FATES[random.below(FATES.len())]);
            disk.materialise(fate, &mut random, root.path());
            crashes.push((number + 1, fate, root));
        }
    }
    crashes
}

#[test]
fn a_crash_while_recovering_from_a_crash_loses_nothing_either() {
    let recorded = Recorded::new(120, SEED + 1);
    let mut states = 0;
    for (steps, first_fate, root) in crashes(&recorded, 12) {
        let disk = RecordingDisk::new(root.path());
        let before = disk.steps_so_far();
        drop(Watched::open(&root.path().join("store"), options(disk.clone())).unwrap());
        let recovery = disk.steps();
        let (mut state, mut random) = (DiskState::new(), Random::new(SEED ^ steps as u64));
        for (number, step) in recovery.iter().enumerate() {
            state.take(step);
            if number < before || state.is_safe() {
                continue;
            }
            let fate = FATES[random.below(FATES.len())];
            let again = folder();
            state.materialise(fate, &mut random, again.path());
            recorded.check(again.path(), steps, Fate { names: first_fate.names, contents: fate.contents });
            states += 1;
        }
    }
    println!("seed {}: {states} states in recovery", SEED + 1);
    assert!(states > 200, "{states}");
}

#[test]
fn what_a_killed_process_left_unsynced_is_synced_before_anything_relies_on_it() {
    let recorded = Recorded::new(150, SEED + 2);
    let (mut disk, mut states) = (DiskState::new(), 0);
    for (number, step) in recorded.steps.iter().enumerate() {
        disk.take(step);
        if disk.is_safe() {
            continue;
        }
        // The process is killed: another one sees all that was written, synced or not.
        let root = folder();
        let all = Fate { names: Kept::All, contents: Kept::All };
        disk.materialise(all, &mut Random::new(1), root.path());
        let seen = RecordingDisk::after(root.path(), &recorded.steps[..=number]);
        let store = Watched::open(&root.path().join("store"), options(seen.clone())).unwrap();
        // Its clients send again what was not acknowledged.
        let on_its_way = recorded.operation(number + 1);
        let again = match on_its_way {
            Some(Operation::Ingest(events)) => events.clone(),
            _ => Vec::new(),
        };
        store.ingest(batch(&again)).unwrap();
        let mut expected = observed(&store);
        drop(store);
        // Then the machine stops.
        let mut after = DiskState::new();
        seen.steps().iter().for_each(|step| after.take(step));
        let crashed: PathBuf = root.path().join("crashed");
        std::fs::create_dir(&crashed).unwrap();
        after.materialise(Fate { names: Kept::None, contents: Kept::None }, &mut Random::new(1), &crashed);
        let store = Watched::open(&crashed.join("store"), options(LocalDisk)).unwrap();
        let found = observed(&store);
        expected.erased.clear();
        assert_eq!(found, expected, "seed {}, killed after {} steps in {on_its_way:?}", SEED + 2, number + 1);
        states += 1;
    }
    println!("seed {}: {states} kills", SEED + 2);
    assert!(states > 100, "{states}");
}
