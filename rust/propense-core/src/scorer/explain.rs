//! Features and their contributions of many users, a block at a time.

use std::convert::Infallible;

use rayon::prelude::*;

use super::ScoreError;
use crate::events::EventLog;
use crate::features::{Block, Period, Plan, Progress, Scan, ScanPlan, share_out};

/// Users that are explained together: their features stay in cache.
const TILE_USERS: usize = 256;

/// Something that says what each feature contributed to a row's score.
pub trait RowExplainer: Sync {
    /// How many features a row has.
    fn width(&self) -> usize;

    /// The features that it reads, ascending; the others contribute nothing.
    fn reads(&self) -> &[u32];

    /// Contributions of the features of rows of `width` f32 each; `contributions` has as many places.
    fn explain(&self, rows: &[f32], contributions: &mut [f32]);
}

/// Features that a model reads, and what they contributed, user after user.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// One f32 a user and feature that is read; NaN is missing.
    pub values: Vec<f32>,
    /// What each of them contributed.
    pub contributions: Vec<f32>,
}

/// A thread's scan, and room for the rows of a tile and their contributions.
type Scratch<'s> = (Scan<'s>, Vec<f32>, Vec<f32>);

/// What the features of each user contributed, in the order of `users`; only features that the model reads.
///
/// # Errors
/// The model does not fit the plan, or `progress` was told to stop.
pub fn explain_users<E: RowExplainer>(
    log: &EventLog,
    plan: &Plan,
    period: Period,
    users: &[u32],
    model: &E,
    progress: &Progress,
) -> Result<Explained, ScoreError<Infallible>> {
    let (width, reads) = (model.width(), model.reads());
    if width != plan.width() {
        return Err(ScoreError::Width { expected: width, found: plan.width() });
    }
    let mut is_read = vec![false; width];
    for &feature in reads {
        is_read[feature as usize] = true;
    }
    let scan_plan = ScanPlan::new(log, plan, Some(&is_read));
    let mut values = vec![0.0; users.len() * reads.len()];
    let mut contributions = vec![0.0; users.len() * reads.len()];
    let (mut rest, mut rest_of_contributions) = (values.as_mut_slice(), contributions.as_mut_slice());
    let mut parts: Vec<(Block, &mut [f32], &mut [f32])> = (share_out(log, users).into_iter())
        .map(|block| {
            let taken = block.len() * reads.len();
            let values = rest.split_off_mut(..taken).unwrap_or_default();
            (block, values, rest_of_contributions.split_off_mut(..taken).unwrap_or_default())
        })
        .collect();
    parts.sort_by_key(|(block, ..)| std::cmp::Reverse(block.events));
    let tile = TILE_USERS.min(users.len().max(1)) * width;
    let scratch = || (Scan::new(&scan_plan, log, period), vec![0.0; tile], vec![0.0; tile]);
    let of_block = |(scan, rows, shares): &mut Scratch<'_>,
                    (block, values, contributions): (Block, &mut [f32], &mut [f32])| {
        let step = TILE_USERS * reads.len().max(1);
        let tiles = users[block.users.clone()]
            .chunks(TILE_USERS)
            .zip(values.chunks_mut(step))
            .zip(contributions.chunks_mut(step));
        for ((users, values), contributions) in tiles {
            for (row, &user) in rows.chunks_exact_mut(width).zip(users) {
                scan.write_row(user as usize, row);
            }
            let taken = users.len() * width;
            model.explain(&rows[..taken], &mut shares[..taken]);
            pick(&rows[..taken], width, reads, values);
            pick(&shares[..taken], width, reads, contributions);
        }
        progress.advance(block.len()).map_err(ScoreError::from)
    };
    if parts.len() < 2 {
        // Waking other threads would take longer than a few users do.
        parts.into_iter().try_for_each(|part| of_block(&mut scratch(), part))?;
    } else {
        parts.into_par_iter().try_for_each_init(scratch, of_block)?;
    }
    Ok(Explained { values, contributions })
}

/// Copies those columns of rows that are read.
fn pick(rows: &[f32], width: usize, reads: &[u32], picked: &mut [f32]) {
    for (row, picked) in rows.chunks_exact(width).zip(picked.chunks_exact_mut(reads.len().max(1))) {
        for (picked, &feature) in picked.iter_mut().zip(reads) {
            *picked = row[feature as usize];
        }
    }
}
