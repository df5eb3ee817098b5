//! A plan bound to the shape of a log, before there is an event, gives what a plan bound to the log itself gives.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod support;

use propense_core::events::{Cells, Column, ColumnKind, EventLog, Events, UserIds};
use propense_core::expr::UnknownEvents;
use propense_core::features::{DictionarySizes, ParsedSpec, Period, Plan, Scan, ScanPlan};
use proptest::collection::vec;
use proptest::prelude::*;

use support::comparison::spec;
use support::expressions::feature;
use support::logs::log;
use support::situation;

/// A text column with its dictionary the other way round, and any column with a row for each of these.
fn turned(column: &Column, rows: &[Option<usize>]) -> Column {
    let dictionary: Vec<String> = column.dictionary.iter().rev().cloned().collect();
    let code = |row: usize| column.cells.code(row).map_or(u8::MAX, |code| (dictionary.len() as u32 - 1 - code) as u8);
    let cells = if column.kind == ColumnKind::Text {
        Cells::U8(rows.iter().map(|row| row.map_or(u8::MAX, code)).collect())
    } else {
        Cells::F64(rows.iter().map(|row| row.map_or(f64::NAN, |row| column.number(row))).collect())
    };
    Column { name: column.name.clone(), kind: column.kind, cells, dictionary }
}

/// The same log as a store gives it: dictionaries in another order, numbers in the widest cells, `users` of its users.
fn as_stored(log: &EventLog, users: usize) -> EventLog {
    let parts = log.parts();
    let rows: Vec<_> = (0..parts.offsets[users] as usize).map(Some).collect();
    let last = parts.event_types.len() as u32 - 1;
    let stored = EventLog::from_parts(Events {
        users: UserIds::Integers((0..users as i64).collect()),
        offsets: parts.offsets[..=users].to_vec().into(),
        time_us: parts.time_us[..rows.len()].to_vec().into(),
        event: Cells::U8((0..rows.len()).map(|row| (last - parts.event.code(row).unwrap()) as u8).collect()),
        event_types: parts.event_types.iter().rev().cloned().collect(),
        columns: parts.columns.iter().map(|column| turned(column, &rows)).collect(),
        dropped: 0,
    });
    let profiles: Vec<_> = (0..users).map(|user| log.profile_row(user)).collect();
    stored.unwrap().with_attributes(log.attributes().iter().map(|column| turned(column, &profiles)).collect()).unwrap()
}

fn fits(ready: &ScanPlan, log: &EventLog) -> bool {
    ready.fits(log, &DictionarySizes::of(log))
}

fn rows(ready: &ScanPlan, log: &EventLog, as_of_us: i64) -> Vec<Vec<u32>> {
    let mut scan = Scan::new(ready, log, Period::before(as_of_us));
    let mut row = vec![0.0; ready.width()];
    let bits = |user| {
        scan.write_row(user, &mut row);
        row.iter().map(|value| value.to_bits()).collect()
    };
    (0..log.users().len()).map(bits).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_plan_bound_to_a_shape_runs_over_every_log_of_it(
        (moments, events, profiles) in situation(),
        features in vec(feature(), 1..=8),
    ) {
        let log = log(&[&events], &profiles);
        prop_assume!(!log.is_empty());
        let own = Plan::compile(&spec(&features, moments.timezone), &log, UnknownEvents::Empty, moments.as_of_us).unwrap();
        let (shape, stored) = (as_stored(&log, 0), as_stored(&log, log.users().len()));
        let parsed = ParsedSpec::new(own.spec()).unwrap();
        let span_us = log.time_span_us().unwrap();
        let bound = Plan::bind(&parsed, &shape, UnknownEvents::Empty, moments.as_of_us, span_us).unwrap();
        let ready = ScanPlan::new(&shape, &bound, None);
        prop_assert!(fits(&ready, &shape) && fits(&ready, &stored));
        let expected = rows(&ScanPlan::new(&log, &own, None), &log, moments.as_of_us);
        prop_assert_eq!(rows(&ready, &stored, moments.as_of_us), expected);
    }
}

const DAYS: &str = "active_days(*)";

fn ready(texts: &[&str], log: &EventLog) -> ScanPlan {
    let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    let parsed = ParsedSpec::new(&spec(&texts, "UTC")).unwrap();
    let plan = Plan::bind(&parsed, log, UnknownEvents::Empty, 1_000, (0, 1_000)).unwrap();
    ScanPlan::new(log, &plan, None)
}

/// A log of one event, with these event types and texts.
fn small(time_us: i64, event_types: &[&str], texts: &[&str], wide: bool) -> EventLog {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    EventLog::from_parts(Events {
        users: UserIds::Integers(vec![7].into()),
        offsets: vec![0, 1].into(),
        time_us: vec![time_us].into(),
        event: Cells::U8(vec![0].into()),
        event_types: owned(event_types),
        columns: vec![Column {
            name: "colour".to_owned(),
            kind: ColumnKind::Text,
            cells: if wide { Cells::U16(vec![0].into()) } else { Cells::U8(vec![0].into()) },
            dictionary: owned(texts),
        }],
        dropped: 0,
    })
    .unwrap()
}

#[test]
fn a_plan_does_not_fit_a_log_that_has_outgrown_it() {
    let before = small(5, &["view"], &["red"], false);
    let filter = "count(view) FILTER (WHERE colour = 'blue')";
    for (what, after, fits_differing, fits_saying) in [
        ("nothing new", small(6, &["view"], &["red"], false), true, true),
        ("an event type", small(5, &["view", "buy"], &["red"], false), false, false),
        ("a text", small(5, &["view"], &["red", "blue"], false), true, false),
        ("wider cells", small(5, &["view"], &["red"], true), false, false),
    ] {
        assert_eq!(fits(&ready(&["distinct(view.colour)"], &before), &after), fits_differing, "{what}");
        assert_eq!(fits(&ready(&[filter], &before), &after), fits_saying, "{what}");
    }
    let late = small(1_001, &["view"], &["red"], false);
    assert!(fits(&ready(&[filter], &before), &late), "no calendar is read");
    assert!(!fits(&ready(&[DAYS], &before), &late), "the calendar ends before the event");
}
