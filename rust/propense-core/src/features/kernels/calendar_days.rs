//! Functions of local days and hours.

/// Cells: how many distinct days, the last new day, the new day before it.
pub(in crate::features) const DAYS: [u64; 3] = [0, NO_DAY, NO_DAY];
/// Cells: how many events at each hour of the day.
pub(in crate::features) const HOURS: [u64; 24] = [0; 24];
/// Cells: how many events on each day of the week, from Monday.
pub(in crate::features) const WEEKDAYS: [u64; 7] = [0; 7];

/// No event has this local day.
const NO_DAY: u64 = i64::MIN.cast_unsigned();

/// Takes one event's day. Days descend but for the hour that daylight saving time repeats, which can step back over
/// midnight and lead to the same two days in turn; so the last two new days are remembered, not only one.
#[inline]
pub(in crate::features) fn days(state: &mut [u64; 3], day: i64) {
    let day = day.cast_unsigned();
    let &mut [count, last, before] = state;
    if day != last && day != before {
        *state = [count + 1, day, last];
    }
}

/// How many events stand before each place, and, last, how many there are; at most 24 places.
#[inline]
pub(in crate::features) fn running_sums(counts: &[u64]) -> RunningSums {
    let mut sums = RunningSums { before: [0; HOURS.len() + 1], places: counts.len() };
    for (place, &count) in counts.iter().enumerate() {
        sums.before[place + 1] = sums.before[place] + count;
    }
    sums
}

/// Counts in a cycle, summed up.
pub(in crate::features) struct RunningSums {
    before: [u64; HOURS.len() + 1],
    places: usize,
}

/// The share of the places from `from` to `to`, both included; round the end where `from` is above `to`. NaN without
/// events.
#[inline]
pub(in crate::features) fn share(sums: &RunningSums, from: usize, to: usize) -> f64 {
    let all = sums.before[sums.places];
    let (before, up_to) = (sums.before[from], sums.before[to + 1]);
    let held = if from <= to { up_to - before } else { all - before + up_to };
    if all == 0 { f64::NAN } else { held as f64 / all as f64 }
}
