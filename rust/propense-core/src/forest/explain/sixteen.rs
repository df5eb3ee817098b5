//! Sixteen numbers at a time.
#![allow(clippy::inline_always, reason = "instructions of a target feature reach only what is inlined")]

use super::lanes::{Lanes, Sums};
use crate::forest::program::{Line, TILE};

/// Sixteen numbers, in whatever the processor has for that. All kinds give the same bits.
pub(in crate::forest) trait Sixteen: Copy {
    fn splat(value: f32) -> Self;
    fn load(from: &Lanes) -> Self;
    fn store(self, into: &mut Lanes);
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    /// One of two numbers, the first where the bit is set.
    fn either(bits: u16, set: f32, clear: f32) -> Self;
    /// 0 where the bit is clear.
    fn within(self, bits: u16) -> Self;
    fn add_to(self, sums: &mut Sums);
    /// A bit for each of 64 rows whose bin is a rank or above.
    fn at_least(line: &Line, rank: u8) -> u64;
}

/// What every processor of the target has.
#[derive(Clone, Copy)]
pub(in crate::forest) struct Portable([f32; 16]);

impl Portable {
    #[inline(always)]
    fn with(mut self, other: Self, combined: impl Fn(f32, f32) -> f32) -> Self {
        for (one, other) in self.0.iter_mut().zip(&other.0) {
            *one = combined(*one, *other);
        }
        self
    }
}

impl Sixteen for Portable {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; 16])
    }

    #[inline(always)]
    fn load(from: &Lanes) -> Self {
        Self(from.0)
    }

    #[inline(always)]
    fn store(self, into: &mut Lanes) {
        into.0 = self.0;
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.with(other, |one, other| one + other)
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self.with(other, |one, other| one - other)
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        self.with(other, |one, other| one * other)
    }

    #[inline(always)]
    fn either(bits: u16, set: f32, clear: f32) -> Self {
        let mut lanes = [clear; 16];
        for (place, lane) in lanes.iter_mut().enumerate() {
            *lane = if u32::from(bits) & (1 << place) != 0 { set } else { *lane };
        }
        Self(lanes)
    }

    #[inline(always)]
    fn within(mut self, bits: u16) -> Self {
        for (place, lane) in self.0.iter_mut().enumerate() {
            *lane = if u32::from(bits) & (1 << place) != 0 { *lane } else { 0.0 };
        }
        self
    }

    #[inline(always)]
    fn add_to(self, sums: &mut Sums) {
        for (sum, lane) in sums.0.iter_mut().zip(self.0) {
            *sum += f64::from(lane);
        }
    }

    #[inline(always)]
    fn at_least(line: &Line, rank: u8) -> u64 {
        let mut high = [0_u8; TILE];
        for (high, &bin) in high.iter_mut().zip(&line.0) {
            *high = u8::from(bin >= rank);
        }
        // Each product has the lowest bits of eight bytes side by side in its highest byte.
        high.as_chunks::<8>().0.iter().enumerate().fold(0, |bits, (place, eight)| {
            bits | (u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * place)
        })
    }
}
