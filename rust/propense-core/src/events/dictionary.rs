//! Distinct texts, numbered in order of first sight without an allocation a row.

use std::hash::BuildHasher;

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use rayon::slice::ParallelSliceMut;

/// Numbers distinct texts 0, 1, 2 … in order of first sight.
#[derive(Debug)]
pub(super) struct Interner {
    table: HashTable<u32>,
    hasher: FixedState,
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

impl Default for Interner {
    fn default() -> Self {
        Self { table: HashTable::new(), hasher: FixedState::with_seed(0), ends: vec![0], bytes: Vec::new() }
    }
}

impl Interner {
    /// The number of a text, new or known.
    pub(super) fn intern(&mut self, text: &str) -> u32 {
        let Self { table, hasher, ends, bytes } = self;
        let hash = hasher.hash_one(text.as_bytes());
        if let Some(&id) = table.find(hash, |&id| slice(ends, bytes, id) == text.as_bytes()) {
            return id;
        }
        let id = (ends.len() - 1) as u32;
        bytes.extend_from_slice(text.as_bytes());
        ends.push(bytes.len());
        table.insert_unique(hash, id, |&id| hasher.hash_one(slice(ends, bytes, id)));
        id
    }

    fn len(&self) -> usize {
        self.ends.len() - 1
    }

    /// The text with a number.
    pub(super) fn text(&self, id: u32) -> &str {
        // Only whole `&str`s were appended, so the bytes are always valid.
        std::str::from_utf8(slice(&self.ends, &self.bytes, id)).unwrap_or_default()
    }

    /// The numbers in ascending byte order of their texts, and for each number its place in that order.
    pub(super) fn sorted(&self) -> (Vec<u32>, Vec<u32>) {
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        order.par_sort_unstable_by_key(|&id| slice(&self.ends, &self.bytes, id));
        let rank = ranks(&order);
        (order, rank)
    }
}

/// For each number its place in an order of all numbers.
pub(super) fn ranks(order: &[u32]) -> Vec<u32> {
    let mut rank = vec![0; order.len()];
    for (place, &id) in order.iter().enumerate() {
        rank[id as usize] = place as u32;
    }
    rank
}

fn slice<'a>(ends: &[usize], bytes: &'a [u8], id: u32) -> &'a [u8] {
    &bytes[ends[id as usize]..ends[id as usize + 1]]
}
