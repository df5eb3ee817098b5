//! What is worked out of many events at once, before any state sees them.

use std::ops::Range;

use super::instructions::Instructions;
use super::keys::Key;
use crate::events::{Cells, EventLog};
use crate::features::calendar::Calendar;
use crate::features::kernels::half_life;

/// Events of one user that are walked together; few enough that what is worked out stays in the first cache, and that
/// a place fits a byte.
pub(super) const CHUNK_EVENTS: usize = 256;

/// Consecutive events of a user, newest first. Buffers only grow, and what lies beyond the events means nothing.
#[derive(Default)]
pub(super) struct Chunk {
    events: usize,
    times_us: Vec<i64>,
    types: Vec<u32>,
    /// For each key, one class an event.
    classes: Vec<Vec<u32>>,
    offset_hint: usize,
    wall_us: Vec<i64>,
    days: Vec<i32>,
    hours: Vec<u8>,
    weekdays: Vec<u8>,
    /// For each half-life, one weight an event.
    weights: Vec<Vec<f64>>,
}

/// What a plan asks to be worked out.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// How many event types the plan knows.
    pub(super) event_types: u32,
    pub(super) keys: Vec<Key>,
    pub(super) calendar: Option<Calendar>,
    pub(super) half_lives_us: Vec<i64>,
}

/// The first places of a buffer, which grows to have them.
#[inline(always)]
pub(super) fn room<T: Copy + Default>(buffer: &mut Vec<T>, places: usize) -> &mut [T] {
    if buffer.len() < places {
        buffer.resize(places, T::default());
    }
    &mut buffer[..places]
}

impl Chunk {
    pub(super) fn new(wanted: &Wanted) -> Self {
        let classes = vec![Vec::new(); wanted.keys.len()];
        Self { classes, weights: vec![Vec::new(); wanted.half_lives_us.len()], ..Self::default() }
    }

    /// Works out the events of these rows.
    pub(super) fn fill(
        &mut self,
        wanted: &Wanted,
        instructions: Instructions,
        log: &EventLog,
        columns: &[&Cells],
        rows: Range<usize>,
        end_us: i64,
    ) {
        self.events = rows.len();
        // Whole vectors, so that no instant is worked out alone.
        let whole = rows.len().next_multiple_of(half_life::LANES);
        let times_us = room(&mut self.times_us, whole);
        for (time_us, &of_log) in times_us.iter_mut().zip(log.time_us()[rows.clone()].iter().rev()) {
            *time_us = of_log;
        }
        times_us[rows.len()..].fill(end_us);
        let types = room(&mut self.types, rows.len());
        // A code beyond the event types can only come from a damaged file: such an event is of no known type.
        let unknown = wanted.event_types;
        match log.event() {
            Cells::U8(codes) => write_types(&codes[rows.clone()], unknown, types),
            Cells::U16(codes) => write_types(&codes[rows.clone()], unknown, types),
            Cells::U32(codes) => write_types(&codes[rows.clone()], unknown, types),
            // A log's event types are codes: `EventLog::from_parts` sees to it.
            _ => {}
        }
        for (classes, key) in self.classes.iter_mut().zip(&wanted.keys) {
            key.classify(types, columns, rows.clone(), room(classes, rows.len()));
        }
        if let Some(calendar) = &wanted.calendar {
            let wall_us = room(&mut self.wall_us, whole);
            calendar.wall_us(&times_us[..rows.len()], &mut self.offset_hint, wall_us);
            let (days, hours) = (room(&mut self.days, whole), room(&mut self.hours, whole));
            instructions.local_times(wall_us, days, hours, room(&mut self.weekdays, whole));
        }
        for (weights, &half_life_us) in self.weights.iter_mut().zip(&wanted.half_lives_us) {
            instructions.decays(times_us, end_us, half_life_us, room(weights, whole));
        }
    }

    pub(super) fn times_us(&self) -> &[i64] {
        &self.times_us[..self.events]
    }

    /// Event types; one more than the last is any that the log does not know.
    pub(super) fn types(&self) -> &[u32] {
        &self.types[..self.events]
    }

    pub(super) fn classes(&self, key: usize) -> &[u32] {
        &self.classes[key][..self.events]
    }

    pub(super) fn weights(&self, half_life: usize) -> &[f64] {
        &self.weights[half_life][..self.events]
    }

    /// Local days since 1970-01-01; only if something reads them, as the hours and days of the week.
    pub(super) fn days(&self) -> &[i32] {
        &self.days[..self.events]
    }

    /// Local hours, from 0.
    pub(super) fn hours(&self) -> &[u8] {
        &self.hours[..self.events]
    }

    /// Local days of the week, Monday is 0.
    pub(super) fn weekdays(&self) -> &[u8] {
        &self.weekdays[..self.events]
    }
}

#[inline(always)]
fn write_types<C: Copy + Into<u32>>(codes: &[C], unknown: u32, types: &mut [u32]) {
    for (event_type, &code) in types.iter_mut().zip(codes.iter().rev()) {
        *event_type = code.into().min(unknown);
    }
}
