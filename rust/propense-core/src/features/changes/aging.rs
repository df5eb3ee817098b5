//! Values that change with time alone: recency and tenure rise, a decayed count falls.

use super::decay::{Decaying, next_decay_us};
use super::steps::Steps;
use super::watches::Watch;
use crate::DAY_US;
use crate::events::EventLog;
use crate::expr::{BoundAggregate, Function};

/// A value that ages and the numbers that it is compared with.
#[derive(Debug)]
pub(super) struct Aging {
    function: Function,
    window_us: Option<i64>,
    selector_text: String,
    watch: Watch,
    steps: Steps,
}

impl Aging {
    pub(super) fn new(aggregate: &BoundAggregate, steps: Steps) -> Self {
        let mut watch = Watch::default();
        watch.add(aggregate);
        let mut aging = Self {
            function: aggregate.function,
            window_us: aggregate.window_us,
            selector_text: aggregate.selector_text.clone(),
            watch,
            steps,
        };
        aging.sort();
        aging
    }

    /// Whether another is of the same value.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (self.function, self.window_us, &self.selector_text) == (other.function, other.window_us, &other.selector_text)
    }

    /// Adds another's steps.
    pub(super) fn join(&mut self, other: &Self) {
        self.steps.double.extend_from_slice(&other.steps.double);
        self.steps.single.extend_from_slice(&other.steps.single);
        self.sort();
    }

    fn sort(&mut self) {
        let Steps { double, single } = &mut self.steps;
        double.sort_unstable_by(f64::total_cmp);
        double.dedup();
        single.sort_unstable_by(f32::total_cmp);
        single.dedup();
    }

    /// The first instant after another at which the value crosses a step, if events neither come nor go before.
    pub(super) fn next_us(&self, log: &EventLog, user: usize, after_us: i64) -> i64 {
        let rows = log.rows(user);
        let times_us = &log.time_us()[rows.clone()];
        // What is seen one microsecond later: an earlier coming or going is an instant of its own.
        let seen = times_us.partition_point(|&time_us| time_us <= after_us);
        let start_us =
            self.window_us.map_or(i64::MIN, |window_us| after_us.saturating_add(1).saturating_sub(window_us));
        let first = times_us.partition_point(|&time_us| time_us < start_us);
        let takes = |place: &usize| self.watch.takes(log, rows.start + place);
        let mut places = first..seen.max(first);
        match self.function {
            Function::DecayedCount { half_life_us } => {
                let newest_first = places.rev().filter(takes).map(|place| times_us[place]).collect();
                next_decay_us(&Decaying { newest_first, half_life_us }, &self.steps, after_us)
            }
            Function::Recency => places.rev().find(takes).map_or(i64::MAX, |at| self.rises_us(times_us[at], after_us)),
            _ => places.find(takes).map_or(i64::MAX, |at| self.rises_us(times_us[at], after_us)),
        }
    }

    /// The first instant after another at which the days since an event reach a step.
    fn rises_us(&self, event_us: i64, after_us: i64) -> i64 {
        let Steps { double, single } = &self.steps;
        let days = |now_us: i64| now_us.abs_diff(event_us) as f64 / DAY_US as f64;
        let now = days(after_us);
        let mut next_us = i64::MAX;
        if let Some(&step) = double.get(double.partition_point(|&step| step <= now)) {
            next_us = next_us.min(first_us(event_us, after_us, step, |now_us| days(now_us) >= step));
        }
        if let Some(&step) = single.get(single.partition_point(|&step| step <= now as f32)) {
            let reached = |now_us: i64| days(now_us) as f32 >= step;
            next_us = next_us.min(first_us(event_us, after_us, f64::from(step), reached));
        }
        next_us
    }
}

/// The first instant after `after_us` at which something is reached that stays so; about `days` after an event.
fn first_us(event_us: i64, after_us: i64, days: f64, reached: impl Fn(i64) -> bool) -> i64 {
    if !reached(i64::MAX) {
        return i64::MAX;
    }
    // A few roundings of f32 around where it should be; beyond, only if that was wrong.
    let about_us = days * DAY_US as f64;
    let slack_us = about_us.abs() / 1e6 + 2.0;
    let guess = |length_us: f64| event_us.saturating_add(length_us as i64);
    let (mut before_us, mut at_us) = (guess(about_us - slack_us).max(after_us), guess(about_us + slack_us));
    if before_us > after_us && reached(before_us) {
        before_us = after_us;
    }
    if at_us <= before_us || !reached(at_us) {
        at_us = i64::MAX;
    }
    while at_us.abs_diff(before_us) > 1 {
        let middle_us = before_us.midpoint(at_us);
        if reached(middle_us) { at_us = middle_us } else { before_us = middle_us }
    }
    at_us
}
