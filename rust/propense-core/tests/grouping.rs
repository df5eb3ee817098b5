//! Logs built from batches of every layout, beside a map and a stable sort over the same rows.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod batches;

use arrow_schema::{DataType, TimeUnit};
use batches::building::log;
use batches::content::content;
use batches::expected::expected;
use batches::rows::{DAY_S, Row, rows};
use batches::types::{Types, dictionary, integer_type, text_type, types};
use proptest::prelude::*;
use proptest::sample::select;

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_log_is_the_map_of_its_sorted_users(
        rows in prop_oneof![rows(6, 40), rows(40, 300)],
        types in prop_oneof![3 => types(text_type()).boxed(), 2 => types(integer_type()).boxed()],
        batch_rows in select(vec![1, 3, 17, 1000]),
        chunk_rows in select(vec![1, 2, 7, 64, 65_536]),
    ) {
        prop_assert_eq!(content(&log(&rows, &types, batch_rows, chunk_rows)), expected(&rows, &types));
    }

    #[test]
    fn any_order_any_batches_and_any_threads_give_the_same_log(
        (rows, shuffled) in rows(12, 200).prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
        types in types(text_type()),
        batch_rows in 1..50_usize,
        chunk_rows in 1..50_usize,
        threads in 1..5_usize,
    ) {
        let once = content(&log(&rows, &types, usize::MAX, 1 << 16));
        let mut sorted = rows;
        sorted.sort_by_key(|row| (row.user, row.time_s));
        prop_assert_eq!(&content(&log(&sorted, &types, batch_rows, chunk_rows)), &once);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let again = pool.install(|| content(&log(&shuffled, &types, batch_rows, chunk_rows)));
        prop_assert_eq!(&again, &once);
    }
}

/// Rows enough for many chunks and parts of the size that users get, one user with most of them.
fn many(rows: usize) -> Vec<Row> {
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below
    };
    (0..rows)
        .map(|_| Row {
            user: Some(if next(10) < 6 { 77 } else { next(5_000) }),
            time_s: next(1_000) as i64 * DAY_S,
            event: next(4),
            amount: Some(next(1_000) as f64 / 8.0),
            category: (next(9) > 0).then(|| next(14)),
            due_s: None,
            gift: Some(true),
            item: Some(next(90) as i64),
        })
        .collect()
}

#[test]
fn many_rows_of_one_user_among_others() {
    let rows = many(320_000);
    let types = Types {
        user: DataType::Utf8View,
        time: DataType::Timestamp(TimeUnit::Microsecond, None),
        event: dictionary(DataType::UInt32, DataType::Utf8View),
        category: DataType::Utf8,
        due: DataType::Date32,
        item: DataType::Int64,
        amount: DataType::Float64,
    };
    let content_of = |batch_rows| content(&log(&rows, &types, batch_rows, 1 << 16));
    let expected = expected(&rows, &types);
    assert!(content_of(usize::MAX) == expected, "one batch");
    assert!(content_of(2_048) == expected, "many batches");
}
