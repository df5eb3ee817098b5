//! When calls are due: at random, as those of many users who know nothing of each other.

use std::time::Duration;

/// Instants after the start with exponential gaps, without end.
pub(crate) struct Schedule {
    mean_gap_s: f64,
    due_s: f64,
    state: u64,
}

impl Schedule {
    pub(crate) fn new(rate: f64, seed: u64) -> Self {
        Self { mean_gap_s: 1.0 / rate, due_s: 0.0, state: seed }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let uniform = (splitmix(&mut self.state) >> 11) as f64 / (1_u64 << 53) as f64;
        self.due_s -= self.mean_gap_s * (1.0 - uniform).ln();
        Some(Duration::from_secs_f64(self.due_s))
    }
}

/// Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014.
pub(crate) fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
