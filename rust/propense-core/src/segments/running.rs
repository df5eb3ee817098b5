//! A stage at work: one instant of one user, and the next that matters.

use super::bound::{Group, Stage, Step};
use super::rules::RuleSet;
use super::settle::{HOLD, RAW};
use super::standing::{Score, Standing, Transition, UserScores};
use crate::events::EventLog;
use crate::expr::{Clock, Externals, Program};
use crate::features::{Period, Scan};

/// A stage with its scans.
pub(super) struct Running<'a> {
    pub(super) stage: &'a Stage,
    log: &'a EventLog,
    /// One a group.
    scans: Vec<Scan<'a>>,
    /// The user whom they have gathered, and at which instant.
    looked: Option<(usize, i64)>,
}

/// What rules read that is not in the log.
pub(super) struct Values {
    rules: RuleSet,
    scores: Vec<Option<Score>>,
    externals: Vec<f64>,
}

impl Values {
    pub(super) fn new(rules: &RuleSet) -> Self {
        let externals = vec![f64::NAN; rules.externals().count()];
        Self { rules: rules.clone(), scores: vec![None; rules.models().len()], externals }
    }

    fn fill_scores(&mut self) {
        let Self { rules, scores, externals } = self;
        let names = rules.externals();
        for (model, score) in scores.iter().enumerate() {
            externals[names.score(model)] = score.map_or(f64::NAN, |(score, _)| f64::from(score));
            externals[names.tier(model)] = score.map_or(f64::NAN, |(_, tier)| f64::from(tier));
        }
    }
}

impl<'a> Running<'a> {
    pub(super) fn new(stage: &'a Stage, log: &'a EventLog) -> Self {
        let scan = |group: &'a Group| Scan::new(&group.scan, log, Period::before(0));
        Self { stage, log, scans: stage.groups.iter().map(scan).collect(), looked: None }
    }

    /// Moves a user's standings to an instant, and tells what changed.
    pub(super) fn step<S: UserScores + ?Sized>(
        &mut self,
        values: &mut Values,
        user: usize,
        now_us: i64,
        scores: &mut S,
        standings: &mut [Standing],
        on: &mut impl FnMut(Transition),
    ) -> Result<(), S::Error> {
        self.look(values, user, now_us, scores)?;
        let Self { stage, scans, .. } = self;
        let Values { rules, externals, .. } = values;
        let names: Externals = rules.externals();
        for step in &stage.steps {
            let (group, scan) = (&stage.groups[step.group], &scans[step.group]);
            if group.reads_clock {
                let (hour, weekday) = group.plan.wall_clock(now_us);
                externals[names.now(Clock::Hour)] = f64::from(hour);
                externals[names.now(Clock::Weekday)] = f64::from(weekday);
            }
            let before = standings[step.segment];
            let member = step.member(now_us, before, |program| scan.value(program, user, externals) == 1.0);
            externals[names.segment(step.segment)] = f64::from(u8::from(member));
            if member != before.member {
                let since_us = if member { now_us } else { 0 };
                standings[step.segment] = Standing { member, since_us };
                on(Transition { segment: step.segment, enter: member, time_us: now_us });
            }
        }
        Ok(())
    }

    /// Adds, for each segment that lasts, in order, whether its rule is true at an instant, and whether it or `stay` is.
    ///
    /// None of them reads another that lasts.
    pub(super) fn flags<S: UserScores + ?Sized>(
        &mut self,
        values: &mut Values,
        user: usize,
        now_us: i64,
        scores: &mut S,
        flags: &mut Vec<u8>,
    ) -> Result<(), S::Error> {
        self.look(values, user, now_us, scores)?;
        let Self { stage, scans, .. } = self;
        let Values { rules, externals, .. } = values;
        let names: Externals = rules.externals();
        for step in &stage.steps {
            let (group, scan) = (&stage.groups[step.group], &scans[step.group]);
            if group.reads_clock {
                let (hour, weekday) = group.plan.wall_clock(now_us);
                externals[names.now(Clock::Hour)] = f64::from(hour);
                externals[names.now(Clock::Weekday)] = f64::from(weekday);
            }
            let holds = |program: &Program| scan.value(program, user, externals) == 1.0;
            if step.lasts() {
                let raw = holds(&step.rule);
                let hold = raw || step.stay.as_ref().is_some_and(holds);
                flags.push(if raw { RAW | HOLD } else { u8::from(hold) * HOLD });
            } else {
                let member = step.member(now_us, Standing::OUT, holds);
                externals[names.segment(step.segment)] = f64::from(u8::from(member));
            }
        }
        Ok(())
    }

    /// Looks at a user's events and scores at an instant.
    fn look<S: UserScores + ?Sized>(
        &mut self,
        values: &mut Values,
        user: usize,
        now_us: i64,
        scores: &mut S,
    ) -> Result<(), S::Error> {
        for scan in &mut self.scans {
            scan.move_to(now_us);
            scan.gather(user);
        }
        self.looked = Some((user, now_us));
        if self.stage.reads_models {
            scores.scores(user, now_us, &self.stage.models, &mut values.scores)?;
            values.fill_scores();
        }
        Ok(())
    }

    /// The first instant after another at which anything may change with no new event.
    pub(super) fn next_change_us<S: UserScores + ?Sized>(
        &self,
        user: usize,
        after_us: i64,
        scores: &S,
        standings: &[Standing],
    ) -> i64 {
        let Self { stage, log, scans, .. } = self;
        let by_events_us = if self.has_looked(user, after_us) {
            stage.changes.next_us_by(scans, log, user, after_us)
        } else {
            stage.changes.next_us(log, user, after_us)
        };
        let by_scores = || scores.next_change_us(user, after_us, &stage.models);
        self.at_first(after_us, standings, by_events_us, by_scores)
    }

    /// An instant after another, and not after that of [`Self::next_change_us`], before which nothing changes.
    pub(super) fn not_before_us<S: UserScores + ?Sized>(
        &self,
        user: usize,
        after_us: i64,
        scores: &S,
        standings: &[Standing],
    ) -> i64 {
        let Self { stage, log, scans, .. } = self;
        if !self.has_looked(user, after_us) {
            return self.next_change_us(user, after_us, scores, standings);
        }
        let by_events_us = stage.changes.not_before_us_by(scans, log, user, after_us);
        let by_scores = || scores.not_before_us(user, after_us, &stage.models);
        self.at_first(after_us, standings, by_events_us, by_scores)
    }

    fn has_looked(&self, user: usize, after_us: i64) -> bool {
        self.looked == Some((user, after_us))
    }

    /// The first of all instants after another, if what is said of events and scores changes at these.
    fn at_first(
        &self,
        after_us: i64,
        standings: &[Standing],
        by_events_us: i64,
        by_scores: impl FnOnce() -> i64,
    ) -> i64 {
        let stage = self.stage;
        let mut next_us = by_events_us;
        let place = stage.validity_us.partition_point(|&instant_us| instant_us <= after_us);
        if let Some(&instant_us) = stage.validity_us.get(place) {
            next_us = next_us.min(instant_us);
        }
        for group in stage.groups.iter().filter(|group| group.reads_clock) {
            next_us = next_us.min(group.plan.next_hour_us(after_us));
        }
        for step in &stage.steps {
            let standing = standings[step.segment];
            if let (Some(min_stay_us), true) = (step.min_stay_us, standing.member) {
                let end_us = standing.since_us.saturating_add(min_stay_us);
                if end_us > after_us {
                    next_us = next_us.min(end_us);
                }
            }
        }
        if stage.reads_models {
            next_us = next_us.min(by_scores());
        }
        next_us
    }
}

impl Step {
    /// Whether who is in it depends on who was.
    pub(super) fn lasts(&self) -> bool {
        self.stay.is_some() || self.min_stay_us.is_some()
    }

    pub(super) fn is_valid(&self, now_us: i64) -> bool {
        let (from_us, until_us) = self.valid_us;
        from_us <= now_us && now_us < until_us
    }

    /// Whether a user is in the segment at an instant, who stood in it `before`.
    fn member(&self, now_us: i64, before: Standing, holds: impl Fn(&Program) -> bool) -> bool {
        if !self.is_valid(now_us) {
            return false;
        }
        if holds(&self.rule) {
            return true;
        }
        if !before.member {
            return false;
        }
        let must_stay =
            self.min_stay_us.is_some_and(|min_stay_us| now_us < before.since_us.saturating_add(min_stay_us));
        must_stay || self.stay.as_ref().is_some_and(&holds)
    }
}
