//! Functions of local days and hours.

/// Distinct days, those of the newest events first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::features) struct Days {
    pub(in crate::features) count: u32,
    last: i32,
    before: i32,
}

/// No event has this local day.
const NO_DAY: i32 = i32::MIN;

impl Days {
    pub(in crate::features) const NONE: Self = Self { count: 0, last: NO_DAY, before: NO_DAY };

    /// Takes one event's day. Days descend but for the hour that daylight saving time repeats, which can step back over
    /// midnight and lead to the same two days in turn; so the last two new days are remembered, not only one.
    #[allow(clippy::needless_bitwise_bool, reason = "no branch: whether a day is new cannot be guessed")]
    #[inline]
    pub(in crate::features) fn take(&mut self, day: i32) {
        let Self { count, last, before } = *self;
        let is_new = (day != last) & (day != before);
        *self = Self {
            count: count + u32::from(is_new),
            last: if is_new { day } else { last },
            before: if is_new { last } else { before },
        };
    }
}

/// How many events stand before each place, and, last, how many there are; at most 24 places.
#[inline]
pub(in crate::features) fn running_sums(counts: &[u32]) -> RunningSums {
    let mut sums = RunningSums { before: [0; 25], places: counts.len() };
    let mut sum = 0;
    for (before, &count) in sums.before[1..].iter_mut().zip(counts) {
        sum += count;
        *before = sum;
    }
    sums
}

/// Counts in a cycle, summed up.
pub(in crate::features) struct RunningSums {
    before: [u32; 25],
    places: usize,
}

/// The share of the places from `from` to `to`, both included; round the end where `from` is above `to`. NaN without
/// events.
#[inline]
pub(in crate::features) fn share(sums: &RunningSums, from: usize, to: usize) -> f64 {
    let all = sums.before[sums.places];
    let (before, up_to) = (sums.before[from], sums.before[to + 1]);
    let held = if from <= to { up_to - before } else { all - before + up_to };
    if all == 0 { f64::NAN } else { f64::from(held) / f64::from(all) }
}
