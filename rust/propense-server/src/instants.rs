//! Times as the contract has them and as the store counts them.

use std::time::{SystemTime, UNIX_EPOCH};

use propense_store::{EARLIEST_US, LATEST_US};
use prost_types::{Duration, Timestamp};

use crate::clock::Clock;
use crate::error::ServiceError;

/// Microseconds since 1970 of a time that must be there; `path` names its field if it is not right.
pub(crate) fn required_us(time: Option<&Timestamp>, path: impl Fn() -> String) -> Result<i64, ServiceError> {
    let time = time.ok_or_else(|| ServiceError::invalid(path(), "a time is required"))?;
    to_us(time).map_err(|problem| ServiceError::invalid(path(), problem))
}

/// The instant of a call that may name one: what it names, or now.
pub(crate) fn as_of_us(time: Option<&Timestamp>, clock: &Clock) -> Result<i64, ServiceError> {
    time.map_or_else(|| Ok(clock.now_us()), |time| required_us(Some(time), || "as_of".to_owned()))
}

/// A span of time of whole microseconds, not below 0.
pub(crate) fn duration_us(span: &Duration, path: &str) -> Result<i64, ServiceError> {
    let is_whole = (0..1_000_000_000).contains(&span.nanos) && span.nanos % 1000 == 0 && span.seconds >= 0;
    let us = span.seconds.checked_mul(1_000_000).and_then(|us| us.checked_add(i64::from(span.nanos / 1000)));
    let problem = "expected whole microseconds from 0 up, nanos within [0, 999999999]";
    us.filter(|_| is_whole).ok_or_else(|| ServiceError::invalid(path, problem))
}

/// Whether a number of microseconds is a time that the store holds.
pub(crate) fn in_range(time_us: i64) -> bool {
    (EARLIEST_US..=LATEST_US).contains(&time_us)
}

fn to_us(time: &Timestamp) -> Result<i64, &'static str> {
    if !(0..1_000_000_000).contains(&time.nanos) {
        return Err("nanos must lie in [0, 999999999]");
    }
    if time.nanos % 1000 != 0 {
        return Err("times are microseconds: nanos must be a multiple of 1000");
    }
    let us = time.seconds.checked_mul(1_000_000).and_then(|us| us.checked_add(i64::from(time.nanos / 1000)));
    us.filter(|us| in_range(*us)).ok_or("the time must lie in the years 1 to 9999")
}

/// The same time in the contract's form.
pub(crate) fn timestamp(time_us: i64) -> Timestamp {
    let nanos = time_us.rem_euclid(1_000_000) as i32 * 1000;
    Timestamp { seconds: time_us.div_euclid(1_000_000), nanos }
}

/// Now by the system's clock, in microseconds since 1970.
pub(crate) fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}
