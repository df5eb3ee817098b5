//! A log like the benchmark's, smaller: most users have few events, some have very many.

use propense_core::DAY_US;
use propense_core::events::{Cells, Column, ColumnKind, EventLog, Events, UserIds};

/// How many users; there are about 50 events a user.
pub(crate) const USERS: u64 = 4_000;
/// The `as_of`: 2025-06-01T00:00:00Z.
pub(crate) const AS_OF_US: i64 = 20_240 * DAY_US;
/// The first event can be this long before it, and the last a week after.
const HISTORY_DAYS: i64 = 540;
/// The event types, with how many of 100 events are of each.
const TYPES: [(&str, u64); 6] =
    [("add_to_cart", 8), ("app_open", 40), ("purchase", 6), ("push_opened", 3), ("search", 13), ("view_item", 30)];
const PURCHASE: u8 = 2;

/// Numbers that look random and are the same every time.
fn mixed(number: u64) -> u64 {
    let number = (number ^ number >> 31).wrapping_mul(0x7fb5_d329_728e_a185);
    (number ^ number >> 27).wrapping_mul(0x81da_def4_bc2d_d44d) >> 33
}

/// A number from 0 to 1.
fn uniform(number: u64) -> f64 {
    mixed(number) as f64 / (1_u64 << 31) as f64
}

/// A user's number of events: Pareto-distributed.
fn events_of(user: u64) -> u64 {
    let activity = (1.0 - uniform(user + 7_919)).powf(-1.0 / 1.5) - 0.8;
    ((activity * 22.7) as u64).min(20_000)
}

fn time_us(user: u64, row: u64) -> i64 {
    let joined = uniform(user * 31 + 5).powi(2) * 0.9;
    let place = joined + (1.0 - joined) * uniform(row * 3 + 1);
    // Evenings are the busiest.
    let hour = (uniform(row * 3 + 2) + uniform(row * 3 + 4)) * 12.0 + 6.0;
    let day = AS_OF_US / DAY_US - HISTORY_DAYS + (place * (HISTORY_DAYS + 7) as f64) as i64;
    day * DAY_US + (hour / 24.0 * DAY_US as f64) as i64
}

fn event_type(row: u64) -> u8 {
    let mut drawn = mixed(row + 1) % 100;
    for (code, (_, share)) in TYPES.iter().enumerate() {
        if drawn < *share {
            return code as u8;
        }
        drawn -= share;
    }
    0
}

/// The log: the same every time.
pub(crate) fn log() -> EventLog {
    let mut offsets = vec![0];
    let mut times_us: Vec<i64> = Vec::new();
    for user in 0..USERS {
        let (first, count) = (times_us.len(), events_of(user));
        times_us.extend((first as u64..first as u64 + count).map(|row| time_us(user, row)));
        times_us[first..].sort_unstable();
        offsets.push(times_us.len() as u64);
    }
    let rows = times_us.len() as u64;
    let amount =
        |row: u64| if event_type(row) == PURCHASE { (mixed(row + 2) % 10_000) as f64 / 100.0 } else { f64::NAN };
    let category = |row: u64| (uniform(row + 3).powf(1.6) * 12.0) as u8;
    let column = |name: &str, kind, cells, dictionary| Column { name: name.to_owned(), kind, cells, dictionary };
    EventLog::from_parts(Events {
        users: UserIds::Integers((0..USERS as i64).collect()),
        offsets: offsets.into(),
        time_us: times_us.into(),
        event: Cells::U8((0..rows).map(event_type).collect()),
        event_types: TYPES.iter().map(|(name, _)| (*name).to_owned()).collect(),
        columns: vec![
            column("amount", ColumnKind::Number, Cells::F64((0..rows).map(amount).collect()), Vec::new()),
            column(
                "category",
                ColumnKind::Text,
                Cells::U8((0..rows).map(category).collect()),
                (0..12).map(|category| format!("c{category:02}")).collect(),
            ),
        ],
        dropped: 0,
    })
    .unwrap()
}
