//! Features and scores of many users, a tile at a time: events in, scores out, and nothing between leaves the cache.

mod explain;

use rayon::prelude::*;
use thiserror::Error;

pub use explain::{Explained, RowExplainer, explain_users};

use crate::events::EventLog;
use crate::features::{Block, FeatureError, Period, Plan, Progress, Scan, ScanPlan, share_out};

/// Something that turns rows of features into scores.
pub trait RowScorer: Sync {
    /// What it can fail with.
    type Error: std::error::Error + Send;

    /// How many features a row has.
    fn width(&self) -> usize;

    /// Which features it reads, one a feature; `None` is all. Only these are computed.
    fn reads(&self) -> Option<&[bool]>;

    /// How many rows it scores best at a time.
    fn tile_rows(&self) -> usize;

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
    if model.width() != plan.width() {
        return Err(ScoreError::Width { expected: model.width(), found: plan.width() });
    }
    score_ready(log, &ScanPlan::new(log, plan, model.reads()), period, users, model, progress)
}

/// [`score_users`] with a plan that is ready, for what the model reads, and fits the log.
///
/// # Errors
/// As [`score_users`].
pub fn score_ready<S: RowScorer>(
    log: &EventLog,
    ready: &ScanPlan,
    period: Period,
    users: &[u32],
    model: &S,
    progress: &Progress,
) -> Result<Vec<f32>, ScoreError<S::Error>> {
    let width = ready.width();
    if model.width() != width {
        return Err(ScoreError::Width { expected: model.width(), found: width });
    }
    let mut scores = vec![0.0; users.len()];
    let mut rest = scores.as_mut_slice();
    let mut parts: Vec<(Block, &mut [f32])> = (share_out(log, users).into_iter())
        .map(|block| {
            let part = rest.split_off_mut(..block.len()).unwrap_or_default();
            (block, part)
        })
        .collect();
    parts.sort_by_key(|(block, _)| std::cmp::Reverse(block.events));
    let tile_rows = model.tile_rows().clamp(1, users.len().max(1));
    let scratch = || (Scan::new(ready, log, period), vec![0.0; tile_rows * width]);
    let of_block = |(scan, tile): &mut (Scan, Vec<f32>), (block, scores): (Block, &mut [f32])| {
        let tiles = users[block.users.clone()].chunks(tile_rows).zip(scores.chunks_mut(tile_rows));
        for (users, scores) in tiles {
            for (row, &user) in tile.chunks_exact_mut(width).zip(users) {
                scan.write_row(user as usize, row);
            }
            model.score(&tile[..users.len() * width], scores).map_err(ScoreError::Model)?;
        }
        progress.advance(block.len()).map_err(ScoreError::from)
    };
    if parts.len() < 2 {
        // Waking other threads would take longer than a few users do.
        parts.into_iter().try_for_each(|part| of_block(&mut scratch(), part))?;
    } else {
        parts.into_par_iter().try_for_each_init(scratch, of_block)?;
    }
    Ok(scores)
}
