//! A plan over many users in parallel.

use rayon::prelude::*;

use super::error::FeatureError;
use super::plan::{Period, Plan};
use super::progress::Progress;
use super::scan::Scan;
use crate::events::EventLog;

/// Users a thread takes at a time.
const BLOCK: usize = 1_024;

/// The matrix of a plan: one row a user, in the order of `users`, one f32 a feature; NaN is missing.
///
/// Only events inside `period` are looked at.
///
/// # Errors
/// [`FeatureError::Cancelled`] if `progress` was told to stop.
pub fn compute(
    log: &EventLog,
    plan: &Plan,
    period: Period,
    users: &[u32],
    progress: &Progress,
) -> Result<Vec<f32>, FeatureError> {
    let width = plan.width();
    let mut matrix = vec![0.0; users.len() * width];
    matrix.par_chunks_mut(BLOCK * width).zip(users.par_chunks(BLOCK)).try_for_each_init(
        || Scan::new(log, plan, period),
        |scan, (rows, users)| {
            for (row, &user) in rows.chunks_exact_mut(width).zip(users) {
                scan.write_row(user as usize, row);
            }
            progress.advance(users.len())
        },
    )?;
    Ok(matrix)
}

/// The users for whom every condition of a plan holds (is true, and neither false nor missing), ascending.
///
/// # Errors
/// [`FeatureError::Cancelled`] if `progress` was told to stop.
pub fn audience(log: &EventLog, plan: &Plan, period: Period, progress: &Progress) -> Result<Vec<u32>, FeatureError> {
    let users: Vec<u32> = (0..log.users().len() as u32).collect();
    let blocks: Vec<Vec<u32>> = users
        .par_chunks(BLOCK)
        .map_init(
            || (Scan::new(log, plan, period), vec![0.0; plan.width()]),
            |(scan, row), users| {
                let holds = |user: &u32| {
                    scan.write_row(*user as usize, row);
                    row.iter().all(|&condition| condition == 1.0)
                };
                let members = users.iter().copied().filter(holds).collect();
                progress.advance(users.len()).map(|()| members)
            },
        )
        .collect::<Result<_, _>>()?;
    Ok(blocks.concat())
}
