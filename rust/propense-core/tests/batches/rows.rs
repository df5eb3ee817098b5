//! Rows with users who have most of them, and values that are hard to tell apart.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;

/// Texts shorter and longer than what is compared at once, some alike but for their end, some but for zeros.
pub const TEXTS: [&str; 14] = [
    "",
    "\0",
    "a",
    "a\0",
    "view",
    "purchase",
    "sixteen-bytes-lo",
    "sixteen-bytes-lo\0",
    "sixteen-bytes-long",
    "sixteen-bytes-lond",
    "sixteen-bytes-long and more",
    "Ärger mit Umlauten überall",
    "twelve-bytes",
    "thirteen-byte",
];
pub const NUMBERS: [f64; 12] =
    [0.0, -0.0, 1.0, -1.0, 127.0, -128.0, 40_000.0, 0.5, 0.1, f64::NAN, f64::INFINITY, 16_777_217.0];
pub const SECOND_US: i64 = 1_000_000;
pub const DAY_S: i64 = 86_400;

#[derive(Debug, Clone)]
pub struct Row {
    pub user: Option<usize>,
    /// Whole days, in seconds, so that dates hold them too.
    pub time_s: i64,
    pub event: usize,
    pub amount: Option<f64>,
    pub category: Option<usize>,
    pub due_s: Option<i64>,
    pub gift: Option<bool>,
    pub item: Option<i64>,
}

pub fn rows(users: usize, most: usize) -> impl Strategy<Value = Vec<Row>> {
    let user = weighted(0.95, prop_oneof![2 => Just(0), 3 => 0..users]);
    let day_s = (-2_i64..4).prop_map(|day| day * DAY_S);
    let properties = (
        weighted(0.8, select(&NUMBERS[..])),
        weighted(0.8, 0..TEXTS.len()),
        weighted(0.8, day_s.clone()),
        weighted(0.8, any::<bool>()),
        weighted(0.9, prop_oneof![4 => 0_i64..3, 1 => 0_i64..100]),
    );
    let row = (user, day_s, 0..4_usize, properties).prop_map(
        |(user, time_s, event, (amount, category, due_s, gift, item))| Row {
            user,
            time_s,
            event,
            amount,
            category,
            due_s,
            gift,
            item,
        },
    );
    vec(row, 0..=most)
}
