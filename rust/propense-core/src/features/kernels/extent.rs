//! Functions of event times alone.

use super::welford;
use crate::DAY_US;
use crate::expr::Function;

/// Cells: how many events, the newest instant, the oldest.
pub(in crate::features) const EXTENT: [u64; 3] = [0, 0, 0];
/// Cells: those of the gaps' deviation, how many events, the instant of the last one seen.
pub(in crate::features) const GAPS: [u64; 5] = [0, 0, 0, 0, 0];

/// Takes one event.
#[inline]
pub(in crate::features) fn extent(state: &mut [u64; 3], time_us: i64) {
    let time = time_us.cast_unsigned();
    let newest = if state[0] == 0 { time } else { state[1] };
    *state = [state[0] + 1, newest, time];
}

/// How many events, when the newest and the oldest happened, and the mean time between two.
#[inline]
pub(in crate::features) fn extent_value(state: &[u64; 3], function: Function, end_us: i64) -> f64 {
    let &[count, newest, oldest] = state;
    let (newest_us, oldest_us) = (newest.cast_signed(), oldest.cast_signed());
    match function {
        Function::Count => count as f64,
        Function::Recency if count > 0 => days_between(newest_us, end_us),
        Function::Tenure if count > 0 => days_between(oldest_us, end_us),
        Function::GapMean if count >= 2 => days_between(oldest_us, newest_us) / (count - 1) as f64,
        _ => f64::NAN,
    }
}

/// The difference of two instants in days of 24 hours; the magnitude is exact for any i64.
#[inline]
fn days_between(earlier_us: i64, later_us: i64) -> f64 {
    later_us.abs_diff(earlier_us) as f64 / DAY_US as f64
}

/// Takes one event; the deviation is that of the days between consecutive events, the newest gap first.
#[inline]
pub(in crate::features) fn gaps(state: &mut [u64; 5], time_us: i64) {
    let &mut [count, mean, squares, events, newer] = state;
    let mut gaps = [count, mean, squares];
    if events > 0 {
        welford::insert(&mut gaps, days_between(time_us, newer.cast_signed()));
    }
    *state = [gaps[0], gaps[1], gaps[2], events + 1, time_us.cast_unsigned()];
}
