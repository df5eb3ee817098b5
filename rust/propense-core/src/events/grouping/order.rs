//! The canonical order of a part's rows: by user, then by time, ties broken by the whole row.

use rayon::slice::ParallelSliceMut;

use super::shuffle::Parts;
use super::stage::Chunk;

/// From this many events on all threads sort one user's.
const SORTED_BY_ALL: usize = 1 << 16;

/// What a part writes: the slices of the log that are its own.
pub(super) struct PartOrder<'a> {
    /// Where each of the part's users begins in the log.
    pub(super) offsets: &'a mut [u64],
    pub(super) time_us: &'a mut [i64],
    /// Places among the part's rows as they stand in the chunks, one segment after the other.
    pub(super) order: &'a mut [u32],
}

/// A time and a place in one integer that sorts as the pair does.
trait Packed: Copy + Ord + Send + Default {
    fn pack(since: u64, place: u32, place_bits: u32) -> Self;
    fn since(self, place_bits: u32) -> u64;
    fn place(self, place_bits: u32) -> u32;
}

macro_rules! packed {
    ($($type:ty),*) => {$(
        impl Packed for $type {
            #[inline]
            fn pack(since: u64, place: u32, place_bits: u32) -> Self {
                Self::from(since) << place_bits | Self::from(place)
            }

            #[inline]
            fn since(self, place_bits: u32) -> u64 {
                (self >> place_bits) as u64
            }

            #[inline]
            fn place(self, place_bits: u32) -> u32 {
                (self & ((1 << place_bits) - 1)) as u32
            }
        }
    )*};
}

packed!(u64, u128);

impl PartOrder<'_> {
    /// Fills the slices of a part; `column` gives the values of the part's rows in a column, the event type first.
    pub(super) fn fill(self, parts: &Parts, part: usize, chunks: &[Chunk], column: &dyn Fn(usize) -> Option<Vec<f64>>) {
        let segments = || parts.segments(part);
        let times = segments().flat_map(|(chunk, rows)| &chunks[chunk].time_us[rows]);
        let (earliest, latest) =
            times.fold((i64::MAX, i64::MIN), |(earliest, latest), &time| (earliest.min(time), latest.max(time)));
        let span = if earliest > latest { 0 } else { latest.wrapping_sub(earliest) as u64 };
        let place_bits = usize::BITS - self.order.len().leading_zeros();
        if place_bits <= span.leading_zeros() {
            self.fill_packed::<u64>(parts, part, chunks, column, (earliest, place_bits));
        } else {
            self.fill_packed::<u128>(parts, part, chunks, column, (earliest, place_bits));
        }
    }

    fn fill_packed<P: Packed>(
        self,
        parts: &Parts,
        part: usize,
        chunks: &[Chunk],
        column: &dyn Fn(usize) -> Option<Vec<f64>>,
        (earliest, place_bits): (i64, u32),
    ) {
        let Self { offsets, time_us, order } = self;
        let (first_user, first_row) = (parts.users_of(part).start, parts.rows_of(part).start);
        // Each user's next place in the part; after the scatter, where the user ends.
        let mut ends = vec![0_u32; offsets.len()];
        for (chunk, rows) in parts.segments(part) {
            for &user in &chunks[chunk].users[rows] {
                ends[user as usize - first_user] += 1;
            }
        }
        let mut start = 0;
        for (offset, end) in offsets.iter_mut().zip(&mut ends) {
            *offset = (first_row + start) as u64;
            start += std::mem::replace(end, start as u32) as usize;
        }
        let mut events = vec![P::default(); order.len()];
        let mut place = 0;
        for (chunk, rows) in parts.segments(part) {
            let users = &chunks[chunk].users[rows.clone()];
            for (&user, &time) in users.iter().zip(&chunks[chunk].time_us[rows]) {
                let next = &mut ends[user as usize - first_user];
                events[*next as usize] = P::pack(time.wrapping_sub(earliest) as u64, place, place_bits);
                *next += 1;
                place += 1;
            }
        }
        let mut ties = Vec::new();
        let mut start = 0;
        for end in ends {
            let end = end as usize;
            sort_user(&mut events[start..end]);
            find_ties(&events[start..end], place_bits, start, &mut ties);
            start = end;
        }
        for ((event, time), place) in events.iter().zip(time_us).zip(order.iter_mut()) {
            *time = earliest.wrapping_add(event.since(place_bits) as i64);
            *place = event.place(place_bits);
        }
        break_ties(order, ties, column);
    }
}

fn sort_user<P: Packed>(events: &mut [P]) {
    if events.is_sorted() {
        return;
    }
    if events.len() < SORTED_BY_ALL { events.sort_unstable() } else { events.par_sort_unstable() }
}

/// Adds the runs of a user's events at one instant, as places in the part; `start` is the first event's.
fn find_ties<P: Packed>(events: &[P], place_bits: u32, start: usize, ties: &mut Vec<(u32, u32)>) {
    let mut first = 0;
    for next in 1..=events.len() {
        if next == events.len() || events[next].since(place_bits) != events[first].since(place_bits) {
            if next - first > 1 {
                ties.push(((start + first) as u32, (start + next) as u32));
            }
            first = next;
        }
    }
}

/// Puts runs of rows in order of one column after the other, until none are equal or no column is left.
fn break_ties(order: &mut [u32], mut ties: Vec<(u32, u32)>, column: &dyn Fn(usize) -> Option<Vec<f64>>) {
    for place in 0.. {
        if ties.is_empty() {
            return;
        }
        let Some(values) = column(place) else { return };
        let mut left = Vec::new();
        for (start, end) in ties {
            let compare = |a: &u32, b: &u32| values[*a as usize].total_cmp(&values[*b as usize]);
            let rows = &mut order[start as usize..end as usize];
            if rows.len() < SORTED_BY_ALL {
                rows.sort_unstable_by(compare);
            } else {
                rows.par_sort_unstable_by(compare);
            }
            let mut first = start;
            for run in rows.chunk_by(|a, b| compare(a, b).is_eq()) {
                if run.len() > 1 {
                    left.push((first, first + run.len() as u32));
                }
                first += run.len() as u32;
            }
        }
        ties = left;
    }
}
