//! One row with AVX-512: bins by two comparisons a feature, tests by lookups of bytes.
//!
//! Needs the VBMI part beside those that tiles need.
#![allow(unsafe_code, reason = "loads and stores of whole vectors take pointers")]

use std::arch::x86_64::{
    __m512i, _mm512_andnot_si512, _mm512_cmpge_epu8_mask, _mm512_cmple_epi32_mask, _mm512_load_si512,
    _mm512_mask_mov_epi8, _mm512_maskz_mov_epi8, _mm512_movepi8_mask, _mm512_or_si512, _mm512_permutex2var_epi8,
    _mm512_set1_epi8, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_storeu_si512,
};

use super::avx512::load;
use super::one_row::{LINE, OneRow, RowBins, Sixteen, TEAM_LINES, Tests};
use super::rule::key;

/// Writes the bins of a row, and then all planes in the order of the program, `TEAM_LINES` lines a team.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")]
pub(super) fn planes(forest: &OneRow, row: &[f32], bins: &mut RowBins, planes: &mut [[u8; LINE]]) {
    write_bins(forest, row, bins);
    if forest.has_second { clear::<true>(forest, bins, planes) } else { clear::<false>(forest, bins, planes) }
}

#[target_feature(enable = "avx512f,popcnt")]
fn write_bins(forest: &OneRow, row: &[f32], bins: &mut RowBins) {
    for ranked in &forest.ranked {
        let number = row[ranked.feature as usize];
        let keys = _mm512_set1_epi32(key(number));
        let line = at_or_below(&forest.bounds[ranked.first], keys);
        let rank = 16 * line + at_or_below(&forest.bounds[ranked.first + 1 + usize::from(line)], keys);
        let (low, high) = if number.is_nan() { (0, ranked.most) } else { (rank, rank) };
        bins.set(ranked.missing_low, low);
        bins.set(ranked.missing_high, high);
    }
}

/// How many of sixteen boundaries are at or below the key that `keys` repeats.
#[inline]
#[target_feature(enable = "avx512f,popcnt")]
fn at_or_below(bounds: &Sixteen, keys: __m512i) -> u8 {
    // SAFETY: sixteen i32 are 64 bytes, here aligned to 64.
    let bounds = unsafe { _mm512_load_si512(bounds.0.as_ptr().cast()) };
    _mm512_cmple_epi32_mask(bounds, keys).count_ones() as u8
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn clear<const SECOND: bool>(forest: &OneRow, bins: &RowBins, planes: &mut [[u8; LINE]]) {
    let table = |first: usize| [0, 1, 2, 3].map(|line| load(&bins.0[first + line]));
    let (first, second) = (table(0), table(4));
    let mut tests = forest.tests.iter();
    for (team, planes) in forest.teams.iter().zip(planes.as_chunks_mut::<TEAM_LINES>().0) {
        let mut cleared = [_mm512_setzero_si512(); TEAM_LINES];
        for (cleared, &rounds) in cleared.iter_mut().zip(&team.rounds) {
            for tests in tests.by_ref().take(rounds) {
                let columns = load(&tests.columns);
                let mut bins = found(first, columns);
                if SECOND {
                    bins = _mm512_mask_mov_epi8(bins, tests.second, found(second, columns));
                }
                let right = clears(tests, bins);
                *cleared = _mm512_or_si512(*cleared, _mm512_maskz_mov_epi8(right, load(&tests.clears)));
            }
        }
        for (plane, places) in planes.iter_mut().zip(&team.places) {
            let left = _mm512_andnot_si512(found(cleared, load(places)), _mm512_set1_epi8(-1));
            // SAFETY: a line is 64 bytes.
            unsafe { _mm512_storeu_si512(plane.as_mut_ptr().cast(), left) };
        }
    }
}

/// Which tests clear leaves.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn clears(tests: &Tests, bins: __m512i) -> u64 {
    _mm512_cmpge_epu8_mask(bins, load(&tests.ranks)) ^ tests.below
}

/// The bytes at places of a table of 256.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn found(table: [__m512i; 4], places: __m512i) -> __m512i {
    let [first, second, third, fourth] = table;
    let low = _mm512_permutex2var_epi8(first, places, second);
    let high = _mm512_permutex2var_epi8(third, places, fourth);
    _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(places), high)
}
