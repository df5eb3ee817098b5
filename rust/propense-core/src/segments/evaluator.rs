//! Rules at work, one user after another.

use super::bound::BoundRules;
use super::rules::RuleSet;
use super::running::{Running, Values};
use super::settle::Past;
use super::standing::{Standing, Transition, UserScores};
use crate::events::EventLog;

/// Rules at work over a log; one a thread, as it keeps its scratch.
pub struct Evaluator<'a> {
    rules: &'a BoundRules,
    log: &'a EventLog,
    all: Running<'a>,
    /// The segments that depend on who was in them and what they read, where these are not all.
    lasting: Option<Running<'a>>,
    values: Values,
    past: Past,
}

impl<'a> Evaluator<'a> {
    /// An evaluator that has seen no user of a log that the rules were bound to or fit.
    #[must_use]
    pub fn new(rules: &'a BoundRules, log: &'a EventLog) -> Self {
        let running = |stage| Running::new(stage, log);
        let (all, lasting) = (running(&rules.all), rules.lasting.as_ref().map(running));
        Self { rules, log, all, lasting, values: Values::new(rules.rules()), past: Past::default() }
    }

    /// Where a user stands at one instant in every segment, in the order of [`RuleSet::names`](super::RuleSet::names):
    /// a user who stood in a segment `before` has been in it since then, and any other since this instant.
    ///
    /// Without `before` the user was in none: right for segments that do not depend on who was in them, and for a
    /// user's first instant.
    ///
    /// # Errors
    /// The scores' own.
    pub fn at<S: UserScores + ?Sized>(
        &mut self,
        user: usize,
        as_of_us: i64,
        scores: &mut S,
        before: Option<&[Standing]>,
        out: &mut [Standing],
    ) -> Result<(), S::Error> {
        match before {
            Some(before) => out.copy_from_slice(before),
            None => out.fill(Standing::OUT),
        }
        self.all.step(&mut self.values, user, as_of_us, scores, out, &mut |_| {})
    }

    /// Where a user stands at an instant in every segment, from the beginning of the user's events.
    ///
    /// # Errors
    /// The scores' own.
    pub fn replay<S: UserScores + ?Sized>(
        &mut self,
        user: usize,
        as_of_us: i64,
        scores: &mut S,
        out: &mut [Standing],
    ) -> Result<(), S::Error> {
        replay(&mut self.all, &mut self.values, self.log, user, as_of_us, scores, out)
    }

    /// Where a user stands at an instant in every segment as [`Evaluator::replay`] has it, from as little of the past as
    /// decides. What differs is `since_us`: of segments that do not depend on who was in them a member is one since
    /// `as_of_us`; of others since an instant that, if it is not the right one, is so long ago that the shortest stay is
    /// over, so that everything later is the same.
    ///
    /// A rule that cannot be solved together with a `min_stay` may differ from a replay within a minute of a change.
    ///
    /// # Errors
    /// The scores' own.
    pub fn settle<S: UserScores + ?Sized>(
        &mut self,
        user: usize,
        as_of_us: i64,
        scores: &mut S,
        out: &mut [Standing],
    ) -> Result<(), S::Error> {
        let path_dependent = self.rules.rules().path_dependent();
        if !path_dependent.contains(&true) {
            return self.at(user, as_of_us, scores, None, out);
        }
        let first_us = self.first_us(user).unwrap_or(as_of_us);
        let lasting = self.lasting.as_mut().unwrap_or(&mut self.all);
        if self.rules.nested {
            replay(lasting, &mut self.values, self.log, user, as_of_us, scores, out)?;
        } else {
            out.fill(Standing::OUT);
            if first_us < as_of_us {
                self.past.settle(lasting, &mut self.values, user, (first_us, as_of_us), scores, out)?;
            }
        }
        for (standing, _) in out.iter_mut().zip(path_dependent).filter(|(_, lasts)| !**lasts) {
            *standing = Standing::OUT;
        }
        self.all.step(&mut self.values, user, as_of_us, scores, out, &mut |_| {})
    }

    /// Steps through the instants in `(from_us, to_us]` at which anything may change with no new event, from where a
    /// user stood at `from_us`, and tells every coming and leaving in order of time. Gives the first instant after
    /// `to_us`, as [`Evaluator::next_change_us`] does.
    ///
    /// Who has no event before an instant stands there as at a first instant; from the first event on what lasts counts.
    ///
    /// # Errors
    /// The scores' own.
    pub fn advance<S: UserScores + ?Sized>(
        &mut self,
        user: usize,
        from_us: i64,
        to_us: i64,
        scores: &mut S,
        standings: &mut [Standing],
        on: &mut impl FnMut(Transition),
    ) -> Result<i64, S::Error> {
        let mut now_us = from_us;
        loop {
            now_us = self.next_step_us(user, now_us, scores, standings);
            // The end of time stands for never.
            if now_us > to_us || now_us == i64::MAX {
                return Ok(now_us);
            }
            self.step(user, now_us, scores, standings, on)?;
        }
    }

    /// The instant to which [`Evaluator::advance`] goes next; `i64::MAX` for none.
    pub fn next_step_us<S: UserScores + ?Sized>(
        &self,
        user: usize,
        after_us: i64,
        scores: &S,
        standings: &[Standing],
    ) -> i64 {
        let next_us = self.next_change_us(user, after_us, scores, standings);
        self.first_us(user).filter(|&first_us| after_us < first_us).map_or(next_us, |first_us| next_us.min(first_us))
    }

    /// One step of [`Evaluator::advance`]: moves a user's standings to the instant that is next, and tells every coming and
    /// leaving.
    ///
    /// # Errors
    /// The scores' own.
    pub fn step<S: UserScores + ?Sized>(
        &mut self,
        user: usize,
        now_us: i64,
        scores: &mut S,
        standings: &mut [Standing],
        on: &mut impl FnMut(Transition),
    ) -> Result<(), S::Error> {
        let first_us = self.first_us(user).unwrap_or(i64::MAX);
        if now_us <= first_us {
            return self.begin(user, now_us, scores, standings, now_us == first_us, on);
        }
        self.all.step(&mut self.values, user, now_us, scores, standings, on)
    }

    /// Moves a user who has no event before an instant there: nothing lasts until the first event, from which on what
    /// lasts counts.
    fn begin<S: UserScores + ?Sized>(
        &mut self,
        user: usize,
        now_us: i64,
        scores: &mut S,
        standings: &mut [Standing],
        is_first: bool,
        on: &mut impl FnMut(Transition),
    ) -> Result<(), S::Error> {
        let before = standings.to_vec();
        self.at(user, now_us, scores, None, standings)?;
        for (segment, (now, before)) in standings.iter_mut().zip(before).enumerate() {
            if now.member != before.member {
                on(Transition { segment, enter: now.member, time_us: now_us });
            } else if !is_first {
                *now = before;
            }
        }
        Ok(())
    }

    /// The first instant after another at which anything may change for a user with no new event, the scores
    /// included; `i64::MAX` for never.
    pub fn next_change_us<S: UserScores + ?Sized>(
        &self,
        user: usize,
        after_us: i64,
        scores: &S,
        standings: &[Standing],
    ) -> i64 {
        self.all.next_change_us(user, after_us, scores, standings)
    }

    /// An instant after another, and not after that of [`Evaluator::next_change_us`], before which nothing changes for a
    /// user: quicker to know for whom it is enough to look again then, as if it were that instant.
    pub fn not_before_us<S: UserScores + ?Sized>(
        &self,
        user: usize,
        after_us: i64,
        scores: &S,
        standings: &[Standing],
    ) -> i64 {
        self.all.not_before_us(user, after_us, scores, standings)
    }

    pub(super) fn rules(&self) -> &'a RuleSet {
        self.rules.rules()
    }

    /// The time of a user's first event.
    pub(super) fn first_us(&self, user: usize) -> Option<i64> {
        self.log.time_us()[self.log.rows(user)].first().copied()
    }
}

fn replay<S: UserScores + ?Sized>(
    running: &mut Running<'_>,
    values: &mut Values,
    log: &EventLog,
    user: usize,
    as_of_us: i64,
    scores: &mut S,
    out: &mut [Standing],
) -> Result<(), S::Error> {
    out.fill(Standing::OUT);
    let first_us = log.time_us()[log.rows(user)].first().copied().unwrap_or(as_of_us);
    let mut now_us = first_us;
    while now_us < as_of_us {
        running.step(values, user, now_us, scores, out, &mut |_| {})?;
        now_us = running.next_change_us(user, now_us, scores, out);
    }
    running.step(values, user, as_of_us, scores, out, &mut |_| {})
}
