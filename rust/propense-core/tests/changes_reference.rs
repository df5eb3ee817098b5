//! Between the instants that [`Changes`] names, fractions of values that age cross nothing that they are compared with.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod support;

use jiff::tz::TimeZone;
use propense_core::events::EventLog;
use propense_core::expr::{Expr, UnknownEvents, parse};
use propense_core::features::reference::{Moment, evaluate};
use propense_core::features::{Changes, Distinguished, Period, Plan, Scan, ScanPlan};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use support::comparison::spec;
use support::logs::{Event, log};
use support::moments::instant_us;
use support::rules::{UNEVEN, aging, comparison, decayed, fraction};

const DAY_US: i64 = 86_400_000_000;

fn event((time_us, kind): (i64, &'static str)) -> Event {
    Event {
        user: 0,
        time_us,
        kind,
        amount: Some(1.0),
        unit_price: None,
        category: None,
        gift: Some(true),
        due_us: None,
    }
}

/// What is made of a value at an instant.
struct Watched<'a> {
    log: &'a EventLog,
    expr: Expr,
    /// The numbers that its nearest f32 is compared with, if it is not a condition.
    thresholds: Option<Vec<f32>>,
}

impl Watched<'_> {
    fn answer(&self, now_us: i64) -> (bool, usize) {
        let moment = Moment { start_us: None, end_us: now_us, timezone: TimeZone::UTC };
        let value = evaluate(self.log, &self.expr, 0, &moment).as_f64();
        let steps = self.thresholds.as_deref().unwrap_or(&[1.0]);
        (value.is_nan(), steps.iter().filter(|&step| value as f32 >= *step).count())
    }

    fn changes(&self, text: &str) -> Changes {
        let plan = Plan::compile(&spec(&[text.to_owned()], "UTC"), self.log, UnknownEvents::Empty, i64::MAX).unwrap();
        let thresholds = self.thresholds.as_deref();
        Changes::new(self.log, &plan, |_| thresholds.map_or(Distinguished::Everything, Distinguished::Steps))
    }

    /// Walks from one instant that is named to the next; gives how many there were.
    fn check(&self, text: &str, until_us: i64, places: &[f64]) -> usize {
        let changes = self.changes(text);
        assert!(!changes.rechecks(), "{text} is not solved");
        let (mut now_us, mut visits) = (self.log.time_us()[0], 0);
        while now_us < until_us {
            let next_us = changes.next_us(self.log, 0, now_us).min(until_us);
            assert!(next_us > now_us);
            let (before, length_us) = (self.answer(now_us), next_us - now_us);
            let somewhere = places.iter().map(|place| now_us + (length_us as f64 * place) as i64);
            for between_us in somewhere.chain([now_us + 1, next_us - 1]).filter(|&between_us| between_us < next_us) {
                let found = self.answer(between_us);
                assert_eq!(found, before, "{text} changes in ({now_us}, {next_us}), by {between_us} at the latest");
            }
            (now_us, visits) = (next_us, visits + 1);
        }
        visits
    }
}

#[test]
fn a_value_that_comes_to_be_there_by_age_alone_is_looked_at_though_no_number_is() {
    let log = log(&[&[event((instant_us("2024-02-01T00:00:00Z"), "buy"))]], &[]);
    let rechecks = |text: &str, distinguished: Distinguished<'_>| {
        let plan = Plan::compile(&spec(&[text.to_owned()], "UTC"), &log, UnknownEvents::Empty, i64::MAX).unwrap();
        Changes::new(&log, &plan, |_| distinguished).rechecks()
    };
    let missing = Distinguished::Steps(&[]);
    assert!(rechecks("ln(recency(buy) - 5)", missing));
    assert!(!rechecks("ln(recency(buy) - 5)", Distinguished::Nothing));
    assert!(!rechecks("recency(buy)", missing));
    assert!(!rechecks("ln(count(buy, '7d'))", missing));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_changes_in_between(
        offsets in vec((0..40 * DAY_US, select(&["buy", "view", "Log In"][..])), 1..9),
        text in fraction(true),
        compared in (comparison(), select(&UNEVEN[..])),
        thresholds in proptest::option::of(vec(select(&[0.0_f32, 0.123, 0.7107, 0.9973, 1.00031, 2.771, 31.459][..]), 1..5)),
        places in vec(0.0..1.0, 6),
    ) {
        let start_us = instant_us("2024-02-01T00:00:00Z");
        let events: Vec<Event> = offsets.into_iter().map(|(offset, kind)| event((start_us + offset, kind))).collect();
        let log = log(&[&events], &[]);
        let text = if thresholds.is_some() { text } else { format!("{text} {} {}", compared.0, compared.1) };
        let thresholds = thresholds.map(|mut thresholds| {
            thresholds.sort_unstable_by(f32::total_cmp);
            thresholds.dedup();
            thresholds
        });
        let watched = Watched { log: &log, expr: parse(&text).unwrap(), thresholds };
        let visits = watched.check(&text, start_us + 120 * DAY_US, &places);
        // Each event comes and leaves some windows, and in between each number is crossed once.
        prop_assert!(visits < 400, "{visits} instants for {text}");
    }

    #[test]
    fn what_a_scan_found_gives_the_same_instants(
        offsets in vec((0..40 * DAY_US, select(&["buy", "view", "Log In"][..])), 0..9),
        texts in vec(prop_oneof![decayed(), aging(), fraction(true)], 1..6),
        thresholds in vec(prop_oneof![
            vec(select(&[0.0_f32, 1e-30, 0.123, 1.0, 1.5, 2.0, 7.0, 30.0][..]), 0..5),
            (0.001_f32..0.3).prop_map(|step| (0..300).map(|place| step * place as f32).collect()),
        ], 6),
        instants in vec(0..400 * DAY_US, 6),
    ) {
        let start_us = instant_us("2024-02-01T00:00:00Z");
        let events: Vec<Event> = offsets.iter().map(|&(offset, kind)| event((start_us + offset, kind))).collect();
        let log = log(&[&[Event { user: 1, ..event((start_us, "buy")) }], &events], &[]);
        let thresholds: Vec<Vec<f32>> = thresholds
            .into_iter()
            .map(|mut of_text| {
                of_text.sort_unstable_by(f32::total_cmp);
                of_text
            })
            .collect();
        let plan = Plan::compile(&spec(&texts, "UTC"), &log, UnknownEvents::Empty, i64::MAX).unwrap();
        let changes = Changes::new(&log, &plan, |output| Distinguished::Steps(&thresholds[output]));
        let ready = ScanPlan::new(&log, &plan, None);
        let mut row = vec![0.0; plan.width()];
        for user in 0..log.users().len() {
            let instants = instants.iter().map(|offset| start_us + offset);
            // At an event and beside it, too; and where something does change.
            let near = offsets.iter().flat_map(|(offset, _)| (-1..2).map(move |step_us| start_us + offset + step_us));
            for mut after_us in instants.chain(near) {
                for _ in 0..8 {
                    let next_us = changes.next_us(&log, user, after_us);
                    let mut scan = Scan::new(&ready, &log, Period::before(after_us));
                    scan.write_row(user, &mut row);
                    let scan = [scan];
                    let bound_us = changes.not_before_us_by(&scan, &log, user, after_us);
                    prop_assert!(bound_us <= next_us, "{} for {} after {} of {:?}", bound_us, next_us, after_us, &texts);
                    prop_assert!(bound_us > after_us, "{} after {} of {:?}", bound_us, after_us, &texts);
                    let known = changes.next_us_by(&scan, &log, user, after_us);
                    prop_assert_eq!(known, next_us, "after {} of {:?}", after_us, &texts);
                    if next_us == i64::MAX {
                        break;
                    }
                    after_us = next_us;
                }
            }
        }
    }
}
