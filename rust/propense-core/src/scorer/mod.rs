//! Features and scores of many users, block by block, so that memory does not grow with the audience.

use rayon::prelude::*;
use thiserror::Error;

use crate::events::EventLog;
use crate::features::{FeatureError, Period, Plan, Progress, Scan};

/// Users whose features are in memory at a time, on each thread.
const BLOCK: usize = 1_024;

/// Something that turns rows of features into scores.
pub trait RowScorer: Sync {
    /// What it can fail with.
    type Error: std::error::Error + Send;

    /// How many features a row has.
    fn width(&self) -> usize;

    /// Scores rows of `width` f32 each; `scores` has one place a row.
    ///
    /// # Errors
    /// Whatever running the model can fail with.
    fn score(&self, rows: &[f32], scores: &mut [f32]) -> Result<(), Self::Error>;
}

/// Why an audience was not scored.
#[derive(Debug, Error)]
pub enum ScoreError<E: std::error::Error> {
    /// The features could not be computed.
    #[error(transparent)]
    Features(#[from] FeatureError),
    /// The model could not be run.
    #[error("{0}")]
    Model(E),
    /// The model was made for another number of features.
    #[error("the model takes {expected} features but the plan or matrix has {found}")]
    Width {
        /// What the model takes.
        expected: usize,
        /// What the plan or matrix has.
        found: usize,
    },
}

/// The score of each user, in the order of `users`.
///
/// # Errors
/// The model does not fit the plan, fails on a row, or `progress` was told to stop.
pub fn score_users<S: RowScorer>(
    log: &EventLog,
    plan: &Plan,
    period: Period,
    users: &[u32],
    model: &S,
    progress: &Progress,
) -> Result<Vec<f32>, ScoreError<S::Error>> {
    let width = plan.width();
    if model.width() != width {
        return Err(ScoreError::Width { expected: model.width(), found: width });
    }
    let mut scores = vec![0.0; users.len()];
    scores.par_chunks_mut(BLOCK).zip(users.par_chunks(BLOCK)).try_for_each_init(
        || (Scan::new(log, plan, period), vec![0.0; BLOCK * width]),
        |(scan, rows), (scores, users)| {
            for (row, &user) in rows.chunks_exact_mut(width).zip(users) {
                scan.write_row(user as usize, row);
            }
            model.score(&rows[..users.len() * width], scores).map_err(ScoreError::Model)?;
            progress.advance(users.len()).map_err(ScoreError::from)
        },
    )?;
    Ok(scores)
}
