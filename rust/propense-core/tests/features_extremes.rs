//! The engine equals the reference at the ends: one user with everything, one event, and the edges of each rule.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use propense_core::events::{Cells, Column, ColumnKind, EventLog, Events};
use propense_core::expr::UnknownEvents;
use propense_core::features::{FeatureError, FeatureSpec, Period, Plan, Progress, compute};
use support::comparison::{disagreements, matrix, spec};
use support::expressions::{SUBJECTS, grid};
use support::logs::{EVENT_TYPES, Event, NUMBERS, Profile, TEXTS, log};
use support::moments::{CHANGES, instant_us};

const DAY_US: i64 = 86_400_000_000;
/// 2024-04-01T00:00:00Z, the day after London's clocks went forward.
const AS_OF_US: i64 = 1_711_929_600_000_000;

fn event(user: u32, time_us: i64) -> Event {
    Event { user, time_us, kind: "buy", amount: None, unit_price: None, category: None, gift: None, due_us: None }
}

fn amounts(amounts: &[f64]) -> Vec<Event> {
    let of = |(place, &amount)| Event { amount: Some(amount), ..event(0, AS_OF_US - 1 - place as i64) };
    amounts.iter().enumerate().map(of).collect()
}

#[track_caller]
fn assert_equal(events: &[Event], features: &[String], timezone: &str) {
    let found = disagreements(&log(&[events], &[]), features, timezone, Period::before(AS_OF_US));
    assert!(found.is_empty(), "{} of {}:\n{}", found.len(), features.len(), found.join("\n"));
}

#[track_caller]
fn assert_value(events: &[Event], feature: &str, expected: f32) {
    let got = matrix(&log(&[events], &[]), &[feature.to_owned()], "Europe/London", Period::before(AS_OF_US));
    assert_eq!(got.iter().map(|value| value.to_bits()).collect::<Vec<_>>(), [expected.to_bits()], "{feature}: {got:?}");
    assert_equal(events, &[feature.to_owned()], "Europe/London");
}

#[test]
fn one_user_has_everything() {
    // A linear congruential generator: Knuth's MMIX.
    let mut state = 1_u64;
    let mut below = |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    let events: Vec<Event> = (0..20_000)
        .map(|_| Event {
            user: 0,
            time_us: AS_OF_US + DAY_US - below(1_100) as i64 * DAY_US - below(DAY_US as u64) as i64,
            kind: EVENT_TYPES[below(3) as usize],
            amount: (below(10) > 0).then(|| NUMBERS[below(9) as usize] * 1.1),
            unit_price: (below(10) > 0).then(|| below(300) as f64 / 7.0),
            category: (below(10) > 0).then(|| TEXTS[below(5) as usize]),
            gift: (below(10) > 0).then(|| below(2) == 0),
            due_us: (below(10) > 0).then(|| below(50) as i64 * DAY_US),
        })
        .collect();
    let features = [grid("buy", ""), grid("view", " FILTER (WHERE category = 'movie')")].concat();
    assert_equal(&events, &features, "America/St_Johns");
}

#[test]
fn a_user_has_one_event() {
    for time_us in [AS_OF_US, AS_OF_US - 1, AS_OF_US - DAY_US, AS_OF_US - DAY_US - 1, i64::MIN, i64::MAX] {
        for subject in &SUBJECTS[1..] {
            assert_equal(&[event(0, time_us)], &grid(subject, ""), "Australia/Lord_Howe");
        }
    }
}

#[test]
fn a_window_is_closed_where_it_begins_and_open_where_it_ends() {
    let at = |times_us: &[i64]| times_us.iter().map(|&time_us| event(0, time_us)).collect::<Vec<_>>();
    let events = at(&[AS_OF_US - DAY_US - 1, AS_OF_US - DAY_US, AS_OF_US - 1, AS_OF_US, AS_OF_US + 1]);
    assert_value(&events, "count(buy, '1d')", 2.0);
    assert_value(&events, "count(buy)", 3.0);
    assert_value(&events, "recency(buy)", (1.0 / DAY_US as f64) as f32);
    assert_value(&events, "tenure(buy, '1d')", 1.0);
}

#[test]
fn sums_run_from_the_newest_value_to_the_oldest() {
    // (1e16 + 1) + 1 loses both ones; (1 + 1) + 1e16 keeps them.
    assert_value(&amounts(&[1e16, 1.0, 1.0]), "sum(buy.amount) - 1e16", 0.0);
    assert_value(&amounts(&[1.0, 1.0, 1e16]), "sum(buy.amount) - 1e16", 2.0);
}

#[test]
fn what_is_not_a_number_is_missing() {
    let events = amounts(&[f64::INFINITY, f64::NEG_INFINITY, f64::NAN]);
    assert_value(&events, "count(buy.amount)", 2.0);
    assert_value(&events, "coalesce(sum(buy.amount), -1)", -1.0);
    assert_value(&events, "max(buy.amount) / min(buy.amount) IS NULL", 1.0);
    assert_value(&events, "coalesce(count(buy) / count(view), -1)", -1.0);
    assert_value(&events, "coalesce(count(buy) % count(view), -1)", -1.0);
    assert_value(&events, "coalesce(ln(count(view)), sqrt(min(buy.amount)), -1)", -1.0);
}

#[test]
fn zero_has_one_value_but_keeps_its_sign() {
    for order in [[0.0, -0.0], [-0.0, 0.0]] {
        let events = amounts(&order);
        assert_value(&events, "distinct(buy.amount)", 1.0);
        assert_value(&events, "sum(buy.amount)", 0.0);
        assert_value(&events, "min(buy.amount)", -0.0);
        assert_value(&events, "max(buy.amount)", 0.0);
        assert_value(&events, "last(buy.amount)", order[0] as f32);
        assert_value(&events, "first(buy.amount)", order[1] as f32);
    }
}

#[test]
fn local_days_are_those_of_the_wall_clock() {
    // London's clocks went forward at 01:00 UTC on Sunday 31 March, so that its 1 April began at 23:00 UTC.
    let saturday_us = AS_OF_US - 2 * DAY_US;
    let events: Vec<Event> = [23, 24, 25, 47].map(|hour| event(0, saturday_us + hour * 3_600_000_000)).to_vec();
    assert_value(&events, "active_days(buy)", 3.0);
    assert_value(&events, "weekday_share(buy, 6, 7)", 0.75);
    assert_value(&events, "hour_share(buy, 0, 0)", 0.5);
    assert_value(&events, "hour_share(buy, 1, 1)", 0.0);
    assert_value(&events, "hour_share(buy, 23, 0)", 0.75);
}

#[test]
fn an_event_beyond_every_calendar_leaves_the_others_their_local_time() {
    for beyond_us in [i64::MIN, i64::MAX] {
        // One in winter, one at noon UTC in summer.
        let events = [event(1, beyond_us), event(0, AS_OF_US - 150 * DAY_US), event(0, AS_OF_US - 12 * 3_600_000_000)];
        assert_value(&events[1..], "hour_share(buy, 13, 13, '1d')", 1.0);
        assert_equal(&events, &grid("buy", ""), "Europe/London");
        assert_equal(&events, &["hour_share(buy, 13, 13, '1d')".to_owned()], "Europe/London");
    }
}

#[test]
fn a_text_is_its_place_in_the_vocabulary_and_users_come_as_asked() {
    let bought = |user, category| Event { category, ..event(user, AS_OF_US - 1) };
    let events = [
        bought(0, Some("book")),
        bought(1, Some("movie")),
        bought(2, Some("a_b%")),
        bought(3, None),
        Event { category: Some("apple"), ..event(3, AS_OF_US) },
    ];
    let log = log(&[&events], &[]);
    let mut spec = spec(&["last(buy.category)".to_owned()], "UTC");
    let codes = |spec: &FeatureSpec, users: &[u32]| {
        let plan = Plan::compile(spec, &log, UnknownEvents::Refuse, AS_OF_US).unwrap();
        let codes = compute(&log, &plan, Period::before(AS_OF_US), users, &Progress::default()).unwrap();
        codes.into_iter().map(|code| (!code.is_nan()).then_some(code as u32)).collect::<Vec<_>>()
    };
    assert_eq!(codes(&spec, &[3, 1, 0, 2, 1]), [None, Some(2), Some(1), Some(0), Some(2)]);
    spec.vocabularies.insert("f0".to_owned(), ["movie", "zebra", "book"].map(ToOwned::to_owned).to_vec());
    assert_eq!(codes(&spec, &[3, 1, 0, 2, 1]), [None, Some(0), Some(2), None, Some(0)]);
    assert!(codes(&spec, &[]).is_empty());
}

#[test]
fn clocks_that_change_are_followed_around_the_world() {
    let calendar = (0..24).map(|hour| format!("hour_share(buy, {hour}, {hour})"));
    let calendar = calendar.chain((1..8).map(|day| format!("weekday_share(buy, {day}, {day}, '30d')")));
    let calendar = calendar.chain(["1h", "6h", "1d", "7d"].map(|window| format!("active_days(buy, '{window}')")));
    let features: Vec<String> = calendar.chain(["active_days(buy)".to_owned()]).collect();
    for (timezone, change) in CHANGES {
        let change_us = instant_us(change);
        // Every 31 minutes for three days on either side, and the seconds around the change.
        let steps = (-140..140).map(|step| step * 1_860_000_000);
        let seconds = [-61, -59, -1, 0, 1].map(|second| second * 1_000_000);
        let events: Vec<Event> = steps.chain(seconds).map(|step_us| event(0, change_us + step_us)).collect();
        let log = log(&[&events], &[]);
        for as_of_us in [change_us + DAY_US / 2, change_us + 3 * DAY_US] {
            let found = disagreements(&log, &features, timezone, Period::before(as_of_us));
            assert!(found.is_empty(), "{}", found.join("\n"));
        }
    }
}

#[test]
fn an_instant_is_no_feature() {
    let joined = Profile { age: None, country: None, member: None, joined_us: Some(0) };
    let log = log(&[&[event(0, 0)]], &[joined]);
    let compile = |text: &str| Plan::compile(&spec(&[text.to_owned()], "UTC"), &log, UnknownEvents::Refuse, 0);
    let refused = compile("attr(joined)").err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("found a time"), "{refused}");
    assert!(compile("attr(joined) < '2024-05-01'").is_ok());
}

#[test]
fn a_plan_of_nothing_is_refused() {
    let nothing = FeatureSpec { features: Vec::new(), timezone: "UTC".to_owned(), vocabularies: BTreeMap::new() };
    let compiled = Plan::compile(&nothing, &log(&[&[event(0, 0)]], &[]), UnknownEvents::Refuse, 0);
    assert_eq!(compiled.err(), Some(FeatureError::NoFeatures));
}

/// A log from a damaged file may have rows in any order and codes that stand for nothing: its features mean nothing,
/// but nothing panics.
#[test]
fn a_damaged_log_makes_nothing_panic() {
    let whole = log(&[&amounts(&[1.0, 2.5, -0.0, 7.0, 1e300, 3.0, 3.0, 9.0])], &[]);
    let instants = [i64::MIN, AS_OF_US + 1, AS_OF_US - 400 * DAY_US, AS_OF_US - 1, i64::MAX, 0];
    for turn in 0..30 {
        let damaged = damaged(&whole, |row| instants[(row * (1 + turn % 5) + turn / 5) % instants.len()]);
        for filter in ["", " FILTER (WHERE category = 'movie')", " FILTER (WHERE gift OR event = 'buy')"] {
            for start_us in [None, Some(AS_OF_US - DAY_US)] {
                let features = grid("buy", filter);
                let values = matrix(&damaged, &features, "Europe/London", Period { start_us, end_us: AS_OF_US });
                assert_eq!(values.len(), features.len());
            }
        }
        assert!(damaged.summary(AS_OF_US).users <= 1);
    }
}

/// The log with other times and with codes that stand for nothing.
fn damaged(whole: &EventLog, time_us: impl Fn(usize) -> i64) -> EventLog {
    let (parts, rows) = (whole.parts(), whole.len());
    let columns = parts.columns.iter().map(|column| match column.kind {
        ColumnKind::Text => {
            Column { cells: Cells::U8((0..rows).map(|row| row as u8 * 31).collect()), ..column.clone() }
        }
        _ => column.clone(),
    });
    EventLog::from_parts(Events {
        users: parts.users.clone(),
        offsets: parts.offsets.clone(),
        time_us: (0..rows).map(time_us).collect(),
        event: Cells::U8((0..rows).map(|row| [0, 0, 200, 0, 255][row % 5]).collect()),
        event_types: parts.event_types.clone(),
        columns: columns.collect(),
        dropped: 0,
    })
    .unwrap()
}
