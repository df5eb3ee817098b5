//! Where every user stands: one bit a segment, and little more.

use std::collections::HashMap;
use std::sync::Arc;

use propense_core::segments::Standing;

use super::timers::Timers;
use super::user_table::UserTable;

/// The epoch of users who were not evaluated since the server started: where they stood then is known, and what time alone
/// changes follows from it.
pub(super) const NEVER_EVALUATED: u32 = 0;
/// The epoch of users who could not be evaluated: what befell them is still to be told from their events.
pub(super) const FAILED: u32 = u32::MAX;

/// All users by number, and all segments by number.
pub(super) struct Standings {
    pub(super) users: UserTable,
    /// The segments' names.
    names: Vec<Arc<str>>,
    /// The segments that depend on who was in them, ascending.
    lasting: Vec<usize>,
    /// Words of 64 segments a user.
    words: usize,
    bits: Vec<u64>,
    /// Since when each user is in each lasting segment; 0 if not.
    since_us: Vec<i64>,
    /// The instant at which each user was evaluated.
    pub(super) last_us: Vec<i64>,
    /// The evaluation of everybody that each user was last part of, or evaluated since.
    pub(super) epoch: Vec<u32>,
    pub(super) timers: Timers,
    /// Members of each segment.
    counts: Vec<u64>,
    /// What new users are taken to have been evaluated at.
    pub(super) base_us: i64,
}

impl Standings {
    pub(super) fn new() -> Self {
        Self {
            users: UserTable::default(),
            names: Vec::new(),
            lasting: Vec::new(),
            words: 0,
            bits: Vec::new(),
            since_us: Vec::new(),
            last_us: Vec::new(),
            epoch: Vec::new(),
            timers: Timers::new(),
            counts: Vec::new(),
            base_us: i64::MIN,
        }
    }

    pub(super) fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    pub(super) fn lasting(&self) -> &[usize] {
        &self.lasting
    }

    pub(super) fn words(&self) -> usize {
        self.words
    }

    pub(super) fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Whether a user was evaluated since the server started, and nothing that befell them since is left out.
    pub(super) fn is_known(&self, user: u32) -> bool {
        !matches!(self.epoch[user as usize], NEVER_EVALUATED | FAILED)
    }

    /// The number of a user, who is in no segment if new.
    pub(super) fn add(&mut self, id: &str) -> u32 {
        let user = self.users.insert(id);
        let users = self.users.len();
        if users > self.last_us.len() {
            self.bits.resize(users * self.words, 0);
            self.since_us.resize(users * self.lasting.len(), 0);
            self.last_us.resize(users, self.base_us);
            self.epoch.resize(users, NEVER_EVALUATED);
            self.timers.grow(users);
        }
        user
    }

    pub(super) fn bits_of(&self, user: u32) -> &[u64] {
        &self.bits[user as usize * self.words..][..self.words]
    }

    pub(super) fn since_of(&self, user: u32) -> &[i64] {
        let lasting = self.lasting.len();
        &self.since_us[user as usize * lasting..][..lasting]
    }

    pub(super) fn is_member(&self, user: u32, segment: usize) -> bool {
        has(self.bits_of(user), segment)
    }

    /// A user's standings as evaluations take them.
    pub(super) fn fill(&self, user: u32, out: &mut [Standing]) {
        let bits = self.bits_of(user);
        for (segment, standing) in out.iter_mut().enumerate() {
            *standing = Standing { member: has(bits, segment), since_us: 0 };
        }
        for (&segment, &since_us) in self.lasting.iter().zip(self.since_of(user)) {
            out[segment].since_us = since_us;
        }
    }

    /// Sets all of a user's standings.
    pub(super) fn set(&mut self, user: u32, bits: &[u64], since_us: &[i64]) {
        let (words, lasting) = (self.words, self.lasting.len());
        let known = &mut self.bits[user as usize * words..][..words];
        for (word, (known, &new)) in known.iter_mut().zip(bits).enumerate() {
            let mut changed = *known ^ new;
            while changed != 0 {
                let bit = changed.trailing_zeros();
                let count = &mut self.counts[word * 64 + bit as usize];
                if new >> bit & 1 == 1 {
                    *count += 1;
                } else {
                    *count -= 1;
                }
                changed &= changed - 1;
            }
            *known = new;
        }
        self.since_us[user as usize * lasting..][..lasting].copy_from_slice(since_us);
    }

    /// Sets one bit; for a fold over notes.
    pub(super) fn set_member(&mut self, user: u32, segment: usize, member: bool) {
        let word = &mut self.bits[user as usize * self.words + segment / 64];
        let bit = 1 << (segment % 64);
        match (*word & bit != 0, member) {
            (false, true) => self.counts[segment] += 1,
            (true, false) => self.counts[segment] -= 1,
            _ => return,
        }
        *word ^= bit;
    }

    /// Sets since when a user is in a lasting segment; for a fold over notes.
    pub(super) fn set_since(&mut self, user: u32, segment: usize, since_us: i64) {
        if let Ok(place) = self.lasting.binary_search(&segment) {
            self.since_us[user as usize * self.lasting.len() + place] = since_us;
        }
    }

    /// Forgets a user: in no segment, no timer, no id.
    pub(super) fn forget(&mut self, user: u32) {
        let (bits, since_us) = (vec![0; self.words], vec![0; self.lasting.len()]);
        self.set(user, &bits, &since_us);
        self.timers.set(user, super::timers::NEVER);
        self.epoch[user as usize] = NEVER_EVALUATED;
        self.users.forget(user);
    }

    /// Goes over to other segments: those whose names stay keep their members, new ones have none.
    pub(super) fn relayout(&mut self, names: &[Arc<str>], lasting: &[usize]) {
        let before: HashMap<&str, usize> =
            self.names.iter().enumerate().map(|(segment, name)| (name.as_ref(), segment)).collect();
        let from: Vec<Option<usize>> = names.iter().map(|name| before.get(name.as_ref()).copied()).collect();
        let since_from: Vec<Option<usize>> = (lasting.iter())
            .map(|&segment| from[segment].and_then(|before| self.lasting.binary_search(&before).ok()))
            .collect();
        let words = names.len().div_ceil(64);
        let users = self.users.len();
        let (mut bits, mut since_us) = (vec![0; users * words], vec![0; users * lasting.len()]);
        let mut counts = vec![0; names.len()];
        for user in 0..users as u32 {
            let old = self.bits_of(user);
            let new = &mut bits[user as usize * words..][..words];
            for (segment, from) in from.iter().enumerate() {
                if from.is_some_and(|from| has(old, from)) {
                    new[segment / 64] |= 1 << (segment % 64);
                    counts[segment] += 1;
                }
            }
            let old = self.since_of(user);
            let new = &mut since_us[user as usize * lasting.len()..][..lasting.len()];
            for (new, from) in new.iter_mut().zip(&since_from) {
                *new = from.map_or(0, |from| old[from]);
            }
        }
        (self.names, self.lasting) = (names.to_vec(), lasting.to_vec());
        (self.words, self.bits, self.since_us, self.counts) = (words, bits, since_us, counts);
    }
}

/// Whether a segment's bit is set.
pub(super) fn has(bits: &[u64], segment: usize) -> bool {
    bits[segment / 64] >> (segment % 64) & 1 == 1
}
