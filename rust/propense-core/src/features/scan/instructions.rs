//! Loops that become vectors, compiled for more than one set of instructions; which there are is found out at run time.
#![allow(unsafe_code, reason = "functions compiled for more than the base instructions may run only where those exist")]

use super::lanes::{COUNT_LANES, DECAY_LANES, add_counts, add_decays};
use super::windows::{INSTANT_LANES, WINDOW_LANES, count_held, count_places};
use crate::features::kernels::extent::write_extents;
use crate::features::kernels::half_life::decays;
use crate::features::kernels::local_time::local_times;

/// A set of instructions that this machine has. All give the same bits: the code is the same, and nothing is reordered
/// or contracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instructions(Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    /// What every processor of the target has.
    Base,
    /// 256-bit vectors.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512-bit vectors.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Instructions {
    /// Those of this machine, the best last.
    pub(super) fn available() -> Vec<Self> {
        let mut sets = vec![Self(Set::Base)];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            sets.push(Self(Set::Avx2));
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                sets.push(Self(Set::Avx512));
            }
        }
        sets
    }

    pub(super) fn best() -> Self {
        Self::available().pop().unwrap_or(Self(Set::Base))
    }
}

/// Makes a method of a function that is inlined, so that each set of instructions has its own copy of it.
macro_rules! compiled_for_each_set {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),*);)*) => {
        impl Instructions {$(
            $(#[$doc])*
            #[inline]
            pub(super) fn $name(self, $($argument: $type),*) {
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2")]
                fn avx2($($argument: $type),*) {
                    $name($($argument),*);
                }
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512($($argument: $type),*) {
                    $name($($argument),*);
                }
                match self.0 {
                    Set::Base => $name($($argument),*),
                    // SAFETY: `available` has seen that the machine has the instructions.
                    #[cfg(target_arch = "x86_64")]
                    Set::Avx2 => unsafe { avx2($($argument),*) },
                    // SAFETY: as above.
                    #[cfg(target_arch = "x86_64")]
                    Set::Avx512 => unsafe { avx512($($argument),*) },
                }
            }
        )*}
    };
}

compiled_for_each_set! {
    /// See [`decays()`].
    fn decays(times_us: &[i64], end_us: i64, half_life_us: i64, weights: &mut [f64]);
    /// See [`local_times()`].
    fn local_times(local_us: &[i64], days: &mut [i32], hours: &mut [u8], weekdays: &mut [u8]);
    /// See [`add_counts()`].
    fn add_counts(
        rows: &[[u32; COUNT_LANES]],
        classes: &[u32],
        counts: &mut [u32; COUNT_LANES],
        after: &mut [[u32; COUNT_LANES]]
    );
    /// See [`add_decays()`].
    fn add_decays(rows: &[[u64; DECAY_LANES]], classes: &[u32], weights: &[f64], sums: &mut [f64; DECAY_LANES]);
    /// See [`write_extents()`].
    fn write_extents(counts: &[u32], newest_us: &[i64], oldest_us: &[i64], end_us: i64, days: &mut [f64]);
    /// See [`count_held()`].
    fn count_held(times_us: &[i64], starts_us: &[i64; INSTANT_LANES], held: &mut [u16; INSTANT_LANES]);
    /// See [`count_places()`].
    fn count_places(places: &[u8], ends: &[u16; WINDOW_LANES], held: &mut [u16; WINDOW_LANES]);
    /// See [`narrow()`].
    fn narrow(counts: &[u32], numbers: &[f64], values: &mut [f32]);
}

/// Writes counts, and then numbers, as they stand in a matrix.
#[inline(always)]
fn narrow(counts: &[u32], numbers: &[f64], values: &mut [f32]) {
    let (of_counts, of_numbers) = values.split_at_mut(counts.len());
    for (value, &count) in of_counts.iter_mut().zip(counts) {
        *value = count as f32;
    }
    for (value, &number) in of_numbers.iter_mut().zip(numbers) {
        *value = number as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What every loop makes of events whose numbers look random.
    fn bits(instructions: Instructions) -> Vec<u64> {
        let mixed = |place: u64| (place + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let times_us: Vec<i64> = (0..256).map(|place| (mixed(place) >> 12).cast_signed()).collect();
        let end_us = 1 << 52;
        let classes: Vec<u32> = (0..256).map(|place| (mixed(place) >> 62) as u32).collect();
        let mut weights = vec![0.0; 256];
        instructions.decays(&times_us, end_us, 86_400_000_000 * 3_000, &mut weights);
        let (mut days, mut hours, mut weekdays) = (vec![0; 256], vec![0; 256], vec![0; 256]);
        instructions.local_times(&times_us, &mut days, &mut hours, &mut weekdays);
        let (mut counts, mut after) = ([3; COUNT_LANES], vec![[0; COUNT_LANES]; 256]);
        let rows: Vec<[u32; COUNT_LANES]> = (0..4).map(|class| [class; COUNT_LANES]).collect();
        instructions.add_counts(&rows, &classes, &mut counts, &mut after);
        let masks: Vec<[u64; DECAY_LANES]> = (0..4).map(|class| [[0, u64::MAX][class % 2]; DECAY_LANES]).collect();
        let mut sums = [0.5; DECAY_LANES];
        instructions.add_decays(&masks, &classes, &weights, &mut sums);
        let mut extents = vec![0.0; 3 * 256];
        instructions.write_extents(&classes, &times_us, &times_us, end_us, &mut extents);
        let (mut held_of_instants, mut held, mut held_of_list) =
            ([0; INSTANT_LANES], [0; WINDOW_LANES], [0; WINDOW_LANES]);
        let starts_us = std::array::from_fn(|window| 1 << (52 - window));
        instructions.count_held(&times_us, &starts_us, &mut held_of_instants);
        held[..INSTANT_LANES].copy_from_slice(&held_of_instants);
        instructions.count_places(&hours, &held, &mut held_of_list);
        let mut values = vec![0.0; 512];
        instructions.narrow(&classes, &weights, &mut values);
        let numbers = weights.iter().chain(&sums).chain(&extents).map(|number| number.to_bits());
        let whole = days.iter().map(|&day| day as u64).chain(hours.iter().chain(&weekdays).map(|&hour| hour.into()));
        let counts = counts.iter().chain(after.as_flattened()).map(|&count| count.into());
        let held = held.iter().chain(&held_of_list).map(|&held| held.into());
        numbers
            .chain(whole)
            .chain(counts)
            .chain(held)
            .chain(values.iter().map(|value| value.to_bits().into()))
            .collect()
    }

    #[test]
    fn every_set_of_instructions_gives_the_same_bits() {
        let base = bits(Instructions(Set::Base));
        for instructions in Instructions::available() {
            assert_eq!(bits(instructions), base, "{instructions:?}");
        }
    }
}
