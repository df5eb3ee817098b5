//! The inner loops: slices and numbers in, one value a window out.
//!
//! Every kernel walks a selection of one user's events newest first. `bounds[k]` is how many of them lie in window
//! `k`; windows are nested, so bounds ascend and each event is visited once. What a running state holds at a bound
//! is the answer for that window, and does not depend on which other windows are asked for. A window without events
//! is skipped: its value is the function's empty value.

mod calendar_days;
mod distinct_values;
mod extent;
mod property;
mod welford;

pub(super) use calendar_days::{days, share};
pub(super) use distinct_values::{DistinctSet, distinct};
pub(super) use extent::{decay, extent, gap_spread};
pub(super) use property::{ends, extremes, moments, spread};

/// Calls `each` with every window that has events, the number of its events, and those that no shorter window has.
fn segments<T>(events: &[T], bounds: &[usize], mut each: impl FnMut(usize, usize, &[T])) {
    let mut start = 0;
    for (window, &end) in bounds.iter().enumerate() {
        if end > 0 {
            each(window, end, &events[start..end]);
            start = end;
        }
    }
}
