//! Rows in any order, grouped by user on all threads.
//!
//! 1. [`piece`]: a run of a batch's rows is checked and converted.
//! 2. [`stage`]: about 64k rows at a time become a chunk of narrow columns; user ids and texts become [`keys`],
//!    which [`numbering`] numbers for a whole group of chunks, part by part of their hashes. The batches can then go.
//! 3. [`shuffle`]: once all users are known and ranked, each chunk is put in order of ranges of users.
//! 4. [`order`] and [`gather`]: each range of users is sorted and written to its own place in the log.
//!
//! Every step is split by rows, hashes or users, never by threads, and what the threads decide (which user has which
//! number) leaves no trace: the log is the same to the bit on any number of them.

mod gather;
mod keys;
mod numbering;
mod order;
mod piece;
mod shuffle;
mod stage;
mod text;

use arrow_buffer::ScalarBuffer;
use rayon::prelude::*;

use self::gather::Meaning;
use self::keys::KeyList;
use self::numbering::{Numbering, SortedKeys};
use self::order::PartOrder;
pub(super) use self::piece::{Piece, Roles};
use self::shuffle::Parts;
use self::stage::{Chunk, ChunkColumn, UnnumberedChunk};
use super::cells::Cells;
use super::column::{Column, ColumnKind};
use super::log::Events;
use super::users::UserIds;
use crate::memory::zeros;

/// Rows staged so far.
#[derive(Default)]
pub(super) struct Staged {
    users: Numbering,
    /// Of each column, the event type first; unused for columns that are not text.
    texts: Vec<Numbering>,
    chunks: Vec<Chunk>,
    /// Lists of user keys to be used again: their memory, once touched, is worth keeping.
    spare: Vec<KeyList>,
}

impl Staged {
    /// Adds rows, about `chunk_rows` a chunk; pieces hold no more than that each.
    pub(super) fn append(&mut self, pieces: Vec<Piece>, chunk_rows: usize) {
        let mut runs: Vec<(usize, Vec<Piece>)> = Vec::new();
        for piece in pieces.into_iter().filter(|piece| piece.rows > 0) {
            match runs.last_mut() {
                Some((rows, run)) if *rows + piece.rows <= chunk_rows => {
                    *rows += piece.rows;
                    run.push(piece);
                }
                _ => runs.push((piece.rows, vec![piece])),
            }
        }
        self.spare.resize_with(self.spare.len().max(runs.len()), KeyList::default);
        let spare = self.spare.split_off(self.spare.len() - runs.len());
        let chunks: Vec<UnnumberedChunk> =
            runs.into_par_iter().zip(spare).map(|((_, pieces), spare)| UnnumberedChunk::of(&pieces, spare)).collect();
        let Some(columns) = chunks.first().map(|chunk| chunk.text_keys.len()) else { return };
        self.texts.resize_with(columns, Numbering::default);

        let users = self.users.number(&chunks.iter().map(|chunk| &chunk.user_keys).collect::<Vec<_>>());
        let texts: Vec<Vec<Vec<u32>>> = self
            .texts
            .par_iter_mut()
            .enumerate()
            .map(|(at, texts)| texts.number(&chunks.iter().map(|chunk| &chunk.text_keys[at]).collect::<Vec<_>>()))
            .collect();
        let mut of_chunks: Vec<Vec<Vec<u32>>> = (0..chunks.len()).map(|_| Vec::with_capacity(columns)).collect();
        for of_column in texts {
            of_chunks.iter_mut().zip(of_column).for_each(|(of_chunk, numbers)| of_chunk.push(numbers));
        }
        let numbered = chunks.into_par_iter().zip(users).zip(of_chunks);
        let numbered: (Vec<Chunk>, Vec<KeyList>) =
            numbered.map(|((chunk, users), texts)| chunk.numbered(&users, texts)).unzip();
        self.chunks.extend(numbered.0);
        self.spare.extend(numbered.1);
    }

    /// The parts of the log.
    pub(super) fn group(self, roles: &Roles, chunk_rows: usize, dropped: u64) -> Events {
        let Self { users, texts, mut chunks, spare } = self;
        drop(spare);
        let (users, rank) = if roles.users_are_text {
            let keys = users.sorted();
            (UserIds::Texts(keys.array()), keys.rank)
        } else {
            let (ids, rank) = users.sorted_integers();
            (UserIds::Integers(ids.into()), rank)
        };
        // Half as many rows a part as a chunk: a part holds a column twice.
        let parts = Parts::shuffle(&mut chunks, &rank, (chunk_rows / 2).max(1));
        drop(rank);

        let kinds: Vec<ColumnKind> =
            [ColumnKind::Text].into_iter().chain(roles.properties.iter().map(|(_, kind)| *kind)).collect();
        let mut texts = texts.into_iter();
        let dictionaries: Vec<Option<SortedKeys>> = kinds
            .iter()
            .map(|kind| (texts.next().unwrap_or_default(), *kind))
            .map(|(texts, kind)| (kind == ColumnKind::Text).then(|| texts.sorted()))
            .collect();
        let meanings: Vec<Meaning> = kinds
            .iter()
            .zip(&dictionaries)
            .enumerate()
            .map(|(at, (&kind, keys))| Meaning::of(kind, &of_column(&chunks, at), keys.as_ref()))
            .collect();
        let (offsets, time_us, order) = ordered(&chunks, &parts, &meanings);
        for chunk in &mut chunks {
            (chunk.users, chunk.time_us) = (Vec::new(), Vec::new());
        }
        let mut gathered = (0..kinds.len()).map(|at| {
            let cells = meanings[at].gather(&of_column(&chunks, at), &parts, &order);
            // What is gathered is let go, so that the log never stands in memory twice.
            for chunk in &mut chunks {
                chunk.columns[at].cells = Cells::U8(Vec::new().into());
            }
            (cells, dictionaries[at].as_ref().map_or_else(Vec::new, SortedKeys::texts))
        });
        let (event, event_types) = gathered.next().unwrap_or_else(|| (Cells::U8(Vec::new().into()), Vec::new()));
        let column = |((name, kind), (cells, dictionary)): (&(String, ColumnKind), (Cells, Vec<String>))| Column {
            name: name.clone(),
            kind: *kind,
            cells,
            dictionary,
        };
        let columns = roles.properties.iter().zip(gathered).map(column).collect();
        Events { users, offsets, time_us, event, event_types, columns, dropped }
    }
}

/// A column's chunks.
fn of_column(chunks: &[Chunk], at: usize) -> Vec<&ChunkColumn> {
    chunks.iter().map(|chunk| &chunk.columns[at]).collect()
}

/// Where users begin, the times in canonical order, and that order as places among each part's rows.
fn ordered(chunks: &[Chunk], parts: &Parts, meanings: &[Meaning]) -> (ScalarBuffer<u64>, ScalarBuffer<i64>, Vec<u32>) {
    let rows = parts.rows();
    let users = parts.users_of(parts.len() - 1).end;
    let (mut offsets, mut time_us, mut order) = (vec![0; users + 1], zeros(rows), zeros(rows));
    offsets[users] = rows as u64;
    let mut left = &mut offsets[..users];
    let of_users: Vec<&mut [u64]> =
        (0..parts.len()).map(|part| left.split_off_mut(..parts.users_of(part).len()).unwrap_or_default()).collect();
    let slices = of_users.into_par_iter().zip(parts.split(&mut time_us)).zip(parts.split(&mut order)).enumerate();
    slices.for_each(|(part, ((offsets, time_us), order))| {
        let column = |at: usize| Some(meanings.get(at)?.numbers(&of_column(chunks, at), parts, part));
        PartOrder { offsets, time_us, order }.fill(parts, part, chunks, &column);
    });
    (offsets.into(), time_us.into(), order)
}
