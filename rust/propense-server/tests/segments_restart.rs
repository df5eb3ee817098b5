//! What is left when a server goes down while segments still have something to do, and when time is not what it was.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use propense_core::segments::SegmentDefinition;
use propense_server::{Backend, Clock, LiveOptions, LogLines, StoreBackend, Transition};
use propense_store::{EventBatch, ProfileBatch, StoreOptions};
use tempfile::TempDir;

const SECOND_US: i64 = 1_000_000;
const MINUTE_US: i64 = 60 * SECOND_US;
const DAY_US: i64 = 24 * 60 * MINUTE_US;
const START_US: i64 = 1_700_000_000_000_000;

fn open(folder: &Path, clock: &Clock) -> StoreBackend {
    let live = LiveOptions { clock: clock.clone(), log: Some(LogLines::stderr()), segments: Vec::new() };
    let options = StoreOptions { background: false, ..StoreOptions::default() };
    let backend = StoreBackend::open(folder, options, live).unwrap();
    backend.serve_models(&[]).unwrap();
    backend
}

fn ingest(backend: &StoreBackend, user: &str, time_us: i64) {
    let mut batch = EventBatch::new();
    batch.push_event(user, time_us, "contact", None).unwrap();
    backend.store().ingest(batch).unwrap();
}

fn put(backend: &StoreBackend, definition: SegmentDefinition) {
    backend.segments().unwrap().put(vec![definition]).unwrap();
}

fn transitions(backend: &StoreBackend) -> Vec<Transition> {
    backend.segments().unwrap().transitions_after(0, 100_000, Duration::ZERO).unwrap().transitions
}

#[test]
fn a_clock_that_is_advanced_while_a_pass_is_under_way_leaves_nothing_out() {
    let folder = TempDir::new().unwrap();
    let backend = open(folder.path(), &Clock::simulated(START_US));
    let mut batch = EventBatch::new();
    for user in 0..30_000 {
        batch.push_event(&format!("user {user:05}"), START_US - DAY_US, "contact", None).unwrap();
    }
    backend.store().ingest(batch).unwrap();
    put(&backend, SegmentDefinition::new("recent", "count(contact, '3d') >= 1"));
    let live = backend.segments().unwrap();
    live.advance_clock(START_US + 30 * DAY_US).unwrap();
    let all = transitions(&backend);
    let (entered, left): (Vec<&Transition>, Vec<&Transition>) = all.iter().partition(|one| one.enter);
    assert_eq!((entered.len(), left.len()), (30_000, 30_000));
    assert!(entered.iter().all(|one| one.time_us == START_US));
    assert!(left.iter().all(|one| one.time_us == START_US + 2 * DAY_US + 1), "{:?}", left[0]);
}

#[test]
fn a_store_that_was_ahead_of_the_clock_is_evaluated_anew() {
    let folder = TempDir::new().unwrap();
    let system = Clock::system();
    let now_us = system.now_us();
    {
        let backend = open(folder.path(), &Clock::simulated(now_us));
        put(&backend, SegmentDefinition::new("recent", "count(contact, '3d') >= 1"));
        ingest(&backend, "before", now_us - DAY_US);
        backend.segments().unwrap().advance_clock(now_us + 300 * DAY_US).unwrap();
        assert_eq!(backend.segments().unwrap().get("recent").unwrap().members, 0);
    }
    // Twice, as what the first restart says must hold for the second.
    for members in [2, 3] {
        let backend = open(folder.path(), &system);
        let live = backend.segments().unwrap();
        ingest(&backend, &format!("at restart {members}"), system.now_us());
        live.catch_up().unwrap();
        assert_eq!(live.get("recent").unwrap().members, members);
        let last = transitions(&backend).pop().unwrap();
        assert!(last.enter && last.time_us <= system.now_us(), "{last:?}");
    }
}

#[test]
fn who_stands_as_before_by_a_late_profile_still_does_so_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let clock = Clock::simulated(START_US);
    let rule = "attr(plan) = 'pro' AND count(contact, '1m') >= 1";
    {
        let backend = open(folder.path(), &clock);
        let mut of_other = ProfileBatch::new();
        let row = of_other.push_user("other").unwrap();
        of_other.columns.set_text(row, "plan", "pro").unwrap();
        backend.store().put_profiles(of_other).unwrap();
        put(&backend, SegmentDefinition { min_stay: Some("7d".to_owned()), ..SegmentDefinition::new("busy", rule) });
        let live = backend.segments().unwrap();
        ingest(&backend, "ann", START_US - 1);
        live.advance_clock(START_US + 7 * DAY_US - 5 * MINUTE_US).unwrap();
        live.advance_clock(START_US + 7 * DAY_US - 4 * MINUTE_US).unwrap();
        ingest(&backend, "ann", clock.now_us() - 1);
        live.advance_clock(START_US + 7 * DAY_US + 10 * SECOND_US).unwrap();
        // As if ann always had been: in from the first contact for seven days, the second one within them.
        let mut of_ann = ProfileBatch::new();
        let row = of_ann.push_user("ann").unwrap();
        of_ann.columns.set_text(row, "plan", "pro").unwrap();
        backend.store().put_profiles(of_ann).unwrap();
        assert_eq!(live.get("busy").unwrap().members, 0);
    }
    let backend = open(folder.path(), &clock);
    let live = backend.segments().unwrap();
    live.catch_up().unwrap();
    assert_eq!(live.get("busy").unwrap().members, 0, "{:?}", transitions(&backend));
}
