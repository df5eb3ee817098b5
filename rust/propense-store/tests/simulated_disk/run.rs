//! A run of operations on a store, and what the store must hold after each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use propense_store::{EventBatch, ProfileBatch, Receipt, Store, StoreOptions, WriteError};

use tempfile::TempDir;

use super::observer::Folded;
use super::random::Random;

/// What a store holds: events by number, and users' attribute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model {
    pub events: BTreeSet<usize>,
    pub profiles: BTreeMap<String, String>,
    pub erased: BTreeSet<String>,
    pub folded: Folded,
}

/// One operation.
#[derive(Debug, Clone)]
pub enum Operation {
    Ingest(Vec<usize>),
    Profile(String, String),
    Erase(String),
    Ask(u64),
    Seal,
    Compact,
    Reopen,
}

pub const USERS: usize = 24;

/// The user of an event; no id is part of another.
pub fn user_of(event: usize) -> String {
    format!("<user {}>", event / 2 * 7 % USERS)
}

/// The identity of an event: some differ in nothing but their ids.
pub fn identity(event: usize) -> (String, i64, &'static str, Option<String>) {
    let kind = ["view", "buy", "leave"][event / 2 % 3];
    (user_of(event), 1_000_000 * (event / 4) as i64, kind, (!event.is_multiple_of(5)).then(|| format!("id {event}")))
}

pub fn batch(events: &[usize]) -> EventBatch {
    let mut batch = EventBatch::new();
    for &event in events {
        let (user, time_us, kind, id) = identity(event);
        let row = batch.push_event(&user, time_us, kind, id.as_deref()).unwrap();
        batch.set_number(row, "number", event as f64).unwrap();
        batch.set_text(row, "owner", &format!("text of {user}")).unwrap();
    }
    batch
}

impl Model {
    pub fn take(&mut self, operation: &Operation) {
        match operation {
            Operation::Ingest(events) => {
                let erased = &self.erased;
                let new = events.iter().filter(|event| !erased.contains(&user_of(**event)));
                let new: BTreeSet<usize> = new.filter(|event| !self.events.contains(event)).copied().collect();
                self.events.extend(&new);
                self.touch(&new.iter().map(|event| user_of(*event)).collect());
            }
            Operation::Profile(user, value) if !self.erased.contains(user) => {
                self.profiles.insert(user.clone(), value.clone());
                self.touch(&[user.clone()].into());
            }
            Operation::Erase(user) => {
                self.events.retain(|event| user_of(*event) != *user);
                self.profiles.remove(user);
                self.erased.insert(user.clone());
                self.folded.position += u64::from(self.folded.counts.remove(user).is_some());
            }
            Operation::Ask(tick) => self.folded.tick = *tick,
            _ => {}
        }
    }

    fn touch(&mut self, users: &BTreeSet<String>) {
        self.folded.position += users.len() as u64;
        let mut counts = [0; USERS];
        self.events.iter().for_each(|event| counts[event / 2 * 7 % USERS] += 1);
        for (user, count) in counts.into_iter().enumerate() {
            let user = format!("<user {user}>");
            if users.contains(&user) {
                self.folded.counts.insert(user, count);
            }
        }
    }

    /// What a receipt must say of the events of one batch.
    fn counts(&self, events: &[usize]) -> (u64, u64, u64) {
        let (mut seen, mut counts) = (self.events.clone(), (0, 0, 0));
        for &event in events {
            if self.erased.contains(&user_of(event)) {
                counts.2 += 1;
            } else if seen.insert(event) {
                counts.0 += 1;
            } else {
                counts.1 += 1;
            }
        }
        counts
    }
}

/// Memory stands for the disk, if the machine has some that looks like one.
pub fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

pub fn options(disk: impl propense_store::Disk + Send + Sync + 'static) -> StoreOptions {
    StoreOptions {
        seal_events: 100,
        merge_limit_events: 200,
        queue_events: 1_000,
        disk: std::sync::Arc::new(disk),
        background: false,
        notes_bytes: 1_500,
        keep_notes: 3,
    }
}

/// A random operation; `next` is the number of the next new event.
pub fn some_operation(random: &mut Random, next: &mut usize) -> Operation {
    match random.below(100) {
        0..=69 => {
            let mut one = |random: &mut Random| {
                if *next > 0 && random.below(5) == 0 {
                    random.below(*next)
                } else {
                    *next += 1;
                    *next - 1
                }
            };
            Operation::Ingest((0..=random.below(5)).map(|_| one(random)).collect())
        }
        70..=75 => Operation::Ask(*next as u64),
        76..=84 => Operation::Profile(user_of(random.below(USERS)), format!("value {}", random.below(1_000))),
        85..=88 => Operation::Seal,
        89..=92 => Operation::Compact,
        93..=94 => Operation::Erase(user_of(random.below(USERS))),
        _ => Operation::Reopen,
    }
}

/// Does an operation and checks its receipt.
pub fn perform(store: &Store, operation: &Operation, model: &Model) -> Result<(), WriteError> {
    match operation {
        Operation::Ingest(events) => {
            let Receipt { accepted, duplicates, erased, .. } = store.ingest(batch(events))?;
            assert_eq!((accepted, duplicates, erased), model.counts(events));
        }
        Operation::Profile(user, value) => {
            let mut batch = ProfileBatch::new();
            let row = batch.push_user(user).unwrap();
            batch.columns.set_text(row, "attribute", value).unwrap();
            store.put_profiles(batch)?;
        }
        Operation::Erase(user) => {
            store.erase(user)?;
        }
        Operation::Ask(tick) => {
            store.ask(Box::new(*tick))?;
        }
        Operation::Seal => store.seal()?,
        Operation::Compact => store.compact()?,
        Operation::Reopen => {}
    }
    Ok(())
}
