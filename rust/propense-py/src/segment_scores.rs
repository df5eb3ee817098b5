//! The scores that rules read: of all users at one instant, and of one user at any.

use std::sync::Arc;

use propense_core::events::EventLog as CoreLog;
use propense_core::features::{Changes, Distinguished, Period, Plan, Progress, Scan, ScanPlan, members};
use propense_core::scorer::{RowScorer, ScoreError, score_ready};
use propense_core::segments::{Score, UserScores};
use propense_onnx::OnnxModel as Session;

use crate::error::CoreError;

const LEAST: u8 = 0;
const MODERATELY: u8 = 1;
const MOST: u8 = 2;

/// A model ready to score users of one log.
pub(crate) struct SegmentModel<'a> {
    session: &'a Session,
    features: ScanPlan,
    audience: ScanPlan,
    changes: [Changes; 2],
    /// From the first on users are most likely, below the second least likely.
    cuts: (f32, f32),
}

impl<'a> SegmentModel<'a> {
    pub(crate) fn new(log: &CoreLog, features: &Plan, audience: &Plan, session: &'a Session, cuts: (f32, f32)) -> Self {
        let thresholds = session.thresholds();
        let distinguished = |output| Distinguished::by_model(session.reads(), thresholds.as_deref(), output);
        Self {
            session,
            features: ScanPlan::new(log, features, session.reads()),
            audience: ScanPlan::new(log, audience, None),
            changes: [
                Changes::new(log, features, distinguished),
                Changes::new(log, audience, |_| Distinguished::Everything),
            ],
            cuts,
        }
    }

    fn tier(&self, score: f32) -> u8 {
        let (most, least) = self.cuts;
        if score >= most {
            MOST
        } else if score < least {
            LEAST
        } else {
            MODERATELY
        }
    }

    /// A user's score at an instant; `None` outside the audience.
    fn score(&self, log: &CoreLog, user: usize, as_of_us: i64) -> Result<Option<Score>, CoreError> {
        let period = Period::before(as_of_us);
        let mut conditions = vec![0.0; self.audience.width()];
        Scan::new(&self.audience, log, period).write_row(user, &mut conditions);
        if conditions.iter().any(|&condition| condition != 1.0) {
            return Ok(None);
        }
        let mut row = vec![f32::NAN; self.features.width()];
        Scan::new(&self.features, log, period).write_row(user, &mut row);
        let mut score = [0.0];
        self.session.score(&row, &mut score).map_err(ScoreError::Model)?;
        Ok(Some((score[0], self.tier(score[0]))))
    }
}

/// The scores of users by some models; cheap to clone.
#[derive(Clone)]
pub(crate) struct ModelScores<'a> {
    log: &'a CoreLog,
    models: &'a [SegmentModel<'a>],
    /// The instant for which all scores are known.
    as_of_us: i64,
    /// A column a model, with a place for each user of the log.
    known: Arc<Vec<Vec<Option<Score>>>>,
}

impl<'a> ModelScores<'a> {
    /// Scores all of some users at an instant, a tile at a time.
    pub(crate) fn at(
        log: &'a CoreLog,
        models: &'a [SegmentModel<'a>],
        users: &[u32],
        as_of_us: i64,
    ) -> Result<Self, CoreError> {
        let (period, progress) = (Period::before(as_of_us), Progress::default());
        let of_model = |model: &SegmentModel<'_>| -> Result<_, CoreError> {
            let audience = members(log, &model.audience, period, users, &progress)?;
            let scores = score_ready(log, &model.features, period, &audience, model.session, &progress)?;
            let mut column = vec![None; log.users().len()];
            for (&user, score) in audience.iter().zip(scores) {
                column[user as usize] = Some((score, model.tier(score)));
            }
            Ok(column)
        };
        let known = models.iter().map(of_model).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { log, models, as_of_us, known: known.into() })
    }
}

impl UserScores for ModelScores<'_> {
    type Error = CoreError;

    fn scores(
        &mut self,
        user: usize,
        as_of_us: i64,
        read: &[bool],
        out: &mut [Option<Score>],
    ) -> Result<(), CoreError> {
        for (place, model) in self.models.iter().enumerate().filter(|(place, _)| read[*place]) {
            out[place] = if as_of_us == self.as_of_us {
                self.known[place][user]
            } else {
                model.score(self.log, user, as_of_us)?
            };
        }
        Ok(())
    }

    fn next_change_us(&self, user: usize, after_us: i64, read: &[bool]) -> i64 {
        let models = self.models.iter().zip(read).filter(|(_, read)| **read);
        let changes = models.flat_map(|(model, _)| &model.changes);
        changes.map(|changes| changes.next_us(self.log, user, after_us)).min().unwrap_or(i64::MAX)
    }
}
