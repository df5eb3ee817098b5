//! The bins of a tile with AVX-512: rows become columns in registers, and a search tree is walked by permutes.
#![allow(unsafe_code, reason = "loads and stores of whole vectors take pointers")]

use std::arch::x86_64::{
    __m512i, _CMP_UNORD_Q, _mm512_add_epi32, _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_cmpge_epi32_mask,
    _mm512_loadu_si512, _mm512_mask_add_epi32, _mm512_mask_blend_epi32, _mm512_mask_mov_epi8, _mm512_maskz_loadu_epi32,
    _mm512_packus_epi16, _mm512_packus_epi32, _mm512_permutex2var_epi32, _mm512_permutexvar_epi32, _mm512_set1_epi8,
    _mm512_set1_epi32, _mm512_setr_epi32, _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_srai_epi32,
    _mm512_srli_epi32, _mm512_store_si512, _mm512_sub_epi32, _mm512_test_epi32_mask, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use super::avx512::store;
use super::bins::{Bins, Group};
use super::program::{Line, TILE};
use super::search_tree::SearchTrees;

/// Sixteen features of a tile, feature after feature.
#[repr(C, align(64))]
struct Features([[u32; TILE]; 16]);

/// Writes the bins of up to 64 rows of `width` values; rows beyond the last one repeat it.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn bin(bins: &Bins, trees: &SearchTrees, rows: &[f32], width: usize, columns: &mut [Line]) {
    let mut features = Features([[0; TILE]; 16]);
    let (mut sixteen, mut feature) = (usize::MAX, u32::MAX);
    let (mut keys, mut missing) = ([_mm512_setzero_si512(); 4], 0);
    for (group, &(first, levels)) in bins.groups.iter().zip(&trees.trees) {
        if group.feature != feature {
            feature = group.feature;
            if feature as usize / 16 != sixteen {
                sixteen = feature as usize / 16;
                transpose(rows, width, 16 * sixteen, &mut features);
            }
            (keys, missing) = keys_of(&features.0[feature as usize % 16]);
        }
        let tree = &trees.bounds[first..first + (1 << levels).max(16)];
        let ranks = match levels {
            0 => search::<0>(tree, &keys),
            1 => search::<1>(tree, &keys),
            2 => search::<2>(tree, &keys),
            3 => search::<3>(tree, &keys),
            4 => search::<4>(tree, &keys),
            5 => search::<5>(tree, &keys),
            6 => search::<6>(tree, &keys),
            7 => search::<7>(tree, &keys),
            _ => search::<8>(tree, &keys),
        };
        write_columns(group, ranks, missing, columns);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn write_columns(group: &Group, ranks: __m512i, missing: u64, columns: &mut [Line]) {
    if let Some(column) = group.missing_low {
        store(&mut columns[column as usize], _mm512_mask_mov_epi8(ranks, missing, _mm512_setzero_si512()));
    }
    if let Some(column) = group.missing_high {
        let beyond = _mm512_set1_epi8((group.bounds.len() as u8 + 1) as i8);
        store(&mut columns[column as usize], _mm512_mask_mov_epi8(ranks, missing, beyond));
    }
}

/// The keys of a feature's values, see [`super::rule::key`], and a bit for each that is NaN.
#[inline]
#[target_feature(enable = "avx512f")]
fn keys_of(values: &[u32; TILE]) -> ([__m512i; 4], u64) {
    let (mut keys, mut missing) = ([_mm512_setzero_si512(); 4], 0);
    for (quarter, key) in keys.iter_mut().enumerate() {
        // SAFETY: sixteen values from a multiple of 16 on are within the 64.
        let bits = unsafe { _mm512_loadu_si512(values[16 * quarter..].as_ptr().cast()) };
        let float = _mm512_castsi512_ps(bits);
        missing |= u64::from(_mm512_cmp_ps_mask::<_CMP_UNORD_Q>(float, float)) << (16 * quarter);
        *key = _mm512_xor_si512(bits, _mm512_srli_epi32::<1>(_mm512_srai_epi32::<31>(bits)));
    }
    (keys, missing)
}

/// How many bounds of a search tree are at or below each key, as bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn search<const LEVELS: u32>(tree: &[i32], keys: &[__m512i; 4]) -> __m512i {
    let one = _mm512_set1_epi32(1);
    let mut places = [one; 4];
    for level in 0..LEVELS {
        for (place, &key) in places.iter_mut().zip(keys) {
            let bound = bound::<LEVELS>(tree, level, *place);
            let double = _mm512_add_epi32(*place, *place);
            *place = _mm512_mask_add_epi32(double, _mm512_cmpge_epi32_mask(key, bound), double, one);
        }
    }
    let first = _mm512_set1_epi32(1 << LEVELS);
    let [a, b, c, d] = places.map(|place| _mm512_sub_epi32(place, first));
    // Packing goes by quarters of vectors; the permute puts the rows in order again.
    let packed = _mm512_packus_epi16(_mm512_packus_epi32(a, b), _mm512_packus_epi32(c, d));
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_permutexvar_epi32(order, packed)
}

/// The bounds at places of one level.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn bound<const LEVELS: u32>(tree: &[i32], level: u32, places: __m512i) -> __m512i {
    let sixteen = |number: usize| {
        let bounds = &tree[16 * number..16 * number + 16];
        // SAFETY: the slice holds 16 bounds.
        unsafe { _mm512_loadu_si512(bounds.as_ptr().cast()) }
    };
    let of_32 = |number| _mm512_permutex2var_epi32(sixteen(number), places, sixteen(number + 1));
    let bit = |bit| _mm512_test_epi32_mask(places, _mm512_set1_epi32(bit));
    match level {
        0..4 => _mm512_permutexvar_epi32(places, sixteen(0)),
        4 => _mm512_permutexvar_epi32(places, sixteen(1)),
        5 => of_32(2),
        6 => _mm512_mask_blend_epi32(bit(32), of_32(4), of_32(6)),
        _ => {
            let lower = _mm512_mask_blend_epi32(bit(32), of_32(8), of_32(10));
            let upper = _mm512_mask_blend_epi32(bit(32), of_32(12), of_32(14));
            _mm512_mask_blend_epi32(bit(64), lower, upper)
        }
    }
}

/// Turns sixteen features from `first` on: rows of `width` values become lines of 64.
#[target_feature(enable = "avx512f")]
fn transpose(rows: &[f32], width: usize, first: usize, features: &mut Features) {
    let last = rows.len() / width - 1;
    let taken = (width - first).min(16);
    let mask = (0xffff_u32 >> (16 - taken)) as u16;
    for quarter in 0..4 {
        let mut lines = [_mm512_setzero_si512(); 16];
        for (place, line) in lines.iter_mut().enumerate() {
            let start = (16 * quarter + place).min(last) * width + first;
            let values = &rows[start..start + taken];
            // SAFETY: the mask keeps the load within the slice.
            *line = unsafe { _mm512_maskz_loadu_epi32(mask, values.as_ptr().cast()) };
        }
        let turned = transpose_16(&lines);
        for (feature, line) in features.0.iter_mut().zip(turned) {
            // SAFETY: sixteen values from a multiple of 16 on are within the 64, and aligned as the whole is.
            unsafe { _mm512_store_si512(feature[16 * quarter..].as_mut_ptr().cast(), line) };
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn transpose_16(rows: &[__m512i; 16]) -> [__m512i; 16] {
    let mut fours = [_mm512_setzero_si512(); 16];
    for (fours, rows) in fours.as_chunks_mut::<4>().0.iter_mut().zip(rows.as_chunks::<4>().0) {
        let (a, b) = (_mm512_unpacklo_epi32(rows[0], rows[1]), _mm512_unpackhi_epi32(rows[0], rows[1]));
        let (c, d) = (_mm512_unpacklo_epi32(rows[2], rows[3]), _mm512_unpackhi_epi32(rows[2], rows[3]));
        *fours = [
            _mm512_unpacklo_epi64(a, c),
            _mm512_unpackhi_epi64(a, c),
            _mm512_unpacklo_epi64(b, d),
            _mm512_unpackhi_epi64(b, d),
        ];
    }
    // Quarter q of fours[4r + c] is column 4q + c of rows 4r to 4r + 3.
    let mut columns = [_mm512_setzero_si512(); 16];
    for c in 0..4 {
        let (a, b, c_rows, d) = (fours[c], fours[4 + c], fours[8 + c], fours[12 + c]);
        let (even, odd) = (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xdd>(a, b));
        let (even_2, odd_2) = (_mm512_shuffle_i32x4::<0x88>(c_rows, d), _mm512_shuffle_i32x4::<0xdd>(c_rows, d));
        columns[c] = _mm512_shuffle_i32x4::<0x88>(even, even_2);
        columns[4 + c] = _mm512_shuffle_i32x4::<0x88>(odd, odd_2);
        columns[8 + c] = _mm512_shuffle_i32x4::<0xdd>(even, even_2);
        columns[12 + c] = _mm512_shuffle_i32x4::<0xdd>(odd, odd_2);
    }
    columns
}
