//! Recent events: appended, found by user and by identity, about 50 bytes an event.
//!
//! Rows are only ever appended, so that a reader who knows how many there were at an instant sees what there was then.

use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock, RwLock};

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use crate::chains::Chains;
use crate::dictionary::Dictionary;
use crate::lock::read;
use crate::packed::{Packed, PackedRows};
use crate::property::Value;

/// No row before this one.
const NONE: u32 = u32::MAX;

/// What tells an event from all others, beside its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) time_us: i64,
    pub(crate) event: u32,
    /// 0 without an id.
    pub(crate) id: u64,
}

/// How much of a memtable there was at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) rows: u32,
    pub(crate) writes: u32,
    pub(crate) users: u32,
}

impl Limits {
    /// All there is.
    pub(crate) const ALL: Self = Self { rows: u32::MAX, writes: u32::MAX, users: u32::MAX };
}

/// A moment to go back to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    limits: Limits,
    has_ids: bool,
    span_us: Option<(i64, i64)>,
}

/// Recent events and profiles, shared between a writer and readers.
#[derive(Debug)]
pub(crate) struct Memtable {
    pub(crate) table: RwLock<Table>,
    /// The users in order of id, once it is asked for and no more come.
    sorted: OnceLock<Arc<[u32]>>,
}

/// The rows.
#[derive(Debug)]
pub(crate) struct Table {
    users: Dictionary,
    rows: Vec<Row>,
    chains: Chains,
    /// Empty as long as no row has an id.
    ids: Vec<u64>,
    values: PackedRows,
    /// Rows by user and identity.
    identities: HashTable<u32>,
    hasher: RandomState,
    writes: Vec<Write>,
    /// By user: the newest value written to the profile.
    newest_write: Vec<u32>,
    span_us: Option<(i64, i64)>,
}

/// What every event has, side by side: nearly always all of it is asked for.
#[derive(Debug, Clone, Copy)]
struct Row {
    time_us: i64,
    event: u32,
    user: u32,
}

/// A value written to a profile.
#[derive(Debug, Clone, Copy)]
struct Write {
    attribute: u16,
    value: Value,
    previous: u32,
}

impl Memtable {
    /// Nothing, with room for so many events before memory is asked for again.
    pub(crate) fn new(hasher: &RandomState, events: usize) -> Self {
        let table = Table {
            users: Dictionary::with_hasher(hasher.clone()),
            rows: Vec::with_capacity(events),
            chains: Chains::default(),
            ids: Vec::new(),
            values: PackedRows::with_capacity(events),
            identities: HashTable::with_capacity(events),
            hasher: hasher.clone(),
            writes: Vec::new(),
            newest_write: Vec::new(),
            span_us: None,
        };
        Self { table: RwLock::new(table), sorted: OnceLock::new() }
    }

    /// The users of a closed memtable in order of id.
    pub(crate) fn sorted(&self) -> Arc<[u32]> {
        Arc::clone(self.sorted.get_or_init(|| read(&self.table).sorted(NONE).into()))
    }
}

impl Table {
    /// How much there is.
    pub(crate) fn limits(&self) -> Limits {
        Limits { rows: self.rows.len() as u32, writes: self.writes.len() as u32, users: self.users.len() as u32 }
    }

    /// The slot of a user.
    #[inline]
    pub(crate) fn find(&self, hash: u64, user: &str) -> Option<u32> {
        self.users.find_hashed(hash, user)
    }

    /// The slot of a user, new or known, and whether they are new.
    pub(crate) fn add_user(&mut self, hash: u64, user: &str) -> (u32, bool) {
        if let Some(slot) = self.find(hash, user) {
            return (slot, false);
        }
        self.chains.push_user();
        self.newest_write.push(NONE);
        (self.users.push_hashed(hash, user), true)
    }

    /// The id of the user in a slot.
    pub(crate) fn user(&self, slot: u32) -> &str {
        self.users.text(slot)
    }

    /// The slots below a limit in order of the users' ids.
    pub(crate) fn sorted(&self, users: u32) -> Vec<u32> {
        let mut slots: Vec<u32> = (0..users.min(self.users.len() as u32)).collect();
        slots.sort_unstable_by_key(|&slot| self.users.text(slot));
        slots
    }

    /// Whether an event is there.
    pub(crate) fn holds(&self, slot: u32, identity: Identity) -> bool {
        self.identities.find(self.hash(slot, identity), |&row| self.is(row, slot, identity)).is_some()
    }

    /// Appends an event unless it is there; `values` gives its properties.
    pub(crate) fn push_event(&mut self, slot: u32, identity: Identity, values: &[u8]) -> bool {
        let hash = self.hash(slot, identity);
        if self.identities.find(hash, |&row| self.is(row, slot, identity)).is_some() {
            return false;
        }
        let row = self.rows.len() as u32;
        let Identity { time_us, event, id } = identity;
        self.rows.push(Row { time_us, event, user: slot });
        if id != 0 && self.ids.is_empty() {
            self.ids.resize(row as usize, 0);
        }
        if id != 0 || !self.ids.is_empty() {
            self.ids.push(id);
        }
        self.values.push(values);
        self.chains.push(slot, row);
        let (first, last) = self.span_us.unwrap_or((time_us, time_us));
        self.span_us = Some((first.min(time_us), last.max(time_us)));
        let Self { identities, hasher, rows, ids, .. } = self;
        identities.insert_unique(hash, row, |&row| {
            let id = ids.get(row as usize).copied().unwrap_or(0);
            let Row { time_us, event, user } = rows[row as usize];
            hash_of(hasher, user, Identity { time_us, event, id })
        });
        true
    }

    /// Appends a value to a user's profile.
    pub(crate) fn push_write(&mut self, slot: u32, attribute: u16, value: Value) {
        let newest = &mut self.newest_write[slot as usize];
        let previous = std::mem::replace(newest, self.writes.len() as u32);
        self.writes.push(Write { attribute, value, previous });
    }

    /// What there is, so that [`Self::shorten`] can take back what comes after.
    pub(crate) fn mark(&self) -> Mark {
        Mark { limits: self.limits(), has_ids: self.has_ids(), span_us: self.span_us }
    }

    /// Forgets all that came after a mark.
    pub(crate) fn shorten(&mut self, mark: Mark) {
        let Mark { limits: Limits { rows, writes, users }, has_ids, span_us } = mark;
        for row in rows..self.rows.len() as u32 {
            let Row { time_us, event, user } = self.rows[row as usize];
            let hash = self.hash(user, Identity { time_us, event, id: self.id(row) });
            if let Ok(entry) = self.identities.find_entry(hash, |&known| known == row) {
                entry.remove();
            }
        }
        self.chains.shorten(users as usize, rows);
        self.newest_write.truncate(users as usize);
        for newest in &mut self.newest_write {
            while *newest != NONE && *newest >= writes {
                *newest = self.writes[*newest as usize].previous;
            }
        }
        let left = rows as usize;
        self.users.shorten(users as usize);
        self.rows.truncate(left);
        self.ids.truncate(if has_ids { left } else { 0 });
        self.values.shorten(left);
        self.writes.truncate(writes as usize);
        self.span_us = span_us;
    }

    /// A user's rows below a limit, newest arrival first.
    pub(crate) fn rows(&self, slot: u32, limit: u32) -> impl Iterator<Item = u32> {
        self.chains.rows(slot, limit)
    }

    /// A user's profile values below a limit, newest first.
    pub(crate) fn writes(&self, slot: u32, limit: u32) -> impl Iterator<Item = (u16, Value)> {
        let mut write = self.newest_write[slot as usize];
        std::iter::from_fn(move || {
            let found = write;
            (found != NONE).then(|| {
                write = self.writes[found as usize].previous;
                found
            })
        })
        .skip_while(move |&write| write >= limit)
        .map(|write| (self.writes[write as usize].attribute, self.writes[write as usize].value))
    }

    #[inline]
    pub(crate) fn time_us(&self, row: u32) -> i64 {
        self.rows[row as usize].time_us
    }

    #[inline]
    pub(crate) fn event(&self, row: u32) -> u32 {
        self.rows[row as usize].event
    }

    /// The hash of a row's id, 0 without.
    #[inline]
    pub(crate) fn id(&self, row: u32) -> u64 {
        self.ids.get(row as usize).copied().unwrap_or(0)
    }

    pub(crate) fn has_ids(&self) -> bool {
        !self.ids.is_empty()
    }

    /// A row's properties.
    #[inline]
    pub(crate) fn values(&self, row: u32) -> Packed<'_> {
        self.values.get(row as usize)
    }

    /// Fetches some rows' properties from memory, so that nothing waits for them one by one.
    #[inline]
    pub(crate) fn fetch_values(&self, rows: impl Iterator<Item = u32>) {
        self.values.fetch(rows.map(|row| row as usize));
    }

    /// The earliest and the latest event.
    pub(crate) fn span_us(&self) -> Option<(i64, i64)> {
        self.span_us
    }

    /// Memory in use, in bytes; what was only set aside is not counted.
    pub(crate) fn memory_bytes(&self) -> usize {
        let rows = self.rows.len() * size_of::<Row>() + self.chains.memory_bytes();
        let identities = self.identities.num_buckets() + self.identities.len() * size_of::<u32>();
        let users = self.users.memory_bytes() + self.newest_write.capacity() * size_of::<u32>();
        let writes = self.writes.capacity() * size_of::<Write>();
        rows + self.ids.len() * size_of::<u64>() + self.values.memory_bytes() + identities + users + writes
    }

    fn is(&self, row: u32, slot: u32, identity: Identity) -> bool {
        self.rows[row as usize].user == slot
            && self.time_us(row) == identity.time_us
            && self.event(row) == identity.event
            && self.id(row) == identity.id
    }

    fn hash(&self, slot: u32, identity: Identity) -> u64 {
        hash_of(&self.hasher, slot, identity)
    }
}

fn hash_of(hasher: &RandomState, slot: u32, Identity { time_us, event, id }: Identity) -> u64 {
    hasher.hash_one((slot, time_us, event, id))
}
