//! Functions of event times alone.

use super::welford::Welford;
use crate::DAY_US;

/// How many events there are, and when the newest and the oldest happened; without events, the instants mean nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::features) struct Extent {
    pub(in crate::features) count: u32,
    pub(in crate::features) newest_us: i64,
    pub(in crate::features) oldest_us: i64,
}

impl Extent {
    pub(in crate::features) const NONE: Self = Self { count: 0, newest_us: 0, oldest_us: 0 };

    /// Days from the newest event to an instant.
    #[inline]
    pub(in crate::features) fn recency(&self, end_us: i64) -> f64 {
        if self.count == 0 { f64::NAN } else { days_between(self.newest_us, end_us) }
    }

    /// Days from the oldest event to an instant.
    #[inline]
    pub(in crate::features) fn tenure(&self, end_us: i64) -> f64 {
        if self.count == 0 { f64::NAN } else { days_between(self.oldest_us, end_us) }
    }

    /// The mean of the days between two events.
    #[inline]
    pub(in crate::features) fn gap_mean(&self) -> f64 {
        if self.count < 2 {
            return f64::NAN;
        }
        days_between(self.oldest_us, self.newest_us) / f64::from(self.count - 1)
    }
}

/// Writes recency, tenure and mean gap of some selections, given how many events each has, the newest and the oldest:
/// all of the first function, then all of the second, then all of the third.
#[allow(clippy::inline_always)]
#[inline(always)]
pub(in crate::features) fn write_extents(
    counts: &[u32],
    newest_us: &[i64],
    oldest_us: &[i64],
    end_us: i64,
    days: &mut [f64],
) {
    let (recencies, rest) = days.split_at_mut(counts.len());
    let (tenures, gap_means) = rest.split_at_mut(counts.len());
    let instants = counts.iter().zip(newest_us).zip(oldest_us);
    for ((((&count, &newest_us), &oldest_us), recency), (tenure, gap_mean)) in
        instants.zip(recencies).zip(tenures.iter_mut().zip(gap_means))
    {
        let extent = Extent { count, newest_us, oldest_us };
        *recency = extent.recency(end_us);
        *tenure = extent.tenure(end_us);
        *gap_mean = extent.gap_mean();
    }
}

/// The difference of two instants in days of 24 hours; the magnitude is exact for any i64.
#[inline]
fn days_between(earlier_us: i64, later_us: i64) -> f64 {
    later_us.abs_diff(earlier_us) as f64 / DAY_US as f64
}

/// The days between consecutive events, the newest gap first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::features) struct Gaps {
    pub(in crate::features) days: Welford,
    /// The event seen last.
    newer_us: Option<i64>,
}

impl Gaps {
    pub(in crate::features) const NONE: Self = Self { days: Welford::NONE, newer_us: None };

    /// Takes one event.
    #[inline]
    pub(in crate::features) fn take(&mut self, time_us: i64) {
        if let Some(newer_us) = self.newer_us.replace(time_us) {
            self.days.take(days_between(time_us, newer_us));
        }
    }
}
