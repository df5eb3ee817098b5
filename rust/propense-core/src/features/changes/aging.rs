//! Values that change with time alone: recency and tenure rise, a decayed count falls.

use super::decay::{Decaying, next_decay_us, not_before_us as decay_not_before_us};
use super::ladder::Ladder;
use super::steps::Steps;
use super::watches::Watch;
use super::{Known, Place};
use crate::DAY_US;
use crate::events::EventLog;
use crate::expr::{BoundAggregate, Function};

/// Up to so many, microseconds times a rounded number of days are exact again: 35 years.
const EXACT_US: f64 = (1_u64 << 50) as f64;

/// Which events a value that ages is made of.
#[derive(Debug)]
pub(super) struct Aged {
    function: Function,
    window_us: Option<i64>,
    watch: Watch,
}

/// A value that ages and the numbers that it is compared with.
#[derive(Debug)]
pub(super) struct Aging {
    /// A leaf that has the value.
    pub(super) place: Place,
    aged: Aged,
    selector_text: String,
    steps: Steps,
    /// All values at which a step begins.
    ladder: Ladder,
}

impl Aged {
    pub(super) fn new(aggregate: &BoundAggregate) -> Self {
        let mut watch = Watch::default();
        watch.add(aggregate);
        Self { function: aggregate.function, window_us: aggregate.window_us, watch }
    }

    /// The rows of the events that count one microsecond after an instant, oldest first: an earlier coming or going is an
    /// instant of its own.
    fn rows<'a>(
        &'a self,
        log: &'a EventLog,
        user: usize,
        after_us: i64,
    ) -> impl DoubleEndedIterator<Item = usize> + 'a {
        let rows = log.rows(user);
        let times_us = &log.time_us()[rows.clone()];
        let seen = times_us.partition_point(|&time_us| time_us <= after_us);
        let start_us =
            self.window_us.map_or(i64::MIN, |window_us| after_us.saturating_add(1).saturating_sub(window_us));
        let first = times_us.partition_point(|&time_us| time_us < start_us);
        (rows.start + first..rows.start + seen.max(first)).filter(move |&row| self.watch.takes(log, row))
    }

    /// The event whose age a recency or a tenure is, which is so many days if that is known.
    pub(super) fn event_us(&self, log: &EventLog, user: usize, after_us: i64, days: Option<f64>) -> Option<i64> {
        match days {
            Some(days) if days.is_nan() => return None,
            // Of so few microseconds the two roundings, of the division and this, are together below one half.
            Some(days) if days * DAY_US as f64 <= EXACT_US => {
                return Some(after_us - (days * DAY_US as f64).round() as i64);
            }
            _ => {}
        }
        let mut rows = self.rows(log, user, after_us);
        let row = if self.function == Function::Recency { rows.next_back() } else { rows.next() };
        row.map(|row| log.time_us()[row])
    }
}

impl Aging {
    pub(super) fn new(place: Place, aggregate: &BoundAggregate, steps: Steps) -> Self {
        let selector_text = aggregate.selector_text.clone();
        let mut aging = Self { place, aged: Aged::new(aggregate), selector_text, steps, ladder: Ladder::default() };
        aging.sort();
        aging
    }

    /// Whether another is of the same value.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let key = |aging: &Self| (aging.aged.function, aging.aged.window_us);
        key(self) == key(other) && self.selector_text == other.selector_text
    }

    /// Adds another's steps.
    pub(super) fn join(&mut self, other: &Self) {
        self.steps.double.extend_from_slice(&other.steps.double);
        self.steps.single.extend_from_slice(&other.steps.single);
        self.sort();
    }

    fn sort(&mut self) {
        self.steps.sort();
        self.ladder = Ladder::new([&self.steps.double[..], &self.steps.boundaries].concat());
    }

    /// An instant up to which the value crosses no step, if events neither come nor go; where it is not known, the instant
    /// that is asked about.
    pub(super) fn not_before_us_by(&self, known: Known<'_>, after_us: i64) -> i64 {
        known.value(self.place).map_or(after_us, |now| self.not_before_us(now, after_us))
    }

    /// An instant up to which the value, which is this at another, crosses no step, if events neither come nor go.
    fn not_before_us(&self, now: f64, after_us: i64) -> i64 {
        match self.aged.function {
            Function::DecayedCount { half_life_us } => decay_not_before_us(now, half_life_us, &self.ladder, after_us),
            // Without events there is no age.
            _ if now.is_nan() => i64::MAX,
            _ => {
                // A little earlier, as a value on a boundary may be rounded either way.
                let now = now * (1.0 - 1e-14);
                let Some(step) = self.ladder.first_from(now).filter(|&step| step < f64::INFINITY) else {
                    return i64::MAX;
                };
                let days = step - now;
                // A day's division rounds by far less than a millionth of what is left and of what there is.
                let early_us = (days - (days.abs() + now) * 1e-9) * DAY_US as f64 - 2.0;
                after_us.saturating_add(early_us as i64)
            }
        }
    }

    /// The first instant after another, and before a third, at which the value, if it is known, crosses a step, if events neither
    /// come nor go before; else the third.
    pub(super) fn next_us(
        &self,
        log: &EventLog,
        user: usize,
        after_us: i64,
        before_us: i64,
        known: Option<f64>,
    ) -> i64 {
        match self.aged.function {
            Function::DecayedCount { half_life_us } => {
                let rows = self.aged.rows(log, user, after_us).rev();
                let newest_first = rows.map(|row| log.time_us()[row]).collect();
                next_decay_us(&Decaying { newest_first, half_life_us }, &self.steps, after_us, before_us)
            }
            _ => match self.aged.event_us(log, user, after_us, known) {
                Some(event_us) => self.rises_us(event_us, after_us, before_us),
                None => before_us,
            },
        }
    }

    /// The first instant after another, and before a third, at which the days since an event reach a step; else the third.
    fn rises_us(&self, event_us: i64, after_us: i64, before_us: i64) -> i64 {
        let Steps { double, single, .. } = &self.steps;
        let days = |now_us: i64| now_us.abs_diff(event_us) as f64 / DAY_US as f64;
        let now = days(after_us);
        let mut next_us = before_us;
        if let Some(&step) = double.get(double.partition_point(|&step| step <= now)) {
            next_us = first_us(event_us, (after_us, next_us), step, |now_us| days(now_us) >= step);
        }
        if let Some(&step) = single.get(single.partition_point(|&step| step <= now as f32)) {
            next_us = first_us(event_us, (after_us, next_us), f64::from(step), |now_us| days(now_us) as f32 >= step);
        }
        next_us
    }
}

/// The first instant after one and before another at which something is reached that stays so, about `days` after an event;
/// else the other.
fn first_us(event_us: i64, (after_us, before_us): (i64, i64), days: f64, reached: impl Fn(i64) -> bool) -> i64 {
    let last_us = before_us.saturating_sub(1);
    if last_us <= after_us || !reached(last_us) {
        return before_us;
    }
    // A few roundings of f32 around where it should be; beyond, only if that was wrong.
    let about_us = days * DAY_US as f64;
    let slack_us = about_us.abs() / 1e6 + 2.0;
    let guess = |length_us: f64| event_us.saturating_add(length_us as i64);
    let (mut low_us, mut high_us) = (guess(about_us - slack_us).max(after_us), guess(about_us + slack_us));
    if low_us > after_us && (low_us >= last_us || reached(low_us)) {
        low_us = after_us;
    }
    if high_us <= low_us || high_us >= last_us || !reached(high_us) {
        high_us = last_us;
    }
    while high_us.abs_diff(low_us) > 1 {
        let middle_us = low_us.midpoint(high_us);
        if reached(middle_us) { high_us = middle_us } else { low_us = middle_us }
    }
    high_us
}
