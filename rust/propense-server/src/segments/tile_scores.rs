//! What the models say of a tile's users, and until when.

use propense_core::events::EventLog;
use propense_core::segments::{Score, UserScores};

use super::rules::BoundSet;
use crate::serving::{JoinedScans, Next, ServingError};

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
    /// After the instant at which their scores are there it changes nothing before this one, if this is later at all.
    not_before_us: Vec<i64>,
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
            not_before_us: Vec::new(),
            all,
        }
    }

    /// Scores each of some users at an instant, from which they go on.
    pub(super) fn fill(&mut self, users: &[(u32, i64)]) -> Result<(), ServingError> {
        self.begin(users);
        let mut next_us = std::mem::take(&mut self.next_us);
        let scored = self.score(users, Next::Change(&mut next_us));
        self.next_us = next_us;
        scored
    }

    /// Scores each of some users at an instant, the last that is asked for.
    pub(super) fn fill_last(&mut self, users: &[(u32, i64)]) -> Result<(), ServingError> {
        let mut not_before_us = vec![i64::MIN; self.next_us.len()];
        for &(user, _) in users {
            not_before_us[user as usize] = i64::MAX;
        }
        let scored = self.score(users, Next::NotBefore(&mut not_before_us));
        self.not_before_us = not_before_us;
        scored
    }

    fn score(&mut self, users: &[(u32, i64)], next: Next<'_>) -> Result<(), ServingError> {
        let Self { scans, all, filled_at_us, filled, .. } = self;
        for &(user, at_us) in users {
            filled_at_us[user as usize] = Some(at_us);
            filled[user as usize * all.len()..][..all.len()].fill(None);
        }
        let each = |user: u32, model, score| filled[user as usize * all.len() + model] = Some(score);
        scans.score(users, |_| true, next, each)
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
        self.scans.score(&[(user as u32, as_of_us)], |model| read[model], Next::Unasked, each)
    }

    fn next_change_us(&self, user: usize, after_us: i64, read: &[bool]) -> i64 {
        if self.looked_us[user] == Some(after_us) && self.all == read {
            return self.next_us[user];
        }
        self.scans.next_change_us(user, after_us, read)
    }

    fn not_before_us(&self, user: usize, after_us: i64, read: &[bool]) -> i64 {
        match self.not_before_us.get(user) {
            Some(&not_before_us)
                if self.filled_at_us[user] == Some(after_us) && self.all == read && not_before_us > after_us =>
            {
                not_before_us
            }
            _ => self.next_change_us(user, after_us, read),
        }
    }
}
