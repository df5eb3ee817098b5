//! Many users evaluated at once: their events are gathered for all rules and models together, tile by tile.

use propense_core::events::EventLog;
use propense_core::segments::{Evaluator, Score, Standing, Transition as Moved, UserScores};
use propense_store::Snapshot;
use rayon::prelude::*;

use super::rules::{BoundSet, Rules};
use super::standings::Standings;
use super::stepping::{Stepping, step_together};
use crate::serving::{JoinedScans, ServingError};

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
    scores.fill(&others)?;
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
    filled_at_us: Vec<Option<i64>>,
    /// User by user, model by model.
    filled: Vec<Option<Score>>,
    /// After this instant ...
    looked_us: Vec<Option<i64>>,
    /// ... time alone may change what all models say at this one next.
    next_us: Vec<i64>,
}

impl<'a> TileScores<'a> {
    pub(super) fn new(bound: &'a BoundSet, log: &'a EventLog, users: usize) -> Self {
        let all = vec![true; bound.rules.rules().models().len()];
        Self {
            scans: JoinedScans::new(&bound.models, log),
            filled_at_us: vec![None; users],
            filled: vec![None; users * all.len()],
            looked_us: vec![None; users],
            next_us: vec![i64::MAX; users],
            all,
        }
    }

    /// Scores each of some users at an instant.
    pub(super) fn fill(&mut self, users: &[(u32, i64)]) -> Result<(), ServingError> {
        self.begin(users);
        let Self { scans, all, filled_at_us, filled, next_us, .. } = self;
        for &(user, at_us) in users {
            filled_at_us[user as usize] = Some(at_us);
            filled[user as usize * all.len()..][..all.len()].fill(None);
        }
        let each = |user: u32, model, score| filled[user as usize * all.len() + model] = Some(score);
        scans.score(users, |_| true, Some(next_us), each)
    }

    /// Looks when what models say of some users may change after an instant.
    pub(super) fn look(&mut self, users: &[(u32, i64)]) {
        self.begin(users);
        self.scans.look(users, &mut self.next_us);
    }

    fn begin(&mut self, users: &[(u32, i64)]) {
        for &(user, after_us) in users {
            (self.looked_us[user as usize], self.next_us[user as usize]) = (Some(after_us), i64::MAX);
        }
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
        if self.filled_at_us[user] == Some(as_of_us) {
            out.copy_from_slice(&self.filled[user * self.all.len()..][..self.all.len()]);
            return Ok(());
        }
        out.fill(None);
        let each = |_, model, score| out[model] = Some(score);
        self.scans.score(&[(user as u32, as_of_us)], |model| read[model], None, each)
    }

    fn next_change_us(&self, user: usize, after_us: i64, read: &[bool]) -> i64 {
        if self.looked_us[user] == Some(after_us) && self.all == read {
            return self.next_us[user];
        }
        self.scans.next_change_us(user, after_us, read)
    }
}
