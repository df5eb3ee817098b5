//! Many users evaluated at once: their events are gathered for all rules and models together, tile by tile.

use std::collections::BTreeMap;

use propense_core::events::EventLog;
use propense_core::segments::{Evaluator, Score, Standing, Transition as Moved, UserScores};
use propense_store::Snapshot;
use rayon::prelude::*;

use super::rules::{BoundSet, Rules};
use super::standings::Standings;
use crate::serving::{JoinedScans, ServingError};

/// Users whose events are gathered together.
const TILE: usize = 128;

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
    /// alone. `first_us` is the first of these, if it is known.
    Step { first_us: i64 },
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
    /// The next instant at which time alone may change something.
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
    scores.fill(tasks.iter().map(|task| match task.way {
        Way::Step { first_us } => first_us,
        Way::Net | Way::Anew => at_us,
    }))?;
    let mut evaluator = Evaluator::new(&bound.rules, log);
    let segments = rules.set.len();
    let (words, mut now) = (standings.words(), vec![Standing::OUT; segments]);
    let mut tile = Tile::default();
    for (place, task) in tasks.iter().enumerate() {
        let (mut is_step, mut next_us) = (false, None);
        // Until a user has an event, nothing lasts: who is in a segment then depends on that instant alone.
        let from_us = standings.last_us[task.user as usize];
        let has_begun = log.time_us()[log.rows(place)].first().is_some_and(|&first_us| first_us < from_us);
        match task.way {
            Way::Net if !has_begun && !rules.lasting.is_empty() => {
                evaluator.settle(place, at_us, &mut scores, &mut now)?;
            }
            Way::Anew => evaluator.settle(place, at_us, &mut scores, &mut now)?,
            Way::Net if rules.lasting.is_empty() => evaluator.at(place, at_us, &mut scores, None, &mut now)?,
            Way::Net => {
                standings.fill(task.user, &mut now);
                evaluator.advance(place, from_us, at_us, &mut scores, &mut now, &mut |_| {})?;
                let before = now.clone();
                evaluator.at(place, at_us, &mut scores, Some(&before), &mut now)?;
            }
            Way::Step { .. } => {
                is_step = true;
                standings.fill(task.user, &mut now);
                let moved = &mut tile.moved;
                let on = &mut |step| moved.push(step);
                next_us = Some(evaluator.advance(place, from_us, at_us, &mut scores, &mut now, on)?);
            }
        }
        let next_us = next_us.unwrap_or_else(|| evaluator.next_change_us(place, at_us, &scores, &now));
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

/// The scores of a tile's users: at one instant each they are there, at others they are made when asked for.
pub(super) struct TileScores<'a> {
    scans: JoinedScans<'a>,
    /// The models that rules and tiers read together: all that there are.
    all: Vec<bool>,
    filled_at_us: Vec<i64>,
    /// When time alone may next change what all models say.
    filled_next_us: Vec<i64>,
    /// User by user, model by model.
    filled: Vec<Option<Score>>,
}

impl<'a> TileScores<'a> {
    pub(super) fn new(bound: &'a BoundSet, log: &'a EventLog, users: usize) -> Self {
        let all = vec![true; bound.rules.rules().models().len()];
        Self {
            scans: JoinedScans::new(&bound.models, log),
            filled_at_us: vec![i64::MIN; users],
            filled_next_us: vec![i64::MAX; users],
            filled: vec![None; users * all.len()],
            all,
        }
    }

    /// Scores each user at an instant; those of the same instant together.
    fn fill(&mut self, instants_us: impl Iterator<Item = i64>) -> Result<(), ServingError> {
        let Self { scans, all, filled_at_us, filled_next_us, filled } = self;
        let mut users_of: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (user, at_us) in instants_us.enumerate() {
            filled_at_us[user] = at_us;
            if at_us != i64::MIN {
                users_of.entry(at_us).or_default().push(user as u32);
            }
        }
        for (at_us, users) in users_of {
            let each = |user: u32, model, score| filled[user as usize * all.len() + model] = Some(score);
            scans.score(&users, at_us, |_| true, Some(filled_next_us), each)?;
        }
        Ok(())
    }
}

impl UserScores for TileScores<'_> {
    type Error = ServingError;

    fn scores(
        &mut self,
        user: usize,
        as_of_us: i64,
        read: &[bool],
        out: &mut [Option<Score>],
    ) -> Result<(), ServingError> {
        if self.filled_at_us[user] == as_of_us {
            out.copy_from_slice(&self.filled[user * self.all.len()..][..self.all.len()]);
            return Ok(());
        }
        out.fill(None);
        let each = |_, model, score| out[model] = Some(score);
        self.scans.score(&[user as u32], as_of_us, |model| read[model], None, each)
    }

    fn next_change_us(&self, user: usize, after_us: i64, read: &[bool]) -> i64 {
        if self.filled_at_us[user] == after_us && self.all == read {
            return self.filled_next_us[user];
        }
        self.scans.next_change_us(user, after_us, read)
    }
}
