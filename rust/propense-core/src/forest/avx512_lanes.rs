//! Explanations with AVX-512: sixteen rows to an instruction.
#![allow(unsafe_code, reason = "intrinsics are inlined into a function that is compiled for them")]
#![allow(clippy::inline_always, reason = "instructions of a target feature reach only what is inlined")]

use std::arch::x86_64::{
    __m512, _mm512_add_pd, _mm512_add_ps, _mm512_castps512_ps256, _mm512_cmpge_epu8_mask, _mm512_cvtps_pd,
    _mm512_extractf32x8_ps, _mm512_load_pd, _mm512_load_ps, _mm512_mask_mov_ps, _mm512_maskz_mov_ps, _mm512_mul_ps,
    _mm512_set1_epi8, _mm512_set1_ps, _mm512_store_pd, _mm512_store_ps, _mm512_sub_ps,
};

use super::avx512::load;
use super::explain::lanes::{Lanes, Room, Sums, explain};
use super::explain::paths::PathTree;
use super::explain::sixteen::Sixteen;
use super::program::Line;

/// A register of sixteen numbers. There are none but within [`explain_avx512`].
#[derive(Clone, Copy)]
struct Register(__m512);

/// [`explain`], compiled for processors with AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn explain_avx512(tree: &PathTree, columns: &[Line], room: &mut Room, reads: usize, sums: &mut [Sums]) {
    explain::<Register>(tree, columns, room, reads, sums);
}

// SAFETY of all that follows: only `explain_avx512` uses a register, and may run only where the instructions exist; what is
// loaded and stored is of 64 bytes or 128, aligned to 64.
impl Sixteen for Register {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    fn load(from: &Lanes) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_load_ps(from.0.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, into: &mut Lanes) {
        // SAFETY: as above.
        unsafe { _mm512_store_ps(into.0.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn either(bits: u16, set: f32, clear: f32) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_mask_mov_ps(_mm512_set1_ps(clear), bits, _mm512_set1_ps(set)) })
    }

    #[inline(always)]
    fn within(self, bits: u16) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_maskz_mov_ps(bits, self.0) })
    }

    #[inline(always)]
    fn add_to(self, sums: &mut Sums) {
        let (low, high) = sums.0.split_at_mut(8);
        // SAFETY: as above.
        unsafe {
            let (first, last) = (_mm512_castps512_ps256(self.0), _mm512_extractf32x8_ps::<1>(self.0));
            _mm512_store_pd(low.as_mut_ptr(), _mm512_add_pd(_mm512_load_pd(low.as_ptr()), _mm512_cvtps_pd(first)));
            _mm512_store_pd(high.as_mut_ptr(), _mm512_add_pd(_mm512_load_pd(high.as_ptr()), _mm512_cvtps_pd(last)));
        }
    }

    #[inline(always)]
    fn at_least(line: &Line, rank: u8) -> u64 {
        // SAFETY: as above.
        unsafe { _mm512_cmpge_epu8_mask(load(line), _mm512_set1_epi8(rank.cast_signed())) }
    }
}
