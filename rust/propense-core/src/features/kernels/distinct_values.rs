//! Exact distinct counts of nested windows with one set.

use foldhash::fast::FixedState;
use hashbrown::HashSet;

use super::segments;

/// The scratch set, kept between users.
pub(in crate::features) type DistinctSet = HashSet<u64, FixedState>;

/// Distinct values that are not missing; −0 equals 0. A value's newest sighting decides which windows count it.
pub(in crate::features) fn distinct(
    values: &[f64],
    bounds: &[usize],
    set: &mut DistinctSet,
    mut each: impl FnMut(usize, f64),
) {
    set.clear();
    segments(values, bounds, |window, _, values| {
        // Adding 0 turns −0 into 0 and changes nothing else.
        set.extend(values.iter().filter(|value| !value.is_nan()).map(|value| (value + 0.0).to_bits()));
        each(window, set.len() as f64);
    });
}
