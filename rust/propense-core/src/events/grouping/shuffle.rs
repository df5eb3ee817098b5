//! Chunks whose rows are partitioned by ranges of users.
//!
//! Each chunk is put in order of part while it is in cache. A part then reads a short run of every chunk, and all it
//! touches fits in cache; as parts are ranges of users in ascending order, each part writes a range of the log of its own.

use std::ops::Range;

use rayon::prelude::*;

use super::stage::{Chunk, ChunkColumn};
use crate::events::cells::Cells;

/// More parts would make the runs of one part in one chunk too short to be worth a jump.
const MOST_PARTS: usize = 1024;

/// Where the rows of each part stand, in the chunks and in the log.
pub(super) struct Parts {
    /// A user's part is their rank without its lowest bits.
    shift: u32,
    users: usize,
    /// Where each part's rows begin in the log; one more than parts.
    starts: Vec<usize>,
    /// For each chunk where each part's rows begin.
    chunk_starts: Vec<Vec<u32>>,
}

impl Parts {
    /// Turns the chunks' users from numbers into ranks and puts the rows of each chunk in order of part.
    pub(super) fn shuffle(chunks: &mut [Chunk], rank: &[u32], rows_per_part: usize) -> Self {
        let rows: usize = chunks.iter().map(|chunk| chunk.users.len()).sum();
        let wanted = (rows / rows_per_part).clamp(1, MOST_PARTS).next_power_of_two();
        let shift = rank.len().div_ceil(wanted).next_power_of_two().trailing_zeros();
        let parts = rank.len().div_ceil(1 << shift).max(1);
        let chunk_starts: Vec<Vec<u32>> =
            chunks.par_iter_mut().map(|chunk| shuffle_chunk(chunk, rank, shift, parts)).collect();
        let mut starts = vec![0; parts + 1];
        for of_chunk in &chunk_starts {
            for (start, &of_chunk) in starts.iter_mut().zip(of_chunk) {
                *start += of_chunk as usize;
            }
        }
        Self { shift, users: rank.len(), starts, chunk_starts }
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// How many parts there are.
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// A part's rows in the log.
    pub(super) fn rows_of(&self, part: usize) -> Range<usize> {
        self.starts[part]..self.starts[part + 1]
    }

    /// The ranks of a part's users.
    pub(super) fn users_of(&self, part: usize) -> Range<usize> {
        let first = part << self.shift;
        first..(first + (1 << self.shift)).min(self.users)
    }

    /// For each chunk, a part's rows in it.
    pub(super) fn segments(&self, part: usize) -> impl Iterator<Item = (usize, Range<usize>)> + '_ {
        let of_chunk =
            move |(chunk, starts): (usize, &Vec<u32>)| (chunk, starts[part] as usize..starts[part + 1] as usize);
        self.chunk_starts.iter().enumerate().map(of_chunk).filter(|(_, rows)| !rows.is_empty())
    }

    /// A slice of the log cut into the parts' own.
    pub(super) fn split<'a, T>(&self, mut rows: &'a mut [T]) -> Vec<&'a mut [T]> {
        let cut = |part| rows.split_off_mut(..self.rows_of(part).len()).unwrap_or_default();
        (0..self.len()).map(cut).collect()
    }
}

fn shuffle_chunk(chunk: &mut Chunk, rank: &[u32], shift: u32, parts: usize) -> Vec<u32> {
    let mut starts = vec![0_u32; parts + 1];
    for user in &mut chunk.users {
        *user = rank[*user as usize];
        starts[(*user >> shift) as usize + 1] += 1;
    }
    for part in 0..parts {
        starts[part + 1] += starts[part];
    }
    if !chunk.users.is_sorted_by_key(|user| user >> shift) {
        let mut next = starts.clone();
        let mut order = vec![0; chunk.users.len()];
        for (row, user) in chunk.users.iter().enumerate() {
            let place = &mut next[(user >> shift) as usize];
            order[*place as usize] = row as u32;
            *place += 1;
        }
        chunk.users = taken(&chunk.users, &order);
        chunk.time_us = taken(&chunk.time_us, &order);
        for ChunkColumn { cells, .. } in &mut chunk.columns {
            *cells = std::mem::replace(cells, Cells::U8(Vec::new().into())).gather(&order);
        }
    }
    starts
}

fn taken<T: Copy>(values: &[T], rows: &[u32]) -> Vec<T> {
    rows.iter().map(|&row| values[row as usize]).collect()
}
