//! What is gathered from memtables and parts is what a log built of the same events holds.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod store_support;

use std::collections::BTreeSet;

use proptest::prelude::*;
use store_support::{Event, Step, Store, expected, rows, steps, texts_of};

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn gathering_all_users_equals_building_a_log_of_the_distinct_events(steps in steps()) {
        let mut store = Store::new();
        for step in &steps {
            store.take(step);
        }
        let (expected, profiles) = expected(&steps);
        let snapshot = store.memory.snapshot();
        let users: Vec<String> = snapshot.users_from(None, usize::MAX);
        let ids: Vec<&str> = users.iter().map(String::as_str).collect();
        prop_assert_eq!(snapshot.user_count(), users.len() as u64);
        let known: BTreeSet<&String> = expected.keys().chain(profiles.keys()).collect();
        prop_assert_eq!(users.iter().collect::<BTreeSet<_>>(), known);
        prop_assert!(users.is_sorted_by(|a, b| a < b));
        let gathered = snapshot.gather(&ids).unwrap();
        let shape = snapshot.shape().unwrap();
        for (user, id) in users.iter().enumerate() {
            let found = rows(&gathered.log, &shape, user);
            prop_assert_eq!(&found, &expected.get(id).cloned().unwrap_or_default(), "{}", id);
            prop_assert_eq!(store_support::profile(&gathered.log, &shape, user), profiles.get(id).cloned().unwrap_or_default());
            prop_assert_eq!(snapshot.event_count_of(id), Some(found.len()));
            // One user alone is what they are among all.
            let alone = snapshot.gather(&[id]).unwrap();
            prop_assert_eq!(rows(&alone.log, &shape, 0), found.clone());
            // And with dictionaries of their own, which hold no more than their texts.
            let whole = snapshot.gather_whole(&[id]).unwrap();
            prop_assert_eq!(rows(&whole, &whole, 0), found);
            prop_assert_eq!(store_support::profile(&whole, &whole, 0), profiles.get(id).cloned().unwrap_or_default());
            prop_assert!(whole.event_types().is_sorted() && whole.event_types().len() <= whole.len());
            for column in whole.columns() {
                let used: BTreeSet<_> = (0..whole.len()).filter_map(|row| column.text(row)).collect();
                prop_assert!(used.into_iter().eq(column.dictionary.iter()), "{}", column.name);
            }
        }
        prop_assert_eq!(snapshot.event_count_of("somebody else"), None);
        store.check_parts();
    }

    #[test]
    fn users_come_in_pages_without_gaps(steps in steps(), page in 1_usize..7) {
        let mut store = Store::new();
        for step in &steps {
            store.take(step);
        }
        let snapshot = store.memory.snapshot();
        let all = snapshot.users_from(None, usize::MAX);
        let mut paged: Vec<String> = Vec::new();
        loop {
            let next = snapshot.users_from(paged.last().map(String::as_str), page);
            prop_assert!(next.len() <= page);
            if next.is_empty() {
                break;
            }
            paged.extend(next);
        }
        prop_assert_eq!(paged, all.clone());
        for user in &all {
            prop_assert!(snapshot.has_user(user));
        }
        prop_assert!(!snapshot.has_user("nobody"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_arrival_leaves_no_trace(
        events in prop::collection::vec(store_support::event(), 0..60),
        cuts in prop::collection::vec(any::<u8>(), 20),
        seed in any::<u64>(),
    ) {
        // Of events with one identity only the first counts, so that nothing depends on which comes first.
        let mut seen = BTreeSet::new();
        let events: Vec<Event> = events.into_iter().filter(|event| seen.insert(event.identity())).collect();
        let mut first = None;
        let mut random = seed | 1;
        for cut in cuts {
            let mut order: Vec<usize> = (0..events.len()).collect();
            for place in (1..order.len()).rev() {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                order.swap(place, random as usize % (place + 1));
            }
            let mut store = Store::new();
            for (number, &place) in order.iter().enumerate() {
                store.take(&Step::Events(vec![events[place].clone()]));
                if number % (1 + cut as usize % 17) == 7 {
                    store.take(&Step::Freeze);
                    store.take(&Step::Seal);
                }
                if cut % 3 == 0 && number % 20 == 19 {
                    store.take(&Step::Merge(0, 2));
                }
            }
            let all = store.all_rows();
            let first = first.get_or_insert_with(|| all.clone());
            prop_assert_eq!(&all, first);
        }
    }
}

#[test]
fn a_snapshot_does_not_change() {
    let mut store = Store::new();
    let event = |user: &str, time_us| Event { user: user.to_owned(), time_us, ..Event::default() };
    store.take(&Step::Events(vec![event("a", 1), event("b", 2)]));
    let snapshot = store.memory.snapshot();
    let rows_of = |user: &str| rows(&snapshot.gather(&[user]).unwrap().log, &snapshot.shape().unwrap(), 0).len();
    store.take(&Step::Events(vec![event("a", 0), event("c", 2)]));
    assert_eq!([rows_of("a"), rows_of("b"), rows_of("c")], [1, 1, 0]);
    assert!(!snapshot.has_user("c"));
    store.take(&Step::Freeze);
    store.take(&Step::Seal);
    store.take(&Step::Events(vec![event("b", 7)]));
    store.take(&Step::Erase("b".to_owned()));
    assert_eq!([rows_of("a"), rows_of("b"), rows_of("c")], [1, 1, 0]);
    assert_eq!(snapshot.users_from(None, 9), ["a", "b"]);
    assert_eq!((snapshot.user_count(), snapshot.event_count()), (2, 2));
    let now = store.memory.snapshot();
    assert_eq!(now.users_from(None, 9), ["a", "c"]);
    assert_eq!(now.user_count(), 2);
    assert_eq!(texts_of(&now.shape().unwrap()).len(), 1);
}

#[test]
fn users_erased_while_a_part_is_written_stay_erased() {
    let mut store = Store::new();
    let event = |user: &str, time_us| Event { user: user.to_owned(), time_us, ..Event::default() };
    store.take(&Step::Events(vec![event("a", 1), event("b", 2), event("c", 3)]));
    let frozen = store.memory.freeze().unwrap();
    let folder = store.write(&[frozen]);
    store.take(&Step::Erase("b".to_owned()));
    store.memory.replace(&[frozen], Some(("1", &folder))).unwrap();
    assert_eq!(store.memory.snapshot().users_from(None, 9), ["a", "c"]);
    assert_eq!(store.memory.parts()[0].erased_users, 1);
    let applied = store.events(&[event("b", 9), event("a", 1)]);
    assert_eq!((applied.accepted, applied.duplicates, applied.erased), (0, 1, 1));
    store.take(&Step::Merge(0, 0));
    assert_eq!((store.memory.parts()[0].users, store.memory.parts()[0].erased_users), (2, 0));
    assert!(!store.bytes_hold("b"));
}
