//! What is worked out of event times alone, for many events at once.

use crate::features::calendar::{Calendar, LocalTime};
use crate::features::kernels::half_life::decays;

/// Events of one user that are walked together; few enough that what is worked out stays in the first cache.
pub(super) const CHUNK_EVENTS: usize = 256;

/// Local times and decays of consecutive events, oldest first.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// Empty if nothing reads the calendar.
    pub(super) local: Vec<LocalTime>,
    /// For each half-life, one weight an event.
    pub(super) weights: Vec<Vec<f64>>,
    offset_hint: usize,
}

impl Chunk {
    pub(super) fn new(half_lives: usize) -> Self {
        Self { local: Vec::new(), weights: vec![Vec::new(); half_lives], offset_hint: 0 }
    }

    /// Works out the events at these times.
    pub(super) fn fill(&mut self, times_us: &[i64], end_us: i64, calendar: Option<&Calendar>, half_lives_us: &[i64]) {
        if let Some(calendar) = calendar {
            let Self { local, offset_hint, .. } = self;
            local.clear();
            local.extend(times_us.iter().map(|&time_us| calendar.local(time_us, offset_hint)));
        }
        for (weights, &half_life_us) in self.weights.iter_mut().zip(half_lives_us) {
            decays(times_us, end_us, half_life_us, weights);
        }
    }
}
