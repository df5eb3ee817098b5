//! Functions of event times alone.

use super::segments;
use super::welford::Welford;
use crate::DAY_US;
use crate::expr::Function;

/// How many events a window has and when the newest and the oldest of them happened.
pub(in crate::features) struct Extent {
    count: usize,
    newest_us: i64,
    oldest_us: i64,
    end_us: i64,
}

impl Extent {
    pub(in crate::features) fn value(&self, function: Function) -> f64 {
        match function {
            Function::Count => self.count as f64,
            Function::Recency => days_between(self.newest_us, self.end_us),
            Function::Tenure => days_between(self.oldest_us, self.end_us),
            Function::GapMean if self.count >= 2 => {
                days_between(self.oldest_us, self.newest_us) / (self.count - 1) as f64
            }
            _ => f64::NAN,
        }
    }
}

/// The difference of two instants in days of 24 hours; the magnitude is exact for any i64.
fn days_between(earlier_us: i64, later_us: i64) -> f64 {
    later_us.abs_diff(earlier_us) as f64 / DAY_US as f64
}

/// Where each window's events begin and end.
pub(in crate::features) fn extent(
    times_us: &[i64],
    bounds: &[usize],
    end_us: i64,
    mut each: impl FnMut(usize, Extent),
) {
    for (window, &count) in bounds.iter().enumerate().filter(|(_, count)| **count > 0) {
        each(window, Extent { count, newest_us: times_us[0], oldest_us: times_us[count - 1], end_us });
    }
}

/// Sample standard deviation of the days between consecutive events, the newest gap first.
pub(in crate::features) fn gap_spread(times_us: &[i64], bounds: &[usize], mut each: impl FnMut(usize, f64)) {
    let mut state = Welford::default();
    let mut newer_us = times_us.first().copied().unwrap_or_default();
    let mut skip_first = 1;
    segments(times_us, bounds, |window, _, times| {
        for &time_us in &times[skip_first..] {
            state.insert(days_between(time_us, newer_us));
            newer_us = time_us;
        }
        skip_first = 0;
        each(window, state.sample_deviation());
    });
}

/// Sum of one half to the power of age over half-life.
pub(in crate::features) fn decay(
    times_us: &[i64],
    bounds: &[usize],
    end_us: i64,
    half_life_us: i64,
    mut each: impl FnMut(usize, f64),
) {
    let mut sum = 0.0;
    segments(times_us, bounds, |window, _, times| {
        for &time_us in times {
            sum += (-(end_us.abs_diff(time_us) as f64) / half_life_us as f64).exp2();
        }
        each(window, sum);
    });
}
