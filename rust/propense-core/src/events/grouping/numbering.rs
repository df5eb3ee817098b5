//! Distinct keys of all chunks, numbered by all threads at once.
//!
//! Each part of the keys' hashes has a table of its own, so that no two threads touch one table and a table stays in
//! cache while a whole group of chunks passes by. The numbers themselves mean nothing; only the order of the keys does.

use arrow_array::LargeStringArray;
use arrow_array::builder::LargeStringBuilder;
use hashbrown::HashTable;
use rayon::prelude::*;

use super::keys::{Key, KeyList, PARTS, hash};
use super::text::{HEAD, Text};
use crate::events::dictionary::ranks;

/// Keys are numbered 0, 1, 2 … over all parts.
#[derive(Default)]
pub(super) struct Numbering {
    parts: Vec<Part>,
    len: u32,
}

/// The distinct keys of one part.
#[derive(Default)]
struct Part {
    table: HashTable<u32>,
    keys: Vec<Numbered>,
    /// All texts longer than a head, one after the other.
    long: Vec<u8>,
    /// How many keys have their number.
    numbered: usize,
}

/// A key with its number.
#[derive(Clone, Copy)]
struct Numbered {
    /// The text's head, or for a longer text its first 8 bytes and its place among the long ones.
    head: [u64; 2],
    len: u32,
    number: u32,
}

impl Numbered {
    #[inline]
    fn text<'a>(&self, long: &'a [u8]) -> Text<'a> {
        let len = self.len as usize;
        if len <= HEAD {
            let head = u128::from(self.head[0]) | u128::from(self.head[1]) << 64;
            return Text { head, len, long: &[] };
        }
        let long = &long[self.head[1] as usize..][..len];
        Text { head: long.first_chunk().map_or(0, |head| u128::from_le_bytes(*head)), len, long }
    }
}

impl Part {
    /// The place of a key among the part's.
    #[inline]
    fn place(&mut self, key: &Key, list: &KeyList) -> u32 {
        let Self { table, keys, long, .. } = self;
        let found = if key.len as usize <= HEAD {
            table.find(key.hash, |&place| {
                let known = &keys[place as usize];
                known.head == key.head && known.len == key.len
            })
        } else {
            table.find(key.hash, |&place| {
                let known = &keys[place as usize];
                known.head[0] == key.head[0] && known.len == key.len && known.text(long).long == list.text(key).long
            })
        };
        if let Some(&place) = found {
            return place;
        }
        let place = keys.len() as u32;
        let mut head = key.head;
        if key.len as usize > HEAD {
            head[1] = long.len() as u64;
            long.extend_from_slice(list.text(key).long);
        }
        keys.push(Numbered { head, len: key.len, number: 0 });
        table.insert_unique(key.hash, place, |&place| hash(keys[place as usize].text(long)));
        place
    }
}

impl Numbering {
    /// For each list the numbers of its keys, by their place before partitioning; the lists must be partitioned.
    pub(super) fn number(&mut self, lists: &[&KeyList]) -> Vec<Vec<u32>> {
        self.parts.resize_with(PARTS, Part::default);
        let mut numbers: Vec<Vec<u32>> = self
            .parts
            .par_iter_mut()
            .enumerate()
            .with_min_len(PARTS / 64)
            .map(|(at, part)| {
                let mut places = Vec::with_capacity(lists.iter().map(|list| list.of_part(at).len()).sum());
                for list in lists {
                    places.extend(list.of_part(at).iter().map(|key| part.place(key, list)));
                }
                places
            })
            .collect();
        for part in &mut self.parts {
            for key in &mut part.keys[part.numbered..] {
                key.number = self.len;
                self.len += 1;
            }
            part.numbered = part.keys.len();
        }
        self.parts.par_iter().zip(&mut numbers).with_min_len(PARTS / 64).for_each(|(part, numbers)| {
            for number in numbers.iter_mut() {
                *number = part.keys[*number as usize].number;
            }
        });
        let mut seen = vec![0; PARTS];
        let firsts = lists.iter().map(|list| {
            let firsts = seen.clone();
            seen.iter_mut().enumerate().for_each(|(at, seen)| *seen += list.of_part(at).len());
            firsts
        });
        let firsts: Vec<Vec<usize>> = firsts.collect();
        lists.par_iter().zip(firsts).map(|(list, firsts)| by_place(list, &numbers, &firsts)).collect()
    }

    /// The keys in ascending order of their bytes.
    pub(super) fn sorted(self) -> SortedKeys {
        let (keys, long) = self.by_number();
        SortedKeys::of(keys, long)
    }

    /// The integers that the keys are, ascending, and for each number its place in that order.
    pub(super) fn sorted_integers(self) -> (Vec<i64>, Vec<u32>) {
        let (keys, _) = self.by_number();
        let mut entries: Vec<(i64, u32)> = keys.iter().map(|key| (key.head[0] as i64, key.number)).collect();
        entries.par_sort_unstable();
        let rank = ranks(&entries.iter().map(|&(_, number)| number).collect::<Vec<_>>());
        (entries.into_iter().map(|(integer, _)| integer).collect(), rank)
    }

    fn by_number(self) -> (Vec<Numbered>, Vec<u8>) {
        let mut keys = vec![Numbered { head: [0; 2], len: 0, number: 0 }; self.len as usize];
        let mut long = Vec::new();
        for part in self.parts {
            for mut key in part.keys {
                if key.len as usize > HEAD {
                    key.head[1] += long.len() as u64;
                }
                keys[key.number as usize] = key;
            }
            long.extend_from_slice(&part.long);
        }
        (keys, long)
    }
}

/// The numbers of a list's keys by their place, out of those by part, where the list's begin at `firsts`.
fn by_place(list: &KeyList, of_parts: &[Vec<u32>], firsts: &[usize]) -> Vec<u32> {
    let mut numbers = vec![0; list.len()];
    for (at, (of_part, &first)) in of_parts.iter().zip(firsts).enumerate() {
        for (key, &number) in list.of_part(at).iter().zip(&of_part[first..]) {
            numbers[key.place as usize] = number;
        }
    }
    numbers
}

/// Distinct keys in ascending order.
pub(super) struct SortedKeys {
    keys: Vec<Numbered>,
    long: Vec<u8>,
    /// The numbers in ascending order of their keys.
    order: Vec<u32>,
    /// For each number its place in that order.
    pub(super) rank: Vec<u32>,
}

impl SortedKeys {
    fn of(keys: Vec<Numbered>, long: Vec<u8>) -> Self {
        let first_bytes = |key: &Numbered| key.text(&long).head.swap_bytes();
        // Ids often begin alike ("user-000…"): eight bytes after what is common to all decide nearly every comparison.
        let one = keys.first().map_or(0, first_bytes);
        let common = keys.par_iter().map(|key| first_bytes(key) ^ one).reduce(|| 0, |a, b| a | b).leading_zeros();
        let digest = |key: &Numbered| (first_bytes(key).checked_shl(common).unwrap_or(0) >> 64) as u64;
        let mut entries: Vec<(u64, u32)> = keys.par_iter().map(|key| (digest(key), key.number)).collect();
        entries.par_sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| {
                let (a, b) = (keys[a.1 as usize].text(&long), keys[b.1 as usize].text(&long));
                let heads = a.head.swap_bytes().cmp(&b.head.swap_bytes());
                // Heads are padded with zeros: of two equal ones without a tail, the shorter text stands first.
                heads.then_with(|| if a.len.max(b.len) <= HEAD { a.len.cmp(&b.len) } else { compare_tails(a, b) })
            })
        });
        let order: Vec<u32> = entries.into_iter().map(|(_, number)| number).collect();
        let rank = ranks(&order);
        Self { keys, long, order, rank }
    }

    /// Calls `each` with every key in ascending order; bytes that are not text count as empty.
    fn for_each(&self, mut each: impl FnMut(&str)) {
        for &number in &self.order {
            let text = self.keys[number as usize].text(&self.long);
            let head = text.head.to_le_bytes();
            let bytes = if text.len <= HEAD { &head[..text.len] } else { text.long };
            each(std::str::from_utf8(bytes).unwrap_or_default());
        }
    }

    /// The keys as texts.
    pub(super) fn texts(&self) -> Vec<String> {
        let mut texts = Vec::with_capacity(self.order.len());
        self.for_each(|text| texts.push(text.to_owned()));
        texts
    }

    /// The keys as an array.
    pub(super) fn array(&self) -> LargeStringArray {
        let bytes = self.keys.iter().map(|key| key.len as usize).sum();
        let mut array = LargeStringBuilder::with_capacity(self.order.len(), bytes);
        self.for_each(|text| array.append_value(text));
        array.finish()
    }
}

/// The order of two texts with equal heads, of which at least one is longer than a head.
fn compare_tails(a: Text<'_>, b: Text<'_>) -> std::cmp::Ordering {
    // A text without a tail is a head and zeros only if it is shorter than the other.
    match (a.len > HEAD, b.len > HEAD) {
        (true, true) => a.long.cmp(b.long),
        (a_is_long, _) => a_is_long.cmp(&!a_is_long),
    }
}
