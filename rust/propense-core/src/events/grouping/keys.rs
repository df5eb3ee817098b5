//! Keys (user ids, texts) of a chunk of rows, partitioned by their hash.

use std::hash::BuildHasher;

use foldhash::quality::FixedState;
use hashbrown::HashTable;

use super::text::{HEAD, Text};

/// Into how many parts keys are partitioned by their hash, so that the table of one part stays in cache.
pub(super) const PARTS: usize = 256;
/// Texts seen last are found without a search of the table, each in the slot that its hash names.
const SLOTS: usize = 512;

/// The hash of a text: of its head if that is all of it.
#[inline]
pub(super) fn hash(text: Text<'_>) -> u64 {
    let hasher = FixedState::with_seed(0);
    if text.len <= HEAD { hasher.hash_one(text.head) } else { hasher.hash_one(text.long) }
}

/// The part of a hash; its bits are neither those that choose a table's bucket nor those that tag its entries.
#[inline]
fn part(hash: u64) -> usize {
    (hash >> 40) as usize % PARTS
}

/// A text without its tail.
#[derive(Clone, Copy)]
pub(super) struct Key {
    /// Low and high half of the text's head.
    pub(super) head: [u64; 2],
    pub(super) hash: u64,
    pub(super) len: u32,
    /// The key's place in its list before partitioning.
    pub(super) place: u32,
}

/// Keys with, for those longer than a head, the whole text.
#[derive(Default)]
pub(super) struct KeyList {
    keys: Vec<Key>,
    /// As many as the keys, from before they were partitioned.
    spare: Vec<Key>,
    long: Vec<u8>,
    /// Where the long text of the key in a place begins; ends at the last long one.
    long_starts: Vec<usize>,
    /// Where each part's keys begin, once partitioned.
    part_starts: Vec<u32>,
}

impl KeyList {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Appends a key and gives its place.
    #[inline]
    pub(super) fn push(&mut self, text: Text<'_>, hash: u64) -> u32 {
        let place = self.keys.len() as u32;
        let head = [text.head as u64, (text.head >> 64) as u64];
        self.keys.push(Key { head, hash, len: text.len as u32, place });
        if text.len > HEAD {
            self.long_starts.resize(self.keys.len() - 1, 0);
            self.long_starts.push(self.long.len());
            self.long.extend_from_slice(text.long);
        }
        place
    }

    /// Whether the key in a place, before partitioning, is a text.
    #[inline]
    fn is(&self, place: u32, text: Text<'_>) -> bool {
        let key = &self.keys[place as usize];
        key.head == [text.head as u64, (text.head >> 64) as u64]
            && key.len as usize == text.len
            && (text.len <= HEAD || self.text(key).long == text.long)
    }

    /// The text of one of the list's keys.
    #[inline]
    pub(super) fn text(&self, key: &Key) -> Text<'_> {
        let len = key.len as usize;
        let long = if len > HEAD {
            let start = self.long_starts[key.place as usize];
            &self.long[start..start + len]
        } else {
            &[]
        };
        Text { head: u128::from(key.head[0]) | u128::from(key.head[1]) << 64, len, long }
    }

    /// Puts keys of the same part side by side.
    pub(super) fn partition(&mut self) {
        let mut starts = vec![0_u32; PARTS + 1];
        for key in &self.keys {
            starts[part(key.hash) + 1] += 1;
        }
        for place in 1..=PARTS {
            starts[place] += starts[place - 1];
        }
        let mut next = starts.clone();
        let mut sorted = std::mem::take(&mut self.spare);
        sorted.resize(self.keys.len(), Key { head: [0; 2], hash: 0, len: 0, place: 0 });
        for key in &self.keys {
            let place = &mut next[part(key.hash)];
            sorted[*place as usize] = *key;
            *place += 1;
        }
        self.spare = std::mem::replace(&mut self.keys, sorted);
        self.part_starts = starts;
    }

    /// The keys of a part, once partitioned.
    #[inline]
    pub(super) fn of_part(&self, part: usize) -> &[Key] {
        &self.keys[self.part_starts[part] as usize..self.part_starts[part + 1] as usize]
    }
}

/// The keys of user ids: one for each run of equal ids, as logs often come with a user's events side by side.
pub(super) struct RunKeys {
    list: KeyList,
}

impl RunKeys {
    /// No keys yet.
    pub(super) fn in_memory_of(mut spare: KeyList) -> Self {
        spare.keys.clear();
        spare.long.clear();
        spare.long_starts.clear();
        Self { list: spare }
    }

    /// The place of a text's key: the last one's, or a new one.
    #[inline]
    pub(super) fn place(&mut self, text: Text<'_>) -> u32 {
        let last = (self.list.len() as u32).wrapping_sub(1);
        if last != u32::MAX && self.list.is(last, text) { last } else { self.list.push(text, hash(text)) }
    }

    pub(super) fn into_list(self) -> KeyList {
        self.list
    }
}

/// The keys of texts that recur: one for each distinct text.
pub(super) struct DistinctKeys {
    list: KeyList,
    table: HashTable<u32>,
    recent: Vec<u32>,
}

impl Default for DistinctKeys {
    fn default() -> Self {
        Self { list: KeyList::default(), table: HashTable::new(), recent: vec![u32::MAX; SLOTS] }
    }
}

impl DistinctKeys {
    /// The place of a text's key.
    #[inline]
    pub(super) fn place(&mut self, text: Text<'_>) -> u32 {
        let hash = hash(text);
        let slot = hash as usize % SLOTS;
        let recent = self.recent[slot];
        if recent != u32::MAX && self.list.is(recent, text) {
            return recent;
        }
        self.recent[slot] = self.find_or_push(text, hash);
        self.recent[slot]
    }

    fn find_or_push(&mut self, text: Text<'_>, hash: u64) -> u32 {
        let Self { list, table, .. } = self;
        if let Some(&place) = table.find(hash, |&place| list.is(place, text)) {
            return place;
        }
        let place = list.push(text, hash);
        table.insert_unique(hash, place, |&place| list.keys[place as usize].hash);
        place
    }

    pub(super) fn into_list(self) -> KeyList {
        self.list
    }
}
