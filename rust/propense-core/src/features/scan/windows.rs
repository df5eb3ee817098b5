//! How many of a user's events each window holds.

use std::ops::Range;

use super::instructions::Instructions;
use crate::features::plan::{ALL_HISTORY, Period};

/// Windows are compared this many at a time with places ...
pub(super) const WINDOW_LANES: usize = 16;
/// ... and this many with instants, which are wider.
pub(super) const INSTANT_LANES: usize = 8;

/// The windows of a plan before one `as_of`, and where they end among a user's events.
///
/// Of all but the count of windows there are a whole number of [`WINDOW_LANES`].
pub(super) struct Windows {
    count: usize,
    end_us: i64,
    /// The earliest instant of each window, ascending windows; later windows reach further back.
    starts_us: Vec<i64>,
    /// The first window that does not end before the current chunk.
    open: usize,
    /// How many of the chunk's newest events each window holds; ascending.
    held: Vec<u16>,
}

impl Windows {
    pub(super) fn new(windows_us: &[i64], period: Period) -> Self {
        let (count, lanes) = (windows_us.len(), windows_us.len().next_multiple_of(WINDOW_LANES));
        let mut windows = Self { count, end_us: 0, starts_us: vec![i64::MIN; lanes], open: 0, held: vec![0; lanes] };
        windows.move_to(windows_us, period);
        windows
    }

    pub(super) fn move_to(&mut self, windows_us: &[i64], period: Period) {
        let earliest_us = period.start_us.unwrap_or(i64::MIN);
        self.end_us = period.end_us;
        for (start_us, &window_us) in self.starts_us.iter_mut().zip(windows_us) {
            *start_us = match window_us {
                ALL_HISTORY => earliest_us,
                _ => period.end_us.saturating_sub(window_us).max(earliest_us),
            };
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn end_us(&self) -> i64 {
        self.end_us
    }

    /// The places of those events, of times that ascend, that the longest window holds.
    pub(super) fn within(&self, times_us: &[i64]) -> Range<usize> {
        let start_us = self.count.checked_sub(1).map_or(self.end_us, |longest| self.starts_us[longest]);
        let end = match times_us.last() {
            Some(&last_us) if last_us >= self.end_us => times_us.partition_point(|&time_us| time_us < self.end_us),
            _ => times_us.len(),
        };
        let start = match times_us[..end].first() {
            Some(&first_us) if first_us < start_us => times_us[..end].partition_point(|&time_us| time_us < start_us),
            _ => 0,
        };
        start..end
    }

    /// Moves on to a chunk of events at these times, newest first; `before` is how many events the user's chunk before it
    /// had, if there was one. The longest window holds all of them, as [`Self::within`] says.
    pub(super) fn enter(&mut self, instructions: Instructions, times_us: &[i64], before: Option<usize>) {
        // A window that held all of the chunk before may hold more. In a user's first chunk every window is open, even one
        // that holds nothing.
        let over = |before| self.held[..self.count].partition_point(|&held| usize::from(held) < before);
        self.open = before.map_or(0, over);
        // The longest window holds whatever is walked.
        let Some(longest) = self.count.checked_sub(1) else { return };
        let lanes = self.held.as_chunks_mut().0.iter_mut().zip(self.starts_us.as_chunks().0);
        for (held, starts_us) in lanes.take(longest.div_ceil(INSTANT_LANES)) {
            instructions.count_held(times_us, starts_us, held);
        }
        self.held[longest] = times_us.len() as u16;
    }

    /// The first window that does not end before the chunk: the chunk's events change those from it on.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// For each window, how many of the chunk's newest events it holds.
    pub(super) fn held(&self) -> &[u16] {
        &self.held
    }

    /// For each window, how many it holds of some events of the chunk, given by their places from the newest.
    pub(super) fn held_of(&self, instructions: Instructions, places: &[u8], held: &mut [u16]) {
        for (held, ends) in held.as_chunks_mut().0.iter_mut().zip(self.held.as_chunks().0) {
            instructions.count_places(places, ends, held);
        }
    }
}

/// Counts the instants from each start on.
#[inline(always)]
pub(super) fn count_held(times_us: &[i64], starts_us: &[i64; INSTANT_LANES], held: &mut [u16; INSTANT_LANES]) {
    // As wide as what is compared, so that no vector has to be narrowed in the loop.
    let mut counts = [0_i64; INSTANT_LANES];
    for &time_us in times_us {
        for (count, &start_us) in counts.iter_mut().zip(starts_us) {
            *count += i64::from(time_us >= start_us);
        }
    }
    *held = counts.map(|count| count as u16);
}

/// Counts the places before each end.
#[inline(always)]
pub(super) fn count_places(places: &[u8], ends: &[u16; WINDOW_LANES], held: &mut [u16; WINDOW_LANES]) {
    let ends = ends.map(|end| end as i16);
    let mut counts = [0_i16; WINDOW_LANES];
    for &place in places {
        for (count, &end) in counts.iter_mut().zip(&ends) {
            *count += i16::from(i16::from(place) < end);
        }
    }
    *held = counts.map(|count| count as u16);
}
