//! User ids as numbers, in little memory.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use rayon::prelude::*;

/// Ids that one thread looks for at a time.
const FOUND_TOGETHER: usize = 512;

/// Ids that were given numbers 0, 1, 2, …; a number is never given again.
#[derive(Default)]
pub(super) struct UserTable {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    numbers: HashTable<u32>,
    hasher: RandomState,
}

impl UserTable {
    /// How many numbers were given, those of the forgotten included.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// A user's id; once forgotten, as many NULs.
    pub(super) fn id(&self, user: u32) -> &str {
        str::from_utf8(id_of(&self.bytes, &self.ends, user)).unwrap_or_default()
    }

    /// A user's number, if there is one.
    pub(super) fn find(&self, id: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(id.as_bytes());
        self.numbers.find(hash, |&user| id_of(&self.bytes, &self.ends, user) == id.as_bytes()).copied()
    }

    /// [`Self::find`] of many, on all threads: most of it is waiting for memory.
    pub(super) fn find_all(&self, ids: &[String]) -> Vec<Option<u32>> {
        ids.par_iter().with_min_len(FOUND_TOGETHER).map(|id| self.find(id)).collect()
    }

    /// A user's number, given now if there was none.
    pub(super) fn insert(&mut self, id: &str) -> u32 {
        if let Some(user) = self.find(id) {
            return user;
        }
        let user = self.ends.len() as u32;
        self.bytes.extend_from_slice(id.as_bytes());
        self.ends.push(self.bytes.len());
        let Self { bytes, ends, numbers, hasher } = self;
        let hash = hasher.hash_one(id.as_bytes());
        numbers.insert_unique(hash, user, |&user| hasher.hash_one(id_of(bytes, ends, user)));
        user
    }

    /// Forgets a user's id.
    pub(super) fn forget(&mut self, user: u32) {
        let hash = self.hasher.hash_one(id_of(&self.bytes, &self.ends, user));
        if let Ok(entry) = self.numbers.find_entry(hash, |&known| known == user) {
            entry.remove();
        }
        let start = user.checked_sub(1).map_or(0, |before| self.ends[before as usize]);
        self.bytes[start..self.ends[user as usize]].fill(0);
    }
}

fn id_of<'a>(bytes: &'a [u8], ends: &[usize], user: u32) -> &'a [u8] {
    let start = user.checked_sub(1).map_or(0, |before| ends[before as usize]);
    &bytes[start..ends[user as usize]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_their_numbers_and_the_forgotten_leave_no_byte() {
        let mut table = UserTable::default();
        let ids: Vec<String> = (0..500).map(|number| format!("user {number}\0é")).collect();
        for (number, id) in ids.iter().enumerate() {
            assert_eq!(table.find(id), None);
            assert_eq!(table.insert(id), number as u32);
            assert_eq!(table.insert(id), number as u32);
        }
        let known: Vec<Option<u32>> = (0..500).map(Some).collect();
        assert_eq!(table.find_all(&ids), known);
        table.forget(7);
        assert_eq!(table.find_all(&ids[6..9]), [Some(6), None, Some(8)]);
        assert_eq!(table.find(&ids[7]), None);
        assert!(table.id(7).bytes().all(|byte| byte == 0));
        assert!(!table.bytes.windows(6).any(|bytes| bytes == b"user 7\0"));
        assert_eq!(table.find(&ids[8]), Some(8));
        assert_eq!(table.id(8), ids[8]);
        assert_eq!(table.insert(&ids[7]), 500);
    }
}
