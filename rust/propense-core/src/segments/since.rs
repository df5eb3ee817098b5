//! Since when a user has been in segments, from as little of the past as tells.
//!
//! Whoever is in a segment came into it last at some instant. It is looked for in the newest hours, then in twice as
//! many before these, and so on back to the first event. Where the user stood at the beginning of each stretch is
//! [settled](Evaluator::settle), and from there on the instants at which anything may change are stepped through.

use super::evaluator::Evaluator;
use super::standing::{Standing, UserScores};
use crate::features::RECHECK_US;

/// The stretch that is looked at first, microseconds.
const FIRST_SPAN_US: i64 = 21_600_000_000;

impl Evaluator<'_> {
    /// Since when a user has been in segments at an instant, in their order, as [`Evaluator::replay`] has it; `None` for
    /// those that the user is not in.
    ///
    /// Where something cannot be solved ([`BoundRules::rechecks`](super::BoundRules::rechecks)) and some segment has a
    /// `min_stay`, it may be a minute off: what cannot be solved is then looked at at other instants than in a replay.
    ///
    /// # Errors
    /// The scores' own.
    pub fn since<S: UserScores + ?Sized>(
        &mut self,
        user: usize,
        as_of_us: i64,
        scores: &mut S,
        segments: &[usize],
    ) -> Result<Vec<Option<i64>>, S::Error> {
        let mut standings = vec![Standing::OUT; self.rules().len()];
        self.settle(user, as_of_us, scores, &mut standings)?;
        let mut sought: Vec<usize> = segments.iter().copied().filter(|&segment| standings[segment].member).collect();
        let mut since_us: Vec<Option<i64>> = vec![None; standings.len()];
        let first_us = self.first_us(user).map_or(as_of_us, |first_us| first_us.min(as_of_us));
        let (mut to_us, mut span_us) = (as_of_us, FIRST_SPAN_US);
        while !sought.is_empty() {
            // A multiple of the rechecks, so that what cannot be solved is looked at where a replay does.
            let from_us = as_of_us.saturating_sub(span_us).div_euclid(RECHECK_US).saturating_mul(RECHECK_US);
            // A user's first event may be further back than any length of time.
            let from_us = if span_us == i64::MAX { first_us } else { from_us.clamp(first_us, to_us) };
            let mut entered_us: Vec<Option<i64>> = vec![None; standings.len()];
            if from_us == first_us {
                self.at(user, first_us, scores, None, &mut standings)?;
                let entered = entered_us.iter_mut().zip(&standings).filter(|(_, now)| now.member);
                entered.for_each(|(entered_us, _)| *entered_us = Some(first_us));
            } else {
                self.settle(user, from_us, scores, &mut standings)?;
            }
            self.advance(user, from_us, to_us, scores, &mut standings, &mut |moved| {
                if moved.enter {
                    entered_us[moved.segment] = Some(moved.time_us);
                }
            })?;
            if to_us == as_of_us {
                let before = standings.clone();
                self.at(user, as_of_us, scores, Some(&before), &mut standings)?;
                for (entered_us, (now, before)) in entered_us.iter_mut().zip(standings.iter().zip(&before)) {
                    if now.member && !before.member {
                        *entered_us = Some(as_of_us);
                    }
                }
            }
            // Who did not come in in this stretch was in before it.
            sought.retain(|&segment| {
                since_us[segment] = entered_us[segment];
                entered_us[segment].is_none() && from_us > first_us
            });
            (to_us, span_us) = (from_us, span_us.saturating_mul(2));
        }
        Ok(segments.iter().map(|&segment| since_us[segment]).collect())
    }
}
