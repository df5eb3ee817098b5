//! Columns of the log, gathered part by part.

use std::ops::Range;

use arrow_buffer::ScalarBuffer;
use rayon::prelude::*;

use super::numbering::SortedKeys;
use super::shuffle::Parts;
use super::stage::ChunkColumn;
use crate::events::cells::{Cell, Cells, Code, with_cells};
use crate::events::column::{ColumnKind, MISSING_CODE};
use crate::events::narrowing::{NumberRange, NumberType};
use crate::memory::zeros;

/// From this many rows on all threads gather one part.
const GATHERED_BY_ALL: usize = 1 << 18;

/// How the cells of all chunks become those of the log.
pub(super) enum Meaning {
    /// Numbers of a type that holds them all.
    Numbers(NumberType),
    /// Instants in microseconds.
    Times,
    /// Texts: for each chunk the code of the text in each place, and how many texts there are.
    Texts(Vec<Vec<u32>>, usize),
}

impl Meaning {
    /// The meaning of a column's chunks, with the dictionary of a text column.
    pub(super) fn of(kind: ColumnKind, chunks: &[&ChunkColumn], keys: Option<&SortedKeys>) -> Self {
        match (kind, keys) {
            (ColumnKind::Time, _) => Self::Times,
            (ColumnKind::Text, Some(keys)) => {
                let codes =
                    |chunk: &&ChunkColumn| chunk.numbers.iter().map(|&number| keys.rank[number as usize]).collect();
                Self::Texts(chunks.iter().map(codes).collect(), keys.rank.len())
            }
            _ => {
                let range = chunks.iter().fold(NumberRange::NOTHING, |range, chunk| range.union(chunk.range));
                Self::Numbers(range.narrowest())
            }
        }
    }

    /// A part's values as the order of events sees them.
    pub(super) fn numbers(&self, chunks: &[&ChunkColumn], parts: &Parts, part: usize) -> Vec<f64> {
        let mut numbers = Vec::with_capacity(parts.rows_of(part).len());
        for (chunk, rows) in parts.segments(part) {
            with_cells!(&chunks[chunk].cells, cells => match self {
                Self::Texts(codes, _) => {
                    let codes = &codes[chunk];
                    // NaN stands last, as a missing code does.
                    let number = |place: f64| if place.is_nan() { place } else { f64::from(codes[place as usize]) };
                    numbers.extend(cells[rows].iter().map(|cell| number(cell.number())));
                }
                _ => numbers.extend(cells[rows].iter().map(|cell| cell.number())),
            });
        }
        numbers
    }

    /// The log's cells.
    pub(super) fn gather(&self, chunks: &[&ChunkColumn], parts: &Parts, order: &[u32]) -> Cells {
        match self {
            Self::Numbers(NumberType::I8) => Cells::I8(numbers(chunks, parts, order)),
            Self::Numbers(NumberType::I16) => Cells::I16(numbers(chunks, parts, order)),
            Self::Numbers(NumberType::I32) => Cells::I32(numbers(chunks, parts, order)),
            Self::Numbers(NumberType::F32) => Cells::F32(numbers(chunks, parts, order)),
            Self::Numbers(NumberType::F64) => Cells::F64(numbers(chunks, parts, order)),
            Self::Times => Cells::I64(times(chunks, parts, order)),
            // As many texts as in `Cells::of_codes`: the mark of a missing one must stay free.
            Self::Texts(codes, distinct) if *distinct < usize::from(u8::MAX) => {
                Cells::U8(texts(chunks, codes, parts, order))
            }
            Self::Texts(codes, distinct) if *distinct < usize::from(u16::MAX) => {
                Cells::U16(texts(chunks, codes, parts, order))
            }
            Self::Texts(codes, _) => Cells::U32(texts(chunks, codes, parts, order)),
        }
    }
}

fn numbers<T: Cell + Default + Send + Sync>(chunks: &[&ChunkColumn], parts: &Parts, order: &[u32]) -> ScalarBuffer<T> {
    gather(parts, order, |chunk, rows, values: &mut [T]| {
        with_cells!(&chunks[chunk].cells, cells => {
            for (value, cell) in values.iter_mut().zip(&cells[rows]) {
                *value = T::of_number(cell.number());
            }
        });
    })
}

fn times(chunks: &[&ChunkColumn], parts: &Parts, order: &[u32]) -> ScalarBuffer<i64> {
    gather(parts, order, |chunk, rows, values: &mut [i64]| {
        if let Cells::I64(times) = &chunks[chunk].cells {
            values.copy_from_slice(&times[rows]);
        }
    })
}

fn texts<T: Code + Default + Send + Sync>(
    chunks: &[&ChunkColumn],
    codes: &[Vec<u32>],
    parts: &Parts,
    order: &[u32],
) -> ScalarBuffer<T> {
    fn recode<S: Code, T: Code>(places: &[S], codes: &[u32], values: &mut [T]) {
        for (value, place) in values.iter_mut().zip(places) {
            *value = T::of_code(codes.get(place.place()).copied().unwrap_or(MISSING_CODE));
        }
    }
    gather(parts, order, |chunk, rows, values: &mut [T]| match &chunks[chunk].cells {
        Cells::U8(places) => recode(&places[rows], &codes[chunk], values),
        Cells::U16(places) => recode(&places[rows], &codes[chunk], values),
        Cells::U32(places) => recode(&places[rows], &codes[chunk], values),
        _ => {}
    })
}

/// Reads each part's rows from the chunks with `read`, then puts them in their order.
fn gather<T, R>(parts: &Parts, order: &[u32], read: R) -> ScalarBuffer<T>
where
    T: Cell + Default + Send + Sync,
    R: Fn(usize, Range<usize>, &mut [T]) + Sync,
{
    let mut gathered = zeros::<T>(parts.rows());
    parts.split(&mut gathered).into_par_iter().enumerate().for_each_init(Vec::new, |scratch, (part, gathered)| {
        scratch.resize(gathered.len(), T::default());
        let mut start = 0;
        for (chunk, rows) in parts.segments(part) {
            let end = start + rows.len();
            read(chunk, rows, &mut scratch[start..end]);
            start = end;
        }
        let take = |(value, &place): (&mut T, &u32)| *value = scratch[place as usize];
        let order = &order[parts.rows_of(part)];
        if gathered.len() < GATHERED_BY_ALL {
            gathered.iter_mut().zip(order).for_each(take);
        } else {
            gathered.par_iter_mut().zip(order).with_min_len(GATHERED_BY_ALL / 8).for_each(take);
        }
    });
    gathered.into()
}
