//! Many users evaluated at once: their events are gathered for all rules and models together, tile by tile.

use propense_core::segments::{Evaluator, Standing, Transition as Moved};
use propense_store::Snapshot;
use rayon::prelude::*;

use super::rules::Rules;
use super::standings::Standings;
use super::stepping::{Stepping, step_together};
use super::tile_scores::TileScores;
use crate::serving::ServingError;

/// Users whose events are gathered together.
pub(super) const TILE: usize = 128;

/// A user to be evaluated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task<'a> {
    pub(super) id: &'a str,
    pub(super) user: u32,
    pub(super) way: Way,
    /// Whether nobody knew the user before, so that a pass is not why they enter.
    pub(super) is_new: bool,
}

/// How to come to where a user stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From where the user stood when last evaluated, over every instant since at which anything may have changed by time
    /// alone.
    Step,
    /// Whatever happened in between; the events that are new are not earlier than the last evaluation.
    Net,
    /// Whatever happened in between, from the user's first event on where it matters.
    Anew,
}

/// Where some users stand now, and how they came there.
#[derive(Debug, Default)]
pub(super) struct Tile {
    pub(super) rows: Vec<Row>,
    /// A user's words, one user after the other.
    pub(super) bits: Vec<u64>,
    /// A user's instants of the lasting segments, likewise.
    pub(super) since_us: Vec<i64>,
    /// Of `Step` only.
    pub(super) moved: Vec<Moved>,
}

/// One user of a tile.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) user: u32,
    /// An instant before which time alone changes nothing; most often the next one at which it may change something.
    pub(super) next_us: i64,
    /// Whether what moved is in the tile's list: the part before this end, from the last row's end on.
    pub(super) moved_end: usize,
    pub(super) is_step: bool,
    pub(super) is_new: bool,
}

/// Users who could not be evaluated, and why.
pub(super) type Failed = (Vec<u32>, ServingError);

/// Evaluates users, who ascend, at an instant. Of a tile that fails, its users and the reason.
pub(super) fn evaluate(
    view: &Snapshot,
    rules: &Rules,
    standings: &Standings,
    tasks: &[Task<'_>],
    at_us: i64,
) -> Vec<Result<Tile, Box<Failed>>> {
    let one = |tasks: &[Task<'_>]| {
        let users = || tasks.iter().map(|task| task.user).collect();
        evaluate_tile(view, rules, standings, tasks, at_us).map_err(|error| Box::new((users(), error)))
    };
    if tasks.len() <= TILE / 4 {
        // Waking other threads would take longer.
        return tasks.chunks(TILE).map(one).collect();
    }
    let tile = tasks.len().div_ceil(rayon::current_num_threads().max(1)).clamp(16, TILE);
    tasks.par_chunks(tile).map(one).collect()
}

fn evaluate_tile(
    view: &Snapshot,
    rules: &Rules,
    standings: &Standings,
    tasks: &[Task<'_>],
    at_us: i64,
) -> Result<Tile, ServingError> {
    let ids: Vec<&str> = tasks.iter().map(|task| task.id).collect();
    let gathered = view.gather(&ids)?;
    let bound = rules.bound_to(view, &gathered)?;
    let log = &gathered.log;
    let mut scores = TileScores::new(&bound, log, tasks.len());
    let mut evaluator = Evaluator::new(&bound.rules, log);
    let segments = rules.set.len();
    // Until a user has an event, nothing lasts: who is in a segment then depends on that instant alone.
    let has_begun =
        |place: usize, from_us: i64| log.time_us()[log.rows(place)].first().is_some_and(|&first_us| first_us < from_us);
    let mut stepping = Vec::new();
    for (place, task) in tasks.iter().enumerate() {
        let from_us = standings.last_us[task.user as usize];
        let lasts = || !rules.lasting.is_empty() && has_begun(place, from_us);
        if task.way == Way::Step || (task.way == Way::Net && lasts()) {
            let mut now = vec![Standing::OUT; segments];
            standings.fill(task.user, &mut now);
            stepping.push(Stepping::new(place, from_us, now));
        }
    }
    step_together(&mut evaluator, &mut scores, &mut stepping, at_us)?;
    let is_not_there = |(_, task): &(usize, &Task<'_>)| task.way != Way::Step;
    let others: Vec<(u32, i64)> =
        tasks.iter().enumerate().filter(is_not_there).map(|(place, _)| (place as u32, at_us)).collect();
    scores.fill_last(&others)?;
    let (words, mut now) = (standings.words(), vec![Standing::OUT; segments]);
    let mut tile = Tile::default();
    let mut stepped = stepping.into_iter().peekable();
    for (place, task) in tasks.iter().enumerate() {
        let stepped = stepped.next_if(|stepped| stepped.place == place);
        let (mut is_step, mut next_us) = (false, None);
        match (task.way, stepped) {
            (Way::Step, Some(stepped)) => {
                (is_step, next_us) = (true, Some(stepped.next_us));
                now.copy_from_slice(&stepped.now);
                tile.moved.extend(stepped.moved);
            }
            (Way::Net, Some(stepped)) => evaluator.at(place, at_us, &mut scores, Some(&stepped.now), &mut now)?,
            (Way::Net, None) if rules.lasting.is_empty() => evaluator.at(place, at_us, &mut scores, None, &mut now)?,
            _ => evaluator.settle(place, at_us, &mut scores, &mut now)?,
        }
        let next_us = next_us.unwrap_or_else(|| evaluator.not_before_us(place, at_us, &scores, &now));
        let first = tile.bits.len();
        tile.bits.resize(first + words, 0);
        for (segment, standing) in now.iter().enumerate() {
            tile.bits[first + segment / 64] |= u64::from(standing.member) << (segment % 64);
        }
        tile.since_us.extend(rules.lasting.iter().map(|&segment| now[segment].since_us));
        tile.rows.push(Row { user: task.user, next_us, moved_end: tile.moved.len(), is_step, is_new: task.is_new });
    }
    Ok(tile)
}
