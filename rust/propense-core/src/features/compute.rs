//! A plan over many users in parallel.

use rayon::prelude::*;

use super::error::FeatureError;
use super::plan::{Period, Plan};
use super::progress::Progress;
use super::scan::{Scan, ScanPlan};
use super::share_out::{Block, share_out};
use crate::events::EventLog;
use crate::memory::zeros;

/// Users whose values are written to the columns of the matrix together: four cache lines a column.
const TILE: usize = 64;

/// The matrix of a plan, column by column: for each feature, one f32 a user in the order of `users`; NaN is missing.
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
    let mut matrix = zeros(users.len() * width);
    if users.is_empty() {
        return Ok(matrix);
    }
    let blocks = share_out(log, users);
    let mut columns: Vec<&mut [f32]> = matrix.chunks_mut(users.len()).collect();
    let mut parts = Vec::with_capacity(blocks.len());
    for block in &blocks {
        let part: Vec<&mut [f32]> =
            columns.iter_mut().map(|rest| rest.split_off_mut(..block.len()).unwrap_or_default()).collect();
        parts.push((block.clone(), part));
    }
    parts.sort_by_cached_key(|(block, _)| std::cmp::Reverse(block.events));
    let ready = ScanPlan::new(log, plan, None);
    let values = ready.values().max(1);
    parts.into_par_iter().try_for_each_init(
        || (Scan::new(&ready, log, period), vec![0.0; TILE * values]),
        |(scan, tile), (block, mut columns)| {
            for (first, users) in users[block.users.clone()].chunks(TILE).enumerate() {
                for (values, &user) in tile.chunks_exact_mut(values).zip(users) {
                    scan.write_values(user as usize, values);
                }
                for &(place, column) in ready.columns() {
                    let column = &mut columns[column as usize][first * TILE..][..users.len()];
                    let of_users = tile[place as usize..].iter().step_by(values);
                    column.iter_mut().zip(of_users).for_each(|(to, value)| *to = *value);
                }
            }
            progress.advance(block.len())
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
    members(log, &ScanPlan::new(log, plan, None), period, &users, progress)
}

/// Those of some users for whom every condition of a plan holds, in their order; the plan fits the log.
///
/// # Errors
/// [`FeatureError::Cancelled`] if `progress` was told to stop.
pub fn members(
    log: &EventLog,
    ready: &ScanPlan,
    period: Period,
    users: &[u32],
    progress: &Progress,
) -> Result<Vec<u32>, FeatureError> {
    let scratch = || (Scan::new(ready, log, period), vec![0.0; ready.width()]);
    let of_block = |(scan, row): &mut (Scan, Vec<f32>), block: &Block| {
        let holds = |user: &u32| {
            scan.write_row(*user as usize, row);
            row.iter().all(|&condition| condition == 1.0)
        };
        let members: Vec<u32> = users[block.users.clone()].iter().copied().filter(holds).collect();
        progress.advance(block.len()).map(|()| members)
    };
    let blocks = share_out(log, users);
    if let [block] = blocks.as_slice() {
        // Waking other threads would take longer than a few users do.
        return of_block(&mut scratch(), block);
    }
    let members: Vec<Vec<u32>> = blocks.par_iter().map_init(scratch, of_block).collect::<Result<_, _>>()?;
    Ok(members.concat())
}
