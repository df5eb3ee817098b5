//! Where a decayed count falls below a number.
//!
//! The count halves with every half-life, so where it does is known to a few roundings. Around that place it is
//! computed for every microsecond, as its last bits may go up and down there; what is found is then exactly where the
//! computed value crosses.

use super::ladder::Ladder;
use super::next_recheck_us;
use super::steps::{Steps, boundary};
use crate::features::kernels::half_life::power_of_half;

/// Microseconds around a crossing that are looked at one by one, at most; a wider uncertainty, which takes a half-life
/// of centuries or millions of events, is rechecked instead.
const CLOSELY_US: f64 = 1_000.0;
/// Below this, weights lose digits.
const TINY: f64 = 1e-290;
/// Halvings after which the weight of an event is 0.
const SPENT: f64 = 1_101.0;

/// A decayed count from which no event leaves.
pub(super) struct Decaying {
    /// The events' instants, the newest first.
    pub(super) newest_first: Vec<i64>,
    pub(super) half_life_us: i64,
}

/// A number, and how the count is compared with it.
#[derive(Clone, Copy)]
enum Step {
    Double(f64),
    Single(f32),
}

impl Decaying {
    /// The count as the kernels compute it.
    fn value(&self, now_us: i64) -> f64 {
        let half_life = self.half_life_us as f64;
        let weight = |&event_us: &i64| power_of_half(now_us.abs_diff(event_us) as f64 / half_life);
        self.newest_first.iter().map(weight).fold(0.0, |sum, weight| sum + weight)
    }
}

impl Step {
    /// Whether a value is the number or above.
    fn is_reached(self, value: f64) -> bool {
        match self {
            Self::Double(step) => value >= step,
            Self::Single(step) => value as f32 >= step,
        }
    }

    /// About the least value that is.
    fn boundary(self) -> f64 {
        match self {
            Self::Double(step) => step,
            Self::Single(step) => boundary(step),
        }
    }
}

/// An instant up to which a count, which is this at another, falls below no step.
///
/// As `2^-t >= 1 - t ln 2`, falling from `a` to `b` takes at least `(a - b) / (a ln 2)` half-lives.
pub(super) fn not_before_us(now: f64, half_life_us: i64, ladder: &Ladder, after_us: i64) -> i64 {
    if now < TINY {
        let is_tiny = |step: f64| 0.0 < step && step < 2.0 * TINY;
        return if ladder.any(is_tiny) { after_us } else { i64::MAX };
    }
    // What is known of the value, and of when it crosses, is off by far less.
    let slack = 1e-6;
    let above = now * (1.0 + slack);
    let Some(step) = ladder.last_up_to(above).filter(|&step| step > 0.0) else { return i64::MAX };
    let half_lives = (1.0 - step / now - slack) / std::f64::consts::LN_2;
    after_us.saturating_add((half_lives.max(0.0) * half_life_us as f64) as i64)
}

/// The first instant after another, and before a third, at which the count falls below a step; else the third.
pub(super) fn next_decay_us(count: &Decaying, steps: &Steps, after_us: i64, before_us: i64) -> i64 {
    let Some(&newest_us) = count.newest_first.first() else { return before_us };
    let first_us = newest_us.saturating_add(1);
    let start = Start { first_us, value: count.value(first_us) };
    let before_us = next_of(count, &start, &steps.double, Step::Double, after_us, before_us);
    next_of(count, &start, &steps.single, Step::Single, after_us, before_us)
}

/// The count where it is seen first.
struct Start {
    first_us: i64,
    value: f64,
}

/// Of steps that ascend.
fn next_of<N: Copy>(
    count: &Decaying,
    start: &Start,
    steps: &[N],
    step_of: impl Fn(N) -> Step,
    after_us: i64,
    before_us: i64,
) -> i64 {
    let halvings = after_us.saturating_sub(start.first_us) as f64 / count.half_life_us as f64;
    let now = start.value * (-halvings).exp2();
    let mut next_us = before_us;
    // The count falls, so the greatest step comes first. Those far above it are behind it.
    let far_above = |&number: &N| step_of(number).boundary() > now * (1.0 + 1e-6) && now > TINY;
    let ahead = &steps[..steps.partition_point(|number| !far_above(number))];
    for step in ahead.iter().rev().map(|&number| step_of(number)) {
        let boundary = step.boundary();
        // A count is never below 0, and far below the tiniest number it is 0.
        if boundary <= 0.0 {
            break;
        }
        let Some(band) = Band::around(count, start, boundary) else { continue };
        if band.from_us >= next_us {
            break;
        }
        next_us = next_us.min(band.crossing_us(count, step, after_us));
    }
    next_us
}

/// Where a crossing can be, both ends in.
struct Band {
    from_us: i64,
    to_us: i64,
    closely: bool,
}

impl Band {
    fn around(count: &Decaying, start: &Start, boundary: f64) -> Option<Self> {
        let half_life = count.half_life_us as f64;
        let events = count.newest_first.len() as f64;
        let at = |halvings: f64| start.first_us.saturating_add((halvings * half_life) as i64);
        // The last weight that is not 0 is that of the newest event, half of the tiniest number being rounded to it.
        let is_last = boundary == f64::from_bits(1);
        if boundary < TINY && !is_last {
            let from_us = at((start.value / TINY).log2().max(0.0));
            return Some(Self { from_us, to_us: at(SPENT), closely: false });
        }
        let halvings = if is_last { 1_075.0 } else { (start.value / boundary).log2() };
        // Every weight, every sum and the logarithm are off by some units in the last place.
        let oldest_us = count.newest_first.last().copied().unwrap_or(start.first_us);
        let age = start.first_us.abs_diff(oldest_us) as f64 / half_life + halvings.abs();
        let units = events + 2.0 * age.min(2.0 * SPENT) + 64.0;
        let slack_us = half_life * units * f64::EPSILON * 2.0 + 2.0;
        let about_us = halvings * half_life;
        if about_us + slack_us < 0.0 {
            return None;
        }
        let instant = |length_us: f64| start.first_us.saturating_add(length_us as i64);
        let (from_us, to_us) = (instant(about_us - slack_us), instant(about_us + slack_us));
        Some(Self { from_us: from_us.max(start.first_us), to_us, closely: slack_us <= CLOSELY_US })
    }

    /// The first instant in the band and after another at which the answer to a step changes.
    fn crossing_us(&self, count: &Decaying, step: Step, after_us: i64) -> i64 {
        let Self { from_us, to_us, closely } = *self;
        if to_us <= after_us {
            return i64::MAX;
        }
        let before_us = after_us.max(from_us.saturating_sub(1)).max(count.newest_first[0].saturating_add(1));
        if !closely {
            return next_recheck_us(before_us).min(to_us);
        }
        let mut was = step.is_reached(count.value(before_us));
        for now_us in before_us.saturating_add(1)..=to_us {
            let is = step.is_reached(count.value(now_us));
            if is != was {
                return now_us;
            }
            was = is;
        }
        i64::MAX
    }
}
