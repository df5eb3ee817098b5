//! Only the segments that a change makes others, for users whose other segments are known to stand as they did.

use propense_store::Snapshot;

use super::evaluate::{Failed, Task, Tile, evaluate};
use super::rules::Rules;
use super::standings::{Standings, has};

/// Some of the segments in force, and what they read.
pub(super) struct Part {
    rules: Rules,
    /// For each segment that a change makes another, its number in the part and among all.
    segments: Vec<(usize, usize)>,
    /// For those that depend on who was in them, the places among the part's such segments and among all such.
    lasting: Vec<(usize, usize)>,
}

impl Part {
    /// The part of rules that a change makes others; `None` if that is all of them, or none.
    pub(super) fn new(rules: &Rules, is_changed: impl Fn(usize) -> bool) -> Option<Self> {
        let changed: Vec<usize> = (0..rules.set.len()).filter(|&segment| is_changed(segment)).collect();
        if changed.is_empty() || changed.len() == rules.set.len() {
            return None;
        }
        let part = rules.part(&changed).ok()?;
        let number = |&segment: &usize| Some((part.set.number(&rules.names[segment])?, segment));
        let segments: Vec<(usize, usize)> = changed.iter().filter_map(number).collect();
        let lasting = |&(own, segment): &(usize, usize)| {
            Some((part.lasting.binary_search(&own).ok()?, rules.lasting.binary_search(&segment).ok()?))
        };
        let lasting = segments.iter().filter_map(lasting).collect();
        (segments.len() == changed.len()).then_some(Self { rules: part, segments, lasting })
    }

    /// Whether the part is enough for a user: nothing else has changed since the user was evaluated, by time either.
    pub(super) fn suffices(standings: &Standings, user: u32, at_us: i64) -> bool {
        standings.is_known(user) && standings.timers.due_us(user) > at_us
    }

    /// Evaluates users, who ascend and for whom the part suffices, at an instant, as [`evaluate`] does.
    pub(super) fn evaluate(
        &self,
        view: &Snapshot,
        standings: &Standings,
        tasks: &[Task<'_>],
        at_us: i64,
    ) -> Vec<Result<Tile, Box<Failed>>> {
        let mut tiles = evaluate(view, &self.rules, standings, tasks, at_us);
        tiles.iter_mut().flatten().for_each(|tile| self.complete(tile, standings));
        tiles
    }

    /// Adds to what was found of the part where users stand in all other segments.
    fn complete(&self, tile: &mut Tile, standings: &Standings) {
        let (words, own_lasting) = (standings.words(), self.rules.lasting.len());
        let (mut bits, mut since_us) = (Vec::with_capacity(tile.bits.len()), Vec::new());
        for (place, row) in tile.rows.iter_mut().enumerate() {
            let (first_word, first_lasting) = (bits.len(), since_us.len());
            bits.extend_from_slice(standings.bits_of(row.user));
            since_us.extend_from_slice(standings.since_of(row.user));
            let found = &tile.bits[place * words..][..words];
            for &(own, segment) in &self.segments {
                let (word, bit) = (&mut bits[first_word + segment / 64], 1 << (segment % 64));
                *word = if has(found, own) { *word | bit } else { *word & !bit };
            }
            let found = &tile.since_us[place * own_lasting..][..own_lasting];
            for &(own, among_all) in &self.lasting {
                since_us[first_lasting + among_all] = found[own];
            }
            row.next_us = row.next_us.min(standings.timers.due_us(row.user));
        }
        (tile.bits, tile.since_us) = (bits, since_us);
    }
}
