//! The trees of a tile with AVX-512: 64 rows to an instruction.
//!
//! Needs the F, BW, DQ and VL parts. No gathers but for trees of more than 64 leaves, and no branches that depend
//! on a row.
#![allow(unsafe_code, reason = "loads and stores of whole vectors take pointers")]

use std::arch::asm;
use std::arch::x86_64::{
    __m512, __m512i, _mm512_add_pd, _mm512_and_si512, _mm512_castps512_ps256, _mm512_castsi512_si128,
    _mm512_cmpge_epu8_mask, _mm512_cvtepu8_epi32, _mm512_cvtps_pd, _mm512_extractf32x8_ps, _mm512_extracti32x4_epi32,
    _mm512_i32gather_ps, _mm512_load_pd, _mm512_load_si512, _mm512_loadu_ps, _mm512_mask_blend_epi8,
    _mm512_mask_blend_ps, _mm512_mask_mov_epi8, _mm512_maskz_mov_epi8, _mm512_or_si512, _mm512_permutex2var_ps,
    _mm512_permutexvar_ps, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_shuffle_epi8,
    _mm512_srli_epi16, _mm512_store_pd, _mm512_store_si512, _mm512_sub_epi8, _mm512_test_epi8_mask,
    _mm512_test_epi32_mask,
};

use super::portable::clear_sets;
use super::program::{Block, Entry, Index, Line, Program, Table, Totals};

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(line: &Line) -> __m512i {
    // SAFETY: a line is 64 bytes, aligned to 64.
    unsafe { _mm512_load_si512(line.0.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(line: &mut Line, bytes: __m512i) {
    // SAFETY: a line is 64 bytes, aligned to 64.
    unsafe { _mm512_store_si512(line.0.as_mut_ptr().cast(), bytes) }
}

/// Adds the leaf values of all trees to `totals`, one line of 64 an output.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn add_trees(program: &Program, columns: &[Line], planes: &mut [Line], totals: &mut [Totals]) {
    assert!(columns.len() >= program.bins.columns as usize, "a column for each of the program's");
    for block in &program.blocks {
        clear(block, columns, planes);
        clear_sets(block, columns, planes);
        for tree in &block.trees {
            let leaves = match tree.index {
                Index::Planes { first, count } => lowest(&planes[first..first + count]),
                Index::Levels { first, count } => answers(block, first, count, columns),
            };
            for table in &program.tables[tree.tables.0..tree.tables.0 + tree.tables.1] {
                add_values(program, *table, leaves, &mut totals[table.output]);
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn clear(block: &Block, columns: &[Line], planes: &mut [Line]) {
    let (mut entries, mut targets) = (block.entries.as_slice(), block.targets.as_slice());
    for run in &block.runs {
        let (own, rest) = entries.split_at(run.entries * run.planes);
        let (into, more) = targets.split_at(run.planes);
        (entries, targets) = (rest, more);
        // A count known to the compiler makes one straight line of instructions of a plane.
        match run.entries {
            1 => clear_run::<1>(own, into, columns, planes),
            2 => clear_run::<2>(own, into, columns, planes),
            3 => clear_run::<3>(own, into, columns, planes),
            4 => clear_run::<4>(own, into, columns, planes),
            5 => clear_run::<5>(own, into, columns, planes),
            6 => clear_run::<6>(own, into, columns, planes),
            7 => clear_run::<7>(own, into, columns, planes),
            8 => clear_run::<8>(own, into, columns, planes),
            9 => clear_run::<9>(own, into, columns, planes),
            10 => clear_run::<10>(own, into, columns, planes),
            11 => clear_run::<11>(own, into, columns, planes),
            12 => clear_run::<12>(own, into, columns, planes),
            13 => clear_run::<13>(own, into, columns, planes),
            14 => clear_run::<14>(own, into, columns, planes),
            count => clear_long_run(own, count, into, columns, planes),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn clear_run<const COUNT: usize>(entries: &[Entry], targets: &[usize], columns: &[Line], planes: &mut [Line]) {
    let (entries, _) = entries.as_chunks::<COUNT>();
    for (entries, &target) in entries.iter().zip(targets) {
        let mut left = _mm512_set1_epi8(-1);
        for entry in entries {
            left = _mm512_and_si512(left, survivors(entry, columns));
        }
        store(&mut planes[target], left);
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn clear_long_run(entries: &[Entry], count: usize, targets: &[usize], columns: &[Line], planes: &mut [Line]) {
    for (number, &target) in targets.iter().enumerate() {
        let mut left = _mm512_set1_epi8(-1);
        for entry in &entries[number * count..(number + 1) * count] {
            left = _mm512_and_si512(left, survivors(entry, columns));
        }
        store(&mut planes[target], left);
    }
}

/// The leaves that an entry leaves possible for each row.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn survivors(entry: &Entry, columns: &[Line]) -> __m512i {
    let (rank, if_high, if_low);
    // Broadcasts straight from memory cost no shuffle; written as intrinsics they become loads and shuffles.
    // SAFETY: the three words lie in the entry, at the offsets that its `repr(C)` gives them.
    unsafe {
        asm!(
            "vpbroadcastd {rank}, dword ptr [{entry} + 4]",
            "vpbroadcastd {if_high}, dword ptr [{entry} + 8]",
            "vpbroadcastd {if_low}, dword ptr [{entry} + 12]",
            entry = in(reg) std::ptr::from_ref(entry),
            rank = lateout(zmm_reg) rank,
            if_high = lateout(zmm_reg) if_high,
            if_low = lateout(zmm_reg) if_low,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    // SAFETY: `add_trees` has seen that all of the program's columns are there.
    let bins = load(unsafe { columns.get_unchecked(entry.column as usize) });
    _mm512_mask_blend_epi8(_mm512_cmpge_epu8_mask(bins, rank), if_low, if_high)
}

/// The number of the lowest bit left in a tree's planes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn lowest(planes: &[Line]) -> __m512i {
    let (mut left, mut base) = (_mm512_set1_epi8(-1), _mm512_setzero_si512());
    for (place, plane) in planes.iter().enumerate().rev() {
        let bits = load(plane);
        let any = _mm512_test_epi8_mask(bits, bits);
        left = _mm512_mask_mov_epi8(left, any, bits);
        base = _mm512_mask_mov_epi8(base, any, _mm512_set1_epi8((8 * place) as i8));
    }
    let low = _mm512_and_si512(left, _mm512_sub_epi8(_mm512_setzero_si512(), left));
    // One bit of eight is set: its number is looked up by nibble, 0 for the nibble it is not in.
    let nibble = _mm512_set1_epi8(0x0f);
    let lower = _mm512_shuffle_epi8(bytes_by(0, 1, 2, 3), _mm512_and_si512(low, nibble));
    let upper = _mm512_shuffle_epi8(bytes_by(4, 5, 6, 7), _mm512_and_si512(_mm512_srli_epi16::<4>(low), nibble));
    _mm512_or_si512(base, _mm512_or_si512(lower, upper))
}

/// A table for byte shuffles with these values at 1, 2, 4 and 8, else 0.
#[inline]
#[target_feature(enable = "avx512f")]
fn bytes_by(one: u32, two: u32, four: u32, eight: u32) -> __m512i {
    use std::arch::x86_64::_mm512_set4_epi32;
    _mm512_set4_epi32(0, eight as i32, four as i32, (one << 8 | two << 16) as i32)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn answers(block: &Block, first: usize, count: usize, columns: &[Line]) -> __m512i {
    let mut leaves = _mm512_setzero_si512();
    for (level, cut) in block.levels[first..first + count].iter().enumerate() {
        let high = _mm512_cmpge_epu8_mask(load(&columns[cut.column as usize]), _mm512_set1_epi8(cut.rank as i8));
        leaves = _mm512_or_si512(leaves, _mm512_maskz_mov_epi8(high, _mm512_set1_epi8((1_u8 << level) as i8)));
    }
    leaves
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn add_values(program: &Program, table: Table, leaves: __m512i, totals: &mut Totals) {
    let values = &program.values[table.first..table.first + table.len];
    let leaves = [
        _mm512_cvtepu8_epi32(_mm512_castsi512_si128(leaves)),
        _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32::<1>(leaves)),
        _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32::<2>(leaves)),
        _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32::<3>(leaves)),
    ];
    for (quarter, &leaves) in leaves.iter().enumerate() {
        let added = match table.len {
            16 => _mm512_permutexvar_ps(leaves, part(values, 0)),
            32 => _mm512_permutex2var_ps(part(values, 0), leaves, part(values, 1)),
            64 => _mm512_mask_blend_ps(
                _mm512_test_epi32_mask(leaves, _mm512_set1_epi32(32)),
                _mm512_permutex2var_ps(part(values, 0), leaves, part(values, 1)),
                _mm512_permutex2var_ps(part(values, 2), leaves, part(values, 3)),
            ),
            // SAFETY: a leaf's number is a byte, and the table has 256 values.
            256 => unsafe { _mm512_i32gather_ps::<4>(leaves, values.as_ptr()) },
            _ => continue,
        };
        add(totals, 16 * quarter, added);
    }
}

/// Sixteen values of a table.
#[inline]
#[target_feature(enable = "avx512f")]
fn part(values: &[f32], number: usize) -> __m512 {
    let values = &values[16 * number..16 * number + 16];
    // SAFETY: the slice holds 16 values.
    unsafe { _mm512_loadu_ps(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn add(totals: &mut Totals, first: usize, values: __m512) {
    let halves = [_mm512_castps512_ps256(values), _mm512_extractf32x8_ps::<1>(values)];
    for (half, values) in totals.0[first..first + 16].as_chunks_mut::<8>().0.iter_mut().zip(halves) {
        // SAFETY: a half is eight f64, and aligned to 64 as the totals are and eight f64 are 64 bytes.
        unsafe {
            _mm512_store_pd(half.as_mut_ptr(), _mm512_add_pd(_mm512_load_pd(half.as_ptr()), _mm512_cvtps_pd(values)));
        }
    }
}
