//! The engine gives what the definition says, to the bit, whatever the log and the features.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod support;

use propense_core::expr::{UnknownEvents, parse};
use propense_core::features::reference::{Value, evaluate};
use propense_core::features::{Period, Plan, Progress, audience};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use support::comparison::{disagreements, matrix, moment, spec};
use support::expressions::{SUBJECTS, condition, feature, grid};
use support::logs::{Event, log};
use support::moments::Moments;
use support::situation;

/// The usual number of cases, divided where a case is long.
fn config(divisor: u32) -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases / divisor, failure_persistence: None, max_shrink_time: 10_000, ..usual }
}

/// A period that ends at the `as_of` and may begin at any of the times.
fn period(moments: &Moments, start: Option<Index>) -> Period {
    let start_us = start.map(|start| *start.get(&moments.times_us));
    Period { start_us, end_us: moments.as_of_us }
}

proptest! {
    #![proptest_config(config(1))]

    #[test]
    fn features_equal_the_reference(
        (moments, events, profiles) in situation(),
        features in vec(feature(), 1..=12),
        start in proptest::option::weighted(0.2, any::<Index>()),
    ) {
        let log = log(&[&events], &profiles);
        let found = disagreements(&log, &features, moments.timezone, period(&moments, start));
        prop_assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn labels_and_audiences_equal_the_reference(
        (moments, events, profiles) in situation(),
        goals in vec(condition(), 1..=3),
        horizon_us in select(&[1, 3_600_000_000, 86_400_000_000, 7_776_000_000_000, i64::MAX][..]),
    ) {
        let log = log(&[&events], &profiles);
        let horizon = Period { start_us: Some(moments.as_of_us), end_us: moments.as_of_us.saturating_add(horizon_us) };
        let found = disagreements(&log, &goals, moments.timezone, horizon);
        prop_assert!(found.is_empty(), "{}", found.join("\n"));

        let plan = Plan::compile(&spec(&goals, moments.timezone), &log, UnknownEvents::Empty, horizon.end_us).unwrap();
        let members = audience(&log, &plan, horizon, &Progress::default()).unwrap();
        let goals: Vec<_> = goals.iter().map(|goal| parse(goal).unwrap()).collect();
        let moment = moment(moments.timezone, horizon);
        let holds = |user: &u32| {
            goals.iter().all(|goal| evaluate(&log, goal, *user as usize, &moment) == Value::Boolean(true))
        };
        let expected: Vec<u32> = (0..log.users().len() as u32).filter(holds).collect();
        prop_assert_eq!(members, expected);
    }

    #[test]
    fn the_canonical_text_parses_to_the_same_expression(text in feature()) {
        // Everything but where names stand in the text.
        let shape = |text: &str| {
            let debug = format!("{:?}", parse(text).unwrap());
            let parts = debug.split("position: ").map(|part| part.trim_start_matches(|letter: char| letter.is_ascii_digit()));
            parts.collect::<Vec<_>>().concat()
        };
        let canonical = parse(&text).unwrap().to_string();
        prop_assert_eq!(parse(&canonical).unwrap().to_string(), canonical.clone());
        prop_assert_eq!(shape(&canonical), shape(&text));
    }
}

proptest! {
    #![proptest_config(config(8))]

    #[test]
    fn every_function_over_every_window_equals_the_reference(
        (moments, events, profiles) in situation(),
        event in select(&SUBJECTS[1..]),
        filter in select(&["", " FILTER (WHERE amount > 0.1)", " FILTER (WHERE gift OR event = 'buy')"][..]),
        start in proptest::option::weighted(0.2, any::<Index>()),
    ) {
        let log = log(&[&events], &profiles);
        let found = disagreements(&log, &grid(event, filter), moments.timezone, period(&moments, start));
        prop_assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn the_order_of_arrival_changes_no_bit(
        ((moments, events, profiles), shuffled, cuts) in situation().prop_flat_map(|situation| {
            let shuffled = Just(situation.1.clone()).prop_shuffle();
            (Just(situation), shuffled, vec(any::<Index>(), 0..4))
        }),
        features in vec(feature(), 1..=6),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(events.len() + 1)).chain([0, events.len()]).collect();
        cuts.sort_unstable();
        let batches: Vec<&[Event]> = cuts.windows(2).map(|cut| &shuffled[cut[0]..cut[1]]).collect();
        let features = [features, grid("buy", "")].concat();
        let period = Period::before(moments.as_of_us);
        let bits = |batches: &[&[Event]]| {
            let matrix = matrix(&log(batches, &profiles), &features, moments.timezone, period);
            matrix.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        prop_assert_eq!(bits(&[&events]), bits(&batches));
    }
}
