//! The instants at which a value crosses the numbers that it is compared with.
//!
//! Where that is is known to a few roundings. Around that place the value is computed for every microsecond, as its last
//! bits may go up and down there; what is found is then exactly where the computed value crosses.

use super::curve::{Band, Curve};
use super::next_recheck_us;
use super::steps::{Steps, boundary};

/// Microseconds around a crossing that are looked at one by one, at most; a wider uncertainty is rechecked instead.
const CLOSELY_US: i64 = 1_000;

/// Looks for where one value crosses steps.
pub(super) struct Crossing<'a> {
    pub(super) after_us: i64,
    /// The value at an instant, as the kernels compute it.
    pub(super) value: &'a dyn Fn(i64) -> f64,
}

impl Crossing<'_> {
    /// The first instant after `after_us` and before another at which the value crosses a step; else that.
    pub(super) fn next_us(&self, curve: &Curve, steps: &Steps, before_us: i64) -> i64 {
        let mut next_us = before_us;
        if let Some(pole) = curve.pole() {
            let bins = |now_us: i64| {
                let value = (self.value)(now_us);
                let double = steps.double.partition_point(|&step| step <= value);
                (value.is_nan(), double, steps.single.partition_point(|&step| step <= value as f32))
            };
            // Beyond it the value may come back from the other end.
            let end_us = self.instant_us(pole.to);
            if end_us > self.after_us {
                next_us = self.changes_us(pole, next_us, bins).min(end_us);
            }
        }
        let now = curve.now();
        let place = steps.double.partition_point(|&step| step <= now);
        let (below, above) = steps.double.split_at(place);
        let double = |step: f64| (step, move |value: f64| value >= step);
        next_us = self.first_us(curve, above.iter().map(|&step| double(step)), next_us);
        next_us = self.first_us(curve, below.iter().rev().map(|&step| double(step)), next_us);
        let place = steps.boundaries.partition_point(|&boundary| boundary <= now);
        let (below, above) = steps.single.split_at(place);
        let single = |step: f32| (boundary(step), move |value: f64| value as f32 >= step);
        next_us = self.first_us(curve, above.iter().map(|&step| single(step)), next_us);
        self.first_us(curve, below.iter().rev().map(|&step| single(step)), next_us)
    }

    /// Of steps that lie ever further from the value now: those that it never comes to are followed by others such.
    fn first_us<R: Fn(f64) -> bool>(
        &self,
        curve: &Curve,
        steps: impl Iterator<Item = (f64, R)>,
        before_us: i64,
    ) -> i64 {
        let mut next_us = before_us;
        for (number, reached) in steps {
            let Some(band) = curve.around(number) else { break };
            if self.instant_us(band.from) >= next_us {
                break;
            }
            next_us = self.changes_us(band, next_us, |now_us| reached((self.value)(now_us)));
        }
        next_us
    }

    /// The first instant in a band, after now and before another, at which an answer changes; else that.
    fn changes_us<A: PartialEq>(&self, band: Band, before_us: i64, answer: impl Fn(i64) -> A) -> i64 {
        let (from_us, to_us) = (self.instant_us(band.from), self.instant_us(band.to));
        let start_us = from_us.saturating_sub(1).max(self.after_us);
        if to_us.saturating_sub(start_us) > CLOSELY_US {
            return next_recheck_us(start_us).min(to_us).min(before_us);
        }
        let mut was = answer(start_us);
        for now_us in start_us.saturating_add(1)..=to_us.min(before_us.saturating_sub(1)) {
            let is = answer(now_us);
            if is != was {
                return now_us;
            }
            was = is;
        }
        before_us
    }

    fn instant_us(&self, from_now: f64) -> i64 {
        self.after_us.saturating_add(from_now as i64)
    }
}
