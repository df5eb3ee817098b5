//! The engine: told of every commit, it evaluates whom it touches, and what follows is in the same commit.
//!
//! It runs on the one thread that commits. What a commit leads to is prepared aside ([`Prepared`]) and becomes true, for
//! readers and for itself, only once the commit is on the disk.

use std::any::Any;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Instant;

use propense_store::{Note as StoreNote, Observer, Snapshot, Touched};
use rayon::prelude::*;
use serde_json::json;

use super::ask::Ask;
use super::changing::base_of;
use super::evaluate::{TILE, Task, Tile, Way, evaluate};
use super::note::{Base, Kind, Note, PassBase, Step, UserNote};
use super::owed::Owed;
use super::pace::Pace;
use super::part::Part;
use super::pass::Pass;
use super::prepared::{NextPass, Prepared, note_of};
use super::restore;
use super::shared::{Shared, State};
use super::standings::FAILED;
use super::transition::Cause;

/// Of more tiles than this, what there is to say is put together on all threads; of fewer, waking them takes longer.
const MANY_TILES: usize = 8;
/// The engine says so often how far time has passed, if nothing else happens.
const UNTIL_US: i64 = 600_000_000;

/// The store's observer.
pub(super) struct Engine {
    pub(super) shared: Arc<Shared>,
    pool: Option<rayon::ThreadPool>,
    pace: Pace,
    pub(super) prepared: Option<Prepared>,
    /// The last instant at which anybody was evaluated; the engine's clock never goes back.
    pub(super) at_us: i64,
    /// Of the last note.
    pub(super) until_us: i64,
    /// The number of the last transition.
    pub(super) number: u64,
    /// Versions of the models by which users were evaluated.
    pub(super) versions: BTreeMap<String, String>,
    /// A pass that was not finished when the store was closed; while asleep, what is known to be needed.
    pub(super) unfinished: Option<PassBase>,
    pub(super) owed: Owed,
}

impl Engine {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let pool = rayon::ThreadPoolBuilder::new().thread_name(|_| "segments".to_owned()).build().ok();
        Self {
            shared,
            pool,
            pace: Pace::new(),
            prepared: None,
            at_us: i64::MIN,
            until_us: i64::MIN,
            number: 0,
            versions: BTreeMap::new(),
            unfinished: None,
            owed: Owed::Nobody,
        }
    }

    /// Does what has parts on the engine's threads, if there are any.
    fn on_all_threads<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Begins what a commit leads to.
    pub(super) fn begin(&self) -> Prepared {
        let at_us = self.shared.clock.now_us().max(self.at_us);
        let mut state = self.shared.write();
        let is_whole = state.awake && state.pass.is_none();
        let next_us = state.standings.timers.next_us();
        let until_us = if is_whole { at_us.min(next_us.saturating_sub(1)) } else { self.until_us };
        Prepared { at_us, until_us: until_us.max(self.until_us), number: self.number, ..Prepared::default() }
    }

    /// Evaluates users and prepares what follows; gives what there is to say of them.
    fn evaluate(
        &self,
        view: &Snapshot,
        state: &State,
        lists: &[(Option<&Part>, Vec<Task<'_>>)],
        cause: Cause,
        prepared: &mut Prepared,
    ) -> Vec<UserNote> {
        let began = Instant::now();
        let State { rules, standings, .. } = state;
        let at_us = prepared.at_us;
        let run = || -> Vec<_> {
            let of_list = |(part, tasks): &(Option<&Part>, Vec<Task<'_>>)| match part {
                Some(part) => part.evaluate(view, standings, tasks, at_us),
                None => evaluate(view, rules, standings, tasks, at_us),
            };
            lists.iter().flat_map(of_list).collect()
        };
        for tile in self.on_all_threads(run) {
            match tile {
                Ok(tile) => prepared.tiles.push(tile),
                Err(failed) => {
                    let (users, error) = *failed;
                    self.shared.counts.failed.fetch_add(users.len() as u64, Relaxed);
                    let problem = error.to_string();
                    self.shared.log.line("error", "segments", json!({"users": users.len(), "problem": problem}));
                    prepared.failed.extend(users);
                }
            }
        }
        let of_tile = |tile: &Tile| notes_of(state, tile, at_us, cause);
        let notes = if prepared.tiles.len() > MANY_TILES {
            self.on_all_threads(|| prepared.tiles.par_iter().flat_map_iter(of_tile).collect())
        } else {
            prepared.tiles.iter().flat_map(of_tile).collect()
        };
        self.shared.counts.took(lists.iter().map(|(_, tasks)| tasks.len()).sum(), began.elapsed());
        notes
    }

    /// Makes the note of what is prepared, and keeps that until the commit is settled.
    pub(super) fn finish(
        &mut self,
        mut prepared: Prepared,
        users: Vec<UserNote>,
        base: Option<Base>,
    ) -> Option<StoreNote> {
        prepared.owed = self.owed.after(&prepared);
        let is_news = prepared.owed != Owed::Nobody && self.owed == Owed::Nobody;
        let mut base = base.or_else(|| is_news.then(|| restore::base(self, &self.shared.read())));
        if let Some(base) = base.as_mut().filter(|_| prepared.owed != Owed::Nobody) {
            base.pass.get_or_insert_default().behind = true;
        }
        let is_silent =
            users.is_empty() && base.is_none() && prepared.until_us < self.until_us.saturating_add(UNTIL_US);
        if is_silent {
            prepared.until_us = self.until_us;
            self.prepared = Some(prepared);
            return None;
        }
        let names = self.shared.read().standings.names().iter().map(ToString::to_string).collect();
        let note = Note {
            kind: Kind::Change,
            at_us: prepared.at_us,
            until_us: prepared.until_us,
            first_number: self.number + 1,
            base,
            names: if users.is_empty() { Vec::new() } else { names },
            users,
        };
        let (payload, transitions) = if note.users.len() > MANY_TILES * TILE {
            self.on_all_threads(|| rayon::join(|| note.encode(), || note.transitions()))
        } else {
            (note.encode(), note.transitions())
        };
        prepared.transitions = transitions;
        prepared.number = self.number + prepared.transitions.len() as u64;
        let position = prepared.number;
        self.prepared = Some(prepared);
        Some(StoreNote { position, payload })
    }

    /// Sees to timers that are due, and to a slice of the pass.
    fn work(&mut self, view: &Snapshot) -> Option<StoreNote> {
        let shared = Arc::clone(&self.shared);
        let began = Instant::now();
        let mut prepared = self.begin();
        let (mut due, mut slice, mut base) = (Vec::new(), Vec::new(), None);
        {
            let mut state = shared.write();
            if !state.awake {
                return None;
            }
            let State { rules, standings, pass, epoch, .. } = &mut *state;
            prepared.taken = standings.timers.take_due(prepared.at_us, self.pace.users());
            shared.counts.due.fetch_add(prepared.taken.len() as u64, Relaxed);
            due.extend(prepared.taken.iter().map(|&user| (standings.users.id(user).to_owned(), user)));
            due.sort_unstable();
            let taken: HashSet<u32> = prepared.taken.iter().copied().collect();
            if let Some(pass) = pass {
                let mut next = pass.clone();
                let (ids, is_last) = next.slice(view, self.pace.users_beside(due.len()));
                let known = self.on_all_threads(|| standings.users.find_all(&ids));
                for (id, known) in ids.into_iter().zip(known) {
                    // The list may be older than an erasure.
                    let Some(user) = known.or_else(|| view.has_user(&id).then(|| standings.add(&id))) else { continue };
                    if standings.epoch[user as usize] != *epoch && !taken.contains(&user) {
                        slice.push((id, user));
                    }
                }
                if is_last {
                    base = Some(base_of(rules, None));
                }
                prepared.pass = if is_last { NextPass::Done } else { NextPass::GoesOn(next) };
            }
        }
        let state = shared.read();
        let part = state.pass.as_ref().and_then(|pass| pass.part.as_deref());
        let suffices =
            |(_, user): &(String, u32)| part.is_some() && Part::suffices(&state.standings, *user, prepared.at_us);
        let (in_part, whole): (Vec<_>, Vec<_>) = slice.into_iter().partition(suffices);
        let lists = [(None, tasks(&due, &state)), (None, tasks(&whole, &state)), (part, tasks(&in_part, &state))];
        let is_behind = state.pass.as_ref().is_some_and(|pass| pass.behind);
        let cause = if is_behind { Cause::Event } else { Cause::Time };
        let notes = self.evaluate(view, &state, &lists, cause, &mut prepared);
        let evaluated = lists.iter().map(|(_, tasks)| tasks.len()).sum();
        drop(state);
        self.pace.took(evaluated, began.elapsed());
        let note = self.finish(prepared, notes, base);
        if note.is_none() {
            // Nothing that has to be on a disk: timers, and how far the pass is.
            self.settle(true);
        }
        note
    }

    /// Makes what was prepared true, or forgets it.
    pub(super) fn settle(&mut self, is_true: bool) {
        let Some(mut prepared) = self.prepared.take() else { return };
        let shared = Arc::clone(&self.shared);
        let mut state = shared.write();
        if !is_true {
            state.standings.timers.put_back(&prepared.taken);
            return;
        }
        prepared.apply(&mut state);
        self.at_us = self.at_us.max(prepared.at_us);
        self.until_us = self.until_us.max(prepared.until_us);
        self.number = prepared.number;
        self.owed = prepared.owed;
        if state.awake {
            self.versions = state.rules.versions();
            self.unfinished = None;
        }
        let next_us = state.standings.timers.next_us();
        shared.has_pass.store(state.pass.is_some(), SeqCst);
        let rings = shared.next_us.swap(next_us, SeqCst) > next_us || state.pass.is_some();
        drop(state);
        for transition in &prepared.transitions {
            shared.counts.moved(transition.enter, transition.cause);
        }
        shared.published.publish(prepared.transitions, self.number);
        if rings {
            shared.ring();
        }
    }
}

/// What there is to say of the users of a tile.
fn notes_of(state: &State, tile: &Tile, at_us: i64, cause: Cause) -> Vec<UserNote> {
    let (mut notes, mut first_moved) = (Vec::new(), 0);
    for (place, row) in tile.rows.iter().enumerate() {
        let of_pass = state.pass.as_ref().filter(|_| state.is_stale(row.user) && !row.is_new);
        let cause_of = |segment: usize| of_pass.and_then(|pass| pass.causes[segment]).unwrap_or(cause);
        notes.extend(note_of(&state.standings, tile, place, first_moved, at_us, cause_of));
        first_moved = row.moved_end;
    }
    notes
}

/// Users, ascending, whose time has come or whose turn it is.
fn tasks<'a>(users: &'a [(String, u32)], state: &State) -> Vec<Task<'a>> {
    let is_step = state.pass.as_ref().is_some_and(Pass::is_step);
    let way = |user: u32| {
        let has_failed = state.standings.epoch[user as usize] == FAILED;
        if state.is_stale(user) && (!is_step || has_failed) { Way::Anew } else { Way::Step }
    };
    users.iter().map(|(id, user)| Task { id, user: *user, way: way(*user), is_new: false }).collect()
}

/// Users whose events were gone through again and who stand as before: that they do so at this instant does not always
/// follow from where they stood at an earlier one.
fn settled_again(tasks: &[Task<'_>], notes: &[UserNote]) -> Vec<UserNote> {
    let told: HashSet<&str> = notes.iter().map(|note| note.id.as_str()).collect();
    let again = tasks.iter().filter(|task| task.way == Way::Anew && !told.contains(task.id));
    again.map(|task| UserNote { id: task.id.to_owned(), ..UserNote::default() }).collect()
}

impl Observer for Engine {
    fn staged(&mut self, view: &Snapshot, touched: &[Touched<'_>]) -> Option<StoreNote> {
        self.pace.wrote();
        let shared = Arc::clone(&self.shared);
        let mut prepared = self.begin();
        let mut state = shared.write();
        if !state.awake {
            let is_known = self.unfinished.as_ref().is_some_and(|unfinished| unfinished.behind);
            if is_known {
                return None;
            }
            self.unfinished.get_or_insert_default().behind = true;
            let base = restore::base(self, &state);
            drop(state);
            return self.finish(prepared, Vec::new(), Some(base));
        }
        let mut add = |touched: &Touched<'_>| {
            let is_new = state.standings.users.find(touched.user).is_none();
            (state.standings.add(touched.user), is_new)
        };
        let users: Vec<(u32, bool)> = touched.iter().map(&mut add).collect();
        drop(state);
        let state = shared.read();
        let task = |(touched, (user, is_new)): (&'_ Touched<'_>, (u32, bool))| {
            let last_us = state.standings.last_us[user as usize];
            let is_late = touched.earliest_us < last_us || touched.attributes;
            (user, if is_late || state.is_stale(user) { Way::Anew } else { Way::Net }, is_new)
        };
        let ways: Vec<(u32, Way, bool)> = touched.iter().zip(users).map(task).collect();
        let tasks = touched.iter().zip(ways);
        let tasks = tasks.map(|(touched, (user, way, is_new))| Task { id: touched.user, user, way, is_new }).collect();
        let lists = [(None, tasks)];
        let mut notes = self.evaluate(view, &state, &lists, Cause::Event, &mut prepared);
        if !state.rules.lasting.is_empty() {
            notes.extend(settled_again(&lists[0].1, &notes));
        }
        drop(state);
        self.finish(prepared, notes, None)
    }

    fn asked(&mut self, view: &Snapshot, message: Box<dyn Any + Send>) -> Result<Option<StoreNote>, String> {
        match message.downcast::<Ask>() {
            Ok(ask) => match *ask {
                Ask::Work => Ok(self.work(view)),
                Ask::Change(change, refusal) => self.change(view, change, &refusal),
            },
            Err(_) => Err("the segments do not know this message".to_owned()),
        }
    }

    fn erasing(&mut self, user: &str) -> Option<StoreNote> {
        let mut prepared = self.begin();
        let shared = Arc::clone(&self.shared);
        let state = shared.read();
        let number = state.standings.users.find(user)?;
        let all: Vec<usize> = (0..state.standings.names().len()).collect();
        let is_in = |segment: &&usize| state.standings.is_member(number, **segment);
        let exit = |&segment: &usize| Step {
            segment: segment as u32,
            enter: false,
            cause: Cause::Erased,
            time_us: prepared.at_us,
        };
        let transitions: Vec<Step> = all.iter().filter(is_in).map(exit).collect();
        drop(state);
        prepared.forgotten = Some(number);
        let users = if transitions.is_empty() {
            Vec::new()
        } else {
            vec![UserNote { id: user.to_owned(), transitions, ..UserNote::default() }]
        };
        self.finish(prepared, users, None)
    }

    fn settled(&mut self, sequence: Option<u64>) {
        self.settle(sequence.is_some());
    }

    fn replay(&mut self, _: u64, position: u64, payload: &[u8]) -> Result<(), String> {
        restore::replay(self, position, payload)
    }

    fn opened(&mut self, _: &Snapshot, behind: bool) -> Option<StoreNote> {
        restore::opened(self, behind)
    }

    fn checkpoint(&mut self) -> Option<Vec<u8>> {
        Some(restore::checkpoint(self))
    }

    fn without(&self, user: &str, payload: &[u8]) -> Option<Vec<u8>> {
        Some(Note::decode(payload).ok()?.without(user)?.encode())
    }
}
