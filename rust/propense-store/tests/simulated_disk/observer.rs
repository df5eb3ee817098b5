//! An observer that counts each user's events, and what its notes must lead to.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex};

use propense_store::{Note, NotesError, Observer, Snapshot, Store, StoreError, StoreOptions, Touched};

/// What the notes lead to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folded {
    /// Of each user with an event or a profile, how many events.
    pub counts: BTreeMap<String, u64>,
    /// The last tick.
    pub tick: u64,
    /// How many lines there were.
    pub position: u64,
}

const GONE: &str = "-";

impl Folded {
    /// Takes in a payload: a checkpoint, ticks, or a numbered line for each user whose count is another.
    fn take(&mut self, payload: &[u8]) -> Result<(), String> {
        for line in std::str::from_utf8(payload).map_err(|error| error.to_string())?.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{line:?}: {error}"));
            match fields[..] {
                ["checkpoint", position, tick] => {
                    *self = Self { position: number(position)?, tick: number(tick)?, ..Self::default() };
                }
                ["count", user, count] => drop(self.counts.insert(user.to_owned(), number(count)?)),
                ["tick", tick] => self.tick = number(tick)?,
                [position, user, count] => {
                    self.position += 1;
                    if number(position)? != self.position {
                        return Err(format!("line {position} stands where {} was expected", self.position));
                    }
                    match count {
                        _ if user == GONE => {}
                        GONE => drop(self.counts.remove(user)),
                        count => drop(self.counts.insert(user.to_owned(), number(count)?)),
                    }
                }
                _ => return Err(format!("{line:?}")),
            }
        }
        Ok(())
    }
}

/// The observer; what is settled is seen by the test.
pub struct Scribe {
    settled: Arc<Mutex<Folded>>,
    pending: Option<Folded>,
    is_called: bool,
}

impl Scribe {
    fn note(&mut self, payload: String) -> Option<Note> {
        let mut next = self.settled.lock().unwrap().clone();
        next.take(payload.as_bytes()).unwrap();
        let position = next.position;
        assert!(!std::mem::replace(&mut self.is_called, true), "called twice in a commit");
        self.pending = Some(next);
        (!payload.is_empty()).then(|| Note { position, payload: payload.into_bytes() })
    }
}

impl Observer for Scribe {
    fn staged(&mut self, view: &Snapshot, touched: &[Touched<'_>]) -> Option<Note> {
        assert!(!touched.is_empty() && touched.windows(2).all(|pair| pair[0].user < pair[1].user), "{touched:?}");
        let users: Vec<&str> = touched.iter().map(|touched| touched.user).collect();
        let log = view.gather(&users).unwrap().log;
        let mut lines = String::new();
        let before = self.settled.lock().unwrap().clone();
        for (place, Touched { user, earliest_us, attributes }) in touched.iter().enumerate() {
            let count = log.rows(place).len() as u64;
            let is_new = count > before.counts.get(*user).copied().unwrap_or(0);
            assert_eq!(is_new, *earliest_us != i64::MAX, "{user}: {count} events; {touched:?}");
            assert!(is_new || *attributes);
            assert!(!is_new || log.rows(place).any(|row| log.time_us()[row] == *earliest_us));
            let position = before.position + place as u64 + 1;
            writeln!(lines, "{position}\t{user}\t{count}").unwrap();
        }
        self.note(lines)
    }

    fn asked(&mut self, _view: &Snapshot, message: Box<dyn Any + Send>) -> Result<Option<Note>, String> {
        let tick = *message.downcast::<u64>().map_err(|_| "no number".to_owned())?;
        if tick == u64::MAX {
            self.is_called = true;
            return Err("too late".to_owned());
        }
        Ok(self.note(format!("tick\t{tick}\n")))
    }

    fn erasing(&mut self, user: &str) -> Option<Note> {
        let Folded { counts, position, .. } = self.settled.lock().unwrap().clone();
        let is_known = counts.contains_key(user);
        self.note(if is_known { format!("{}\t{user}\t{GONE}\n", position + 1) } else { String::new() })
    }

    fn settled(&mut self, sequence: Option<u64>) {
        assert!(std::mem::take(&mut self.is_called), "settled what was not begun");
        if let (Some(pending), Some(_)) = (self.pending.take(), sequence) {
            *self.settled.lock().unwrap() = pending;
        }
    }

    fn replay(&mut self, _sequence: u64, position: u64, payload: &[u8]) -> Result<(), String> {
        let mut settled = self.settled.lock().unwrap();
        settled.take(payload)?;
        if settled.position == position { Ok(()) } else { Err(format!("{position} is not {}", settled.position)) }
    }

    fn opened(&mut self, view: &Snapshot, behind: bool) -> Option<Note> {
        self.is_called = true;
        let Folded { counts, position, .. } = self.settled.lock().unwrap().clone();
        let users = view.users_from(None, usize::MAX);
        if !behind {
            return None;
        }
        self.is_called = false;
        let all: Vec<&str> = users.iter().map(String::as_str).collect();
        let log = view.gather(&all).unwrap().log;
        let counts_now = users.iter().enumerate().map(|(place, user)| (user, log.rows(place).len().to_string()));
        let gone = counts.keys().filter(|user| !users.contains(user)).map(|user| (user, GONE.to_owned()));
        let lines = counts_now.chain(gone).zip(position + 1..);
        let mut text = String::new();
        for ((user, count), position) in lines {
            writeln!(text, "{position}\t{user}\t{count}").unwrap();
        }
        self.note(text)
    }

    fn checkpoint(&mut self) -> Option<Vec<u8>> {
        let Folded { counts, position, tick } = self.settled.lock().unwrap().clone();
        let counts = counts.iter().map(|(user, count)| format!("count\t{user}\t{count}\n"));
        Some(format!("checkpoint\t{position}\t{tick}\n{}", counts.collect::<String>()).into_bytes())
    }

    fn without(&self, user: &str, payload: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(payload).unwrap();
        let cleaned: String = text
            .split_inclusive('\n')
            .map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
                ["count", known, _] if known == user => String::new(),
                [position, known, _] if known == user => format!("{position}\t{GONE}\t{GONE}\n"),
                _ => line.to_owned(),
            })
            .collect();
        (cleaned != text).then(|| cleaned.into_bytes())
    }
}

/// A store and what its observer knows.
pub struct Watched {
    pub store: Store,
    settled: Arc<Mutex<Folded>>,
}

impl Deref for Watched {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Watched {
    pub fn open(folder: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let settled = Arc::default();
        let scribe = Scribe { settled: Arc::clone(&settled), pending: None, is_called: false };
        let store = Store::open_observed(folder, options, Box::new(scribe))?;
        Ok(Self { store, settled })
    }

    /// What the observer knows; those who follow the notes are told the same.
    pub fn folded(&self) -> Folded {
        self.try_folded().unwrap()
    }

    /// [`Self::folded`], or why notes cannot be read.
    pub fn try_folded(&self) -> Result<Folded, NotesError> {
        let folded = self.settled.lock().unwrap().clone();
        let (mut first, mut followed) = self.follow()?;
        // Files may be cleaned of an erased user between two reads of them, when what failed before is tried again.
        if first == 0 && followed.counts != folded.counts {
            (first, followed) = self.follow()?;
        }
        assert_eq!(followed.position, folded.position, "from {first} on");
        assert_eq!(self.store.notes_position(), folded.position);
        if first == 0 {
            assert_eq!(followed.counts, folded.counts);
        }
        assert!(matches!(self.store.notes_after(first.wrapping_sub(1), 1), Err(NotesError::Gone { .. })) || first == 0);
        Ok(folded)
    }

    /// The position from which on notes are kept, and what they lead to.
    fn follow(&self) -> Result<(u64, Folded), NotesError> {
        let mut first = 0;
        let mut followed = Folded::default();
        let mut calls = 0;
        loop {
            // Few bytes at a time, or many.
            let bytes = [1, 100, 1_000_000][calls % 3];
            let notes = match self.store.notes_after(followed.position, bytes) {
                // A file may also be removed while this goes on.
                Err(NotesError::Gone { first: now }) => {
                    assert!(now > followed.position);
                    first = now;
                    followed = Folded { position: first, ..Folded::default() };
                    continue;
                }
                notes => notes?,
            };
            calls += 1;
            if notes.is_empty() {
                return Ok((first, followed));
            }
            for (position, payload) in notes {
                assert!(position > followed.position);
                followed.take(&payload).unwrap();
                assert_eq!(followed.position, position);
            }
        }
    }
}
