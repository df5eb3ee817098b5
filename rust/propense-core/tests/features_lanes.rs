//! The engine equals the reference where what it does side by side no longer fits side by side.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod support;

use propense_core::features::Period;
use support::comparison::disagreements;
use support::expressions::grid;
use support::logs::{EVENT_TYPES, Event, log};

const MINUTE_US: i64 = 60_000_000;
/// 2024-04-01T00:00:00Z, the day after London's clocks went forward.
const AS_OF_US: i64 = 1_711_929_600_000_000;

/// An event a minute, the first a minute before the `as_of`, of types and with values in turn.
fn events(user: u32, count: i64) -> impl Iterator<Item = Event> {
    (1..=count).map(move |minute| Event {
        user,
        time_us: AS_OF_US - minute * MINUTE_US,
        kind: EVENT_TYPES[(minute * minute % 7 % 3) as usize],
        amount: (minute % 5 > 0).then_some((minute % 13) as f64 * 0.1),
        unit_price: None,
        category: Some(["book", "movie", ""][(minute % 3) as usize]),
        gift: Some(minute % 2 == 0),
        due_us: None,
    })
}

#[track_caller]
fn assert_equal(events: &[Event], features: &[String]) {
    let log = log(&[events], &[]);
    for start_us in [None, Some(AS_OF_US - 300 * MINUTE_US)] {
        let found = disagreements(&log, features, "Europe/London", Period { start_us, end_us: AS_OF_US });
        assert!(found.is_empty(), "{} of {}:\n{}", found.len(), features.len(), found.join("\n"));
    }
}

/// Events are walked 256 at a time: users who have just so many, one less, one more, and none of a type in a chunk.
#[test]
fn a_user_has_about_a_whole_number_of_chunks() {
    let counts = [1, 7, 8, 9, 255, 256, 257, 511, 512, 513];
    let mut all: Vec<Event> = counts.iter().enumerate().flat_map(|(user, &count)| events(user as u32, count)).collect();
    // One who bought in the newest chunk, and one who did in the oldest, and nothing but that.
    let rest = |user| events(user, 600).map(|event| Event { kind: "view", amount: None, ..event });
    all.extend(
        rest(20).enumerate().map(|(place, event)| Event { kind: if place < 3 { "buy" } else { "view" }, ..event }),
    );
    all.extend(
        rest(21).enumerate().map(|(place, event)| Event { kind: if place > 597 { "buy" } else { "view" }, ..event }),
    );
    let filtered = grid("buy", " FILTER (WHERE gift)");
    assert_equal(&all, &[grid("buy", ""), filtered].concat());
}

/// Windows that end where a chunk does, and more windows than are compared at a time.
#[test]
fn windows_end_where_chunks_do() {
    let minutes = (0..40).map(|step| step * 17 + 1).chain([254, 255, 256, 257, 258, 511, 512, 513]);
    let calls = ["count(*", "count(buy", "sum(buy.amount", "distinct(view.category", "tenure(buy", "gap_mean(view"];
    let more = ["active_days(*", "hour_share(buy, 22, 23", "min(buy.amount", "last(view.category", "gap_std(*"];
    let features: Vec<String> = minutes
        .flat_map(|minutes| calls.iter().chain(&more).map(move |call| format!("{call}, '{minutes}m')")))
        .collect();
    let users: Vec<Event> =
        [3, 200, 300, 700].iter().enumerate().flat_map(|(user, &n)| events(user as u32, n)).collect();
    assert_equal(&users, &features);
}

/// More selections than a vector counts, told by types, by two columns, and by conditions.
#[test]
fn selections_are_many() {
    let filters = (0..20).flat_map(|step| {
        let number = f64::from(step) * 0.1;
        [
            format!("amount > {number}"),
            format!("category = 'book' OR event = 'buy' AND amount < {number}"),
            "gift".to_owned(),
            "category <> 'movie'".to_owned(),
            "event <> 'view'".to_owned(),
        ]
    });
    let mut features: Vec<String> = filters
        .flat_map(|filter| ["*", "buy", "view"].map(|event| (event, filter.clone())))
        .flat_map(|(event, filter)| {
            ["count", "decayed_count", "recency"].map(|function| {
                let life = if function == "decayed_count" { ", '1h'" } else { "" };
                format!("{function}({event}{life}) FILTER (WHERE {filter})")
            })
        })
        .collect();
    features.sort_unstable();
    features.dedup();
    let users: Vec<Event> = [0, 40, 270].iter().enumerate().flat_map(|(user, &n)| events(user as u32, n)).collect();
    assert_equal(&users, &features);
}

#[test]
fn everything_is_missing() {
    let missing = |event| Event { amount: None, category: None, gift: None, ..event };
    let events: Vec<Event> = events(0, 300).map(missing).collect();
    assert_equal(&events, &[grid("buy", ""), grid("view", " FILTER (WHERE category = 'book')")].concat());
}
