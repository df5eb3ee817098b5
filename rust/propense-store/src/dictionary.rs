//! Distinct texts numbered in order of first sight, each held once.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

/// Numbers texts 0, 1, 2 …; numbers never change.
#[derive(Debug)]
pub(crate) struct Dictionary {
    bytes: String,
    ends: Vec<usize>,
    table: HashTable<u32>,
    hasher: RandomState,
}

impl Default for Dictionary {
    fn default() -> Self {
        Self::with_hasher(RandomState::default())
    }
}

impl Dictionary {
    /// An empty one whose keys are hashed as the caller hashes them.
    pub(crate) fn with_hasher(hasher: RandomState) -> Self {
        Self { bytes: String::new(), ends: Vec::new(), table: HashTable::new(), hasher }
    }

    /// How many texts there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text with a number.
    #[inline]
    pub(crate) fn text(&self, code: u32) -> &str {
        text(&self.bytes, &self.ends, code)
    }

    /// The number of a text that is there.
    pub(crate) fn find(&self, text: &str) -> Option<u32> {
        self.find_hashed(self.hasher.hash_one(text), text)
    }

    /// [`Self::find`] with the hash at hand.
    #[inline]
    pub(crate) fn find_hashed(&self, hash: u64, text: &str) -> Option<u32> {
        self.table.find(hash, |&code| self.text(code) == text).copied()
    }

    /// The number of a text, new or known.
    pub(crate) fn intern(&mut self, text: &str) -> u32 {
        let hash = self.hasher.hash_one(text);
        self.find_hashed(hash, text).unwrap_or_else(|| self.push_hashed(hash, text))
    }

    /// Adds a text that is not there.
    pub(crate) fn push_hashed(&mut self, hash: u64, new: &str) -> u32 {
        let Self { bytes, ends, table, hasher } = self;
        let code = ends.len() as u32;
        bytes.push_str(new);
        ends.push(bytes.len());
        table.insert_unique(hash, code, |&code| hasher.hash_one(text(bytes, ends, code)));
        code
    }

    /// Forgets the texts that came after there were so many.
    pub(crate) fn shorten(&mut self, count: usize) {
        for code in count as u32..self.len() as u32 {
            let hash = self.hasher.hash_one(self.text(code));
            if let Ok(entry) = self.table.find_entry(hash, |&known| known == code) {
                entry.remove();
            }
        }
        self.ends.truncate(count);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }

    /// Memory in use, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>() + self.table.allocation_size()
    }
}

#[inline]
fn text<'a>(bytes: &'a str, ends: &[usize], code: u32) -> &'a str {
    let code = code as usize;
    let start = if code == 0 { 0 } else { ends[code - 1] };
    &bytes[start..ends[code]]
}
