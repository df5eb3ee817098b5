//! Where a user stands at an instant in segments with a `stay` or a shortest stay, from as little of the past as decides.
//!
//! Of such a segment two things hold at an instant: whether its rule is true, which brings a user in, and whether rule
//! or `stay` is, which keeps one in. Who was in it before does not matter where, `m` being the shortest stay,
//!
//! * neither is true and the rule was at no instant in `(c − m, c]`: whoever came in stayed long enough, and is out;
//! * the rule was true at some instant up to `c − m`, and one of the two ever since: the user is in, and came in at
//!   that instant or before, so that the shortest stay is over;
//! * the segment is not valid: the user is out.
//!
//! The newest such instant is looked for in the last `m`, then in twice that, and so on back to the first event; from
//! there on the instants are stepped through as in a replay.

use super::bound::Step;
use super::running::{Running, Values};
use super::standing::{Standing, UserScores};
use crate::features::RECHECK_US;

/// The shortest time that is looked back over at once, microseconds.
const LEAST_SPAN_US: i64 = 21_600_000_000;

/// The rule is true.
pub(super) const RAW: u8 = 1;
/// The rule or the `stay` is true.
pub(super) const HOLD: u8 = 2;

/// What was found of a user; kept from one user to the next for its memory alone.
#[derive(Default)]
pub(super) struct Past {
    /// Instants that were looked at, ascending.
    instants_us: Vec<i64>,
    /// For each instant, the flags of each lasting segment.
    flags: Vec<u8>,
    /// For each lasting segment, the newest instant at which it is known where the user stood.
    decided: Vec<Option<(i64, Standing)>>,
}

impl Past {
    /// Leaves in `standings`, which are all out, where a user stands just before or at an instant that is after the
    /// user's first event.
    pub(super) fn settle<S: UserScores + ?Sized>(
        &mut self,
        running: &mut Running<'_>,
        values: &mut Values,
        user: usize,
        (first_us, as_of_us): (i64, i64),
        scores: &mut S,
        standings: &mut [Standing],
    ) -> Result<(), S::Error> {
        let stage = running.stage;
        let lasting: Vec<&Step> = stage.steps.iter().filter(|step| step.lasts()).collect();
        self.instants_us.clear();
        self.flags.clear();
        self.decided.clear();
        self.decided.resize(lasting.len(), None);
        running.flags(values, user, as_of_us, scores, &mut self.flags)?;
        self.instants_us.push(as_of_us);
        let (mut from_us, mut span_us) = (as_of_us, 0_i64);
        loop {
            for (place, step) in lasting.iter().enumerate() {
                if self.decided[place].is_none() {
                    self.decided[place] = self.newest_decision(place, lasting.len(), step, from_us);
                }
            }
            let undecided = || lasting.iter().zip(&self.decided).filter(|(_, decided)| decided.is_none());
            if undecided().next().is_none() {
                break;
            }
            if from_us == first_us {
                // Before the first event nobody is in.
                for ((step, decided), flags) in lasting.iter().zip(&mut self.decided).zip(&self.flags) {
                    let member = step.is_valid(first_us) && flags & RAW != 0;
                    let standing = if member { Standing { member, since_us: first_us } } else { Standing::OUT };
                    decided.get_or_insert((first_us, standing));
                }
                break;
            }
            let longest_us = undecided().filter_map(|(step, _)| step.min_stay_us).max().unwrap_or(0);
            span_us = span_us.saturating_mul(2).max(longest_us).max(LEAST_SPAN_US);
            // A multiple of the rechecks, so that what cannot be solved is looked at where a replay does.
            let earlier_us = as_of_us.saturating_sub(span_us).div_euclid(RECHECK_US).saturating_mul(RECHECK_US);
            // A user's first event may be further back than any length of time.
            let earlier_us = if span_us == i64::MAX { first_us } else { earlier_us.clamp(first_us, from_us) };
            self.look(running, values, user, (earlier_us, from_us), scores, standings)?;
            from_us = earlier_us;
        }
        self.step_on(&lasting, running, values, user, as_of_us, scores, standings)
    }

    /// Adds the flags from one instant up to another, which is the first that there was.
    fn look<S: UserScores + ?Sized>(
        &mut self,
        running: &mut Running<'_>,
        values: &mut Values,
        user: usize,
        (from_us, to_us): (i64, i64),
        scores: &mut S,
        standings: &[Standing],
    ) -> Result<(), S::Error> {
        let (mut instants_us, mut flags) = (Vec::new(), Vec::new());
        let mut now_us = from_us;
        while now_us < to_us {
            running.flags(values, user, now_us, scores, &mut flags)?;
            instants_us.push(now_us);
            now_us = running.next_change_us(user, now_us, scores, standings);
        }
        self.instants_us.splice(0..0, instants_us);
        self.flags.splice(0..0, flags);
        Ok(())
    }

    /// The newest instant at which it is known where the user stood in a segment, whatever was before `from_us`.
    fn newest_decision(&self, place: usize, count: usize, step: &Step, from_us: i64) -> Option<(i64, Standing)> {
        let min_stay_us = step.min_stay_us.unwrap_or(0);
        let (mut newest, mut last_raw_us, mut first_raw_us) = (None, None, None);
        for (at, &now_us) in self.instants_us.iter().enumerate() {
            let flags = self.flags[at * count + place];
            if !step.is_valid(now_us) {
                (newest, last_raw_us, first_raw_us) = (Some((now_us, Standing::OUT)), None, None);
                continue;
            }
            if flags & RAW != 0 {
                last_raw_us = Some(now_us);
                first_raw_us = first_raw_us.or(Some(now_us));
            }
            let over_us = now_us.saturating_sub(min_stay_us);
            if flags & HOLD == 0 {
                first_raw_us = None;
                if over_us >= from_us && last_raw_us.is_none_or(|raw_us| raw_us <= over_us) {
                    newest = Some((now_us, Standing::OUT));
                }
            } else if let Some(since_us) = first_raw_us.filter(|&raw_us| raw_us <= over_us) {
                newest = Some((now_us, Standing { member: true, since_us }));
            }
        }
        newest
    }

    /// Steps from what is known of each segment to an instant.
    #[allow(clippy::too_many_arguments)]
    fn step_on<S: UserScores + ?Sized>(
        &self,
        lasting: &[&Step],
        running: &mut Running<'_>,
        values: &mut Values,
        user: usize,
        as_of_us: i64,
        scores: &mut S,
        standings: &mut [Standing],
    ) -> Result<(), S::Error> {
        let known = || lasting.iter().zip(&self.decided).filter_map(|(step, decided)| decided.map(|at| (step, at)));
        let Some(mut now_us) = known().map(|(_, (at_us, _))| at_us).min() else { return Ok(()) };
        loop {
            for (step, (_, standing)) in known().filter(|(_, (at_us, _))| *at_us == now_us) {
                standings[step.segment] = standing;
            }
            if now_us == as_of_us {
                return Ok(());
            }
            // Segments whose place is known later only are stepped too, and set right when that is reached.
            let later = known().map(|(_, (at_us, _))| at_us).filter(|&at_us| at_us > now_us).min().unwrap_or(as_of_us);
            now_us = running.next_change_us(user, now_us, scores, standings).min(later).min(as_of_us);
            running.step(values, user, now_us, scores, standings, &mut |_| {})?;
        }
    }
}
