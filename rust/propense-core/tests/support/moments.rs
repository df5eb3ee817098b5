//! Instants where clocks change, and the times around them where windows begin and end.

use jiff::Timestamp;
use propense_core::expr::parse_duration_us;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

pub const WINDOWS: [&str; 9] = ["1s", "30m", "1h", "6h", "1d", "7d", "30d", "52w", "106751991d"];

/// Time zones with instants at which their clocks change, and some far from any change.
pub const CHANGES: [(&str, &str); 26] = [
    ("UTC", "1970-01-01T00:00:00Z"),
    ("UTC", "2024-02-29T00:00:00Z"),
    ("Europe/London", "2024-03-31T01:00:00Z"),
    ("Europe/London", "2024-10-27T01:00:00Z"),
    ("Europe/London", "1971-10-31T02:00:00Z"),
    ("Europe/London", "2050-03-27T01:00:00Z"),
    ("America/New_York", "1883-11-18T17:00:00Z"),
    ("America/New_York", "2024-03-10T07:00:00Z"),
    ("America/New_York", "2024-11-03T06:00:00Z"),
    // Clocks that change at midnight skip or repeat an hour across two days.
    ("America/Sao_Paulo", "2018-02-18T02:00:00Z"),
    ("America/Sao_Paulo", "2018-11-04T03:00:00Z"),
    ("America/St_Johns", "2010-03-14T03:31:00Z"),
    ("America/St_Johns", "2010-11-07T02:31:00Z"),
    ("America/St_Johns", "2024-11-03T04:30:00Z"),
    // Half an hour of daylight saving.
    ("Australia/Lord_Howe", "2024-04-06T15:00:00Z"),
    ("Australia/Lord_Howe", "2024-10-05T15:30:00Z"),
    ("Asia/Kathmandu", "1985-12-31T18:30:00Z"),
    ("Asia/Kathmandu", "1919-12-31T18:18:44Z"),
    // Days that are skipped and days that happen twice, where the date line moved.
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("Pacific/Apia", "1892-07-04T23:33:04Z"),
    ("Pacific/Kwajalein", "1969-09-30T13:00:00Z"),
    ("Pacific/Kwajalein", "1993-08-21T12:00:00Z"),
    ("America/Juneau", "1867-10-18T23:58:39Z"),
    ("Asia/Manila", "1844-12-31T15:56:00Z"),
    ("Europe/London", "-009999-01-02T01:59:59Z"),
    ("Pacific/Apia", "9999-12-30T22:00:00Z"),
];
const EXTREME_US: [i64; 5] = [i64::MIN, i64::MIN + 1, 0, i64::MAX - 1, i64::MAX];
const HALF_HOUR_US: i64 = 1_800_000_000;

pub fn instant_us(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_microsecond()
}

/// A time zone, an `as_of` close to a change of its clocks, and a few times close to the `as_of`.
#[derive(Debug, Clone)]
pub struct Moments {
    pub timezone: &'static str,
    pub as_of_us: i64,
    pub times_us: Vec<i64>,
}

fn as_of_us(change_us: i64) -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => Just(change_us),
        8 => (-30_i64..30).prop_map(move |steps| change_us + steps * HALF_HOUR_US),
        4 => (-2_i64..=2).prop_map(move |step_us| change_us + step_us),
        1 => select(&EXTREME_US[..]),
    ]
}

fn time_us(as_of_us: i64, change_us: i64) -> impl Strategy<Value = i64> {
    let edges_us: Vec<i64> = WINDOWS
        .iter()
        .map(|window| parse_duration_us(window).unwrap())
        .chain([0])
        .flat_map(|window_us| [-1, 0, 1].map(|step_us| as_of_us.saturating_sub(window_us).saturating_add(step_us)))
        .collect();
    prop_oneof![
        12 => select(edges_us),
        8 => (-120_i64..12).prop_map(move |steps| as_of_us.saturating_add(steps * HALF_HOUR_US)),
        4 => (-60_i64..60).prop_map(move |steps| change_us + steps * HALF_HOUR_US),
        4 => (-3_i64..3).prop_map(move |step_us| change_us + step_us),
        4 => (-800_i64..2).prop_map(move |days| as_of_us.saturating_add(days * 86_400_000_007)),
        1 => select(&EXTREME_US[..]),
    ]
}

pub fn moments() -> impl Strategy<Value = Moments> {
    select(&CHANGES[..]).prop_flat_map(|(timezone, change)| {
        let change_us = instant_us(change);
        let moments = as_of_us(change_us)
            .prop_flat_map(move |as_of_us| (Just(as_of_us), vec(time_us(as_of_us, change_us), 1..=12)));
        moments.prop_map(move |(as_of_us, times_us)| Moments { timezone, as_of_us, times_us })
    })
}
