//! What a commit leads to, until it is on the disk.

use std::mem;
use std::sync::Arc;

use propense_core::segments::Transition as Moved;

use super::evaluate::{Row, Tile};
use super::note::{Step, UserNote};
use super::owed::Owed;
use super::pass::Pass;
use super::rules::{Models, Rules};
use super::shared::State;
use super::standings::{FAILED, Standings, has};
use super::transition::{Cause, Transition};

/// A user who could not be evaluated is tried again after this long.
const AGAIN_US: i64 = 60_000_000;

/// What becomes of the pass.
#[derive(Default)]
pub(super) enum NextPass {
    /// It is as it was, or there is none.
    #[default]
    Same,
    /// Everybody was evaluated.
    Done,
    /// It has come so far, or begins.
    GoesOn(Pass),
}

/// Prepared aside; it becomes true once the commit is on the disk.
#[derive(Default)]
pub(super) struct Prepared {
    pub(super) at_us: i64,
    /// All users stand as they do at this instant, if nothing else is said of them.
    pub(super) until_us: i64,
    pub(super) tiles: Vec<Tile>,
    pub(super) transitions: Vec<Transition>,
    /// The number of the last transition.
    pub(super) number: u64,
    /// Users whose timers were taken.
    pub(super) taken: Vec<u32>,
    /// Users who could not be evaluated.
    pub(super) failed: Vec<u32>,
    /// What is in force from now on.
    pub(super) rules: Option<(Arc<Rules>, Models)>,
    /// The pass from now on.
    pub(super) pass: NextPass,
    /// If a pass begins, its epoch.
    pub(super) epoch: Option<u32>,
    pub(super) forgotten: Option<u32>,
    /// Whether the models are known from now on.
    pub(super) wakes: bool,
    /// What is owed from now on.
    pub(super) owed: Owed,
}

impl Prepared {
    /// Makes it true.
    pub(super) fn apply(&mut self, state: &mut State) {
        let State { standings, epoch, .. } = state;
        let (words, lasting) = (standings.words(), standings.lasting().len());
        for tile in &self.tiles {
            for (place, row) in tile.rows.iter().enumerate() {
                standings.set(
                    row.user,
                    &tile.bits[place * words..][..words],
                    &tile.since_us[place * lasting..][..lasting],
                );
                standings.last_us[row.user as usize] = self.at_us;
                standings.epoch[row.user as usize] = *epoch;
                standings.timers.set(row.user, row.next_us);
            }
        }
        for &user in &self.failed {
            standings.timers.set(user, self.at_us.saturating_add(AGAIN_US));
            standings.epoch[user as usize] = FAILED;
        }
        if let Some(user) = self.forgotten {
            standings.forget(user);
        }
        if let Some((rules, served)) = self.rules.take() {
            standings.relayout(&rules.names, &rules.lasting);
            (state.rules, state.served) = (rules, served);
        }
        match mem::take(&mut self.pass) {
            NextPass::Same => {}
            NextPass::Done => state.pass = None,
            NextPass::GoesOn(pass) => state.pass = Some(pass),
        }
        if let Some(epoch) = self.epoch {
            state.epoch = epoch;
        }
        state.awake |= self.wakes;
    }
}

/// What there is to say of a user of a tile; `None` if nothing changed.
pub(super) fn note_of(
    standings: &Standings,
    tile: &Tile,
    place: usize,
    first_moved: usize,
    at_us: i64,
    cause_of: impl Fn(usize) -> Cause,
) -> Option<UserNote> {
    let Row { user, moved_end, is_step, .. } = tile.rows[place];
    let (words, lasting) = (standings.words(), standings.lasting());
    let bits = &tile.bits[place * words..][..words];
    let before = standings.bits_of(user);
    let transitions: Vec<Step> = if is_step {
        let step = |moved: &Moved| Step {
            segment: moved.segment as u32,
            enter: moved.enter,
            cause: Cause::Time,
            time_us: moved.time_us,
        };
        tile.moved[first_moved..moved_end].iter().map(step).collect()
    } else {
        let mut transitions = Vec::new();
        for (word, (&bits, &before)) in bits.iter().zip(before).enumerate() {
            let mut changed = bits ^ before;
            while changed != 0 {
                let segment = word * 64 + changed.trailing_zeros() as usize;
                let (enter, cause) = (has(&tile.bits[place * words..], segment), cause_of(segment));
                transitions.push(Step { segment: segment as u32, enter, cause, time_us: at_us });
                changed &= changed - 1;
            }
        }
        transitions
    };
    let since_us = tile.since_us[place * lasting.len()..][..lasting.len()].iter();
    let lasting: Vec<(u32, i64)> = (lasting.iter().zip(since_us.zip(standings.since_of(user))))
        .filter(|(_, (now, before))| now != before)
        .map(|(&segment, (&now, _))| (segment as u32, now))
        .collect();
    if transitions.is_empty() && lasting.is_empty() {
        return None;
    }
    Some(UserNote { id: standings.users.id(user).to_owned(), skipped: 0, transitions, lasting })
}
