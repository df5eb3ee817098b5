//! Sixteen rows through one tree, side by side: products on the way down, sums on the way up.
//!
//! Every lane is a row of its own and all instruction sets do the same additions and multiplications in the same
//! order, so that a row's contributions have the same bits in any company on any machine.
#![allow(clippy::inline_always, reason = "instructions of a target feature reach only what is inlined")]

use super::paths::{Edge, PathTree};
use crate::forest::bins::Condition;
use crate::forest::program::{Line, TILE};

/// Rows side by side.
pub(in crate::forest) const LANES: usize = 16;

/// A number for each of the rows.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(in crate::forest) struct Lanes(pub(in crate::forest) [f32; LANES]);

/// The contributions of one feature to each of the rows.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(in crate::forest) struct Sums(pub(in crate::forest) [f64; LANES]);

/// What a tree needs room for.
pub(in crate::forest) struct Room<'a> {
    /// For every place of the tree, a bit for each of 64 rows.
    pub(in crate::forest) passes: &'a mut [u64],
    /// A number for every place, and one for every feature of the tree.
    pub(in crate::forest) shares: &'a mut [Lanes],
}

/// For every place of a tree, a bit for each of 64 rows that stayed on the path of the feature of its edge; `first`
/// is the first of the 16 rows at hand.
#[derive(Clone, Copy)]
struct Passes<'a> {
    of: &'a [u64],
    first: usize,
}

impl Passes<'_> {
    #[inline(always)]
    fn at(&self, place: usize) -> u16 {
        (self.of[place] >> self.first) as u16
    }
}

/// Adds to `sums` what the features of a tree contribute to the rows of a tile, whose bins are in `columns`.
///
/// `sums` has, for each 16 rows, a number for every feature that some tree reads.
#[inline(always)]
pub(in crate::forest) fn explain(
    tree: &PathTree,
    columns: &[Line],
    room: &mut Room<'_>,
    reads: usize,
    sums: &mut [Sums],
) {
    let passes = &mut room.passes[..=2 * tree.splits.len()];
    follow(tree, columns, passes);
    for (place, sums) in sums.chunks_exact_mut(reads).enumerate() {
        add(tree, Passes { of: passes, first: place * LANES }, room.shares, sums);
    }
}

/// Which rows of a tile stay on the path of each edge's feature.
#[inline(always)]
fn follow(tree: &PathTree, columns: &[Line], passes: &mut [u64]) {
    passes[0] = u64::MAX;
    for (number, split) in tree.splits.iter().enumerate() {
        let within = passes[split.above as usize];
        let pass = match &split.condition {
            Condition::Cut(cut) => {
                let mut high = [0_u8; TILE];
                for (high, &bin) in high.iter_mut().zip(&columns[cut.column as usize].0) {
                    *high = u8::from(bin >= cut.rank);
                }
                if cut.high_passes { packed(&high) } else { !packed(&high) }
            }
            Condition::Set(set) => {
                let mut inside = [0_u8; TILE];
                for (inside, &bin) in inside.iter_mut().zip(&columns[set.column as usize].0) {
                    *inside = set.bits[usize::from(bin / 8)] >> (bin % 8) & 1;
                }
                packed(&inside)
            }
        };
        passes[2 * number + 1] = within & pass;
        passes[2 * number + 2] = within & !pass;
    }
}

/// The lowest bits of 64 bytes.
#[inline(always)]
fn packed(bytes: &[u8; TILE]) -> u64 {
    let eights = bytes.as_chunks::<8>().0.iter().enumerate();
    // Each product has the eight bits side by side in its highest byte.
    eights.fold(0, |bits, (place, eight)| {
        bits | (u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * place)
    })
}

/// Adds the contributions to 16 rows.
#[inline(always)]
fn add(tree: &PathTree, passes: Passes<'_>, shares: &mut [Lanes], sums: &mut [Sums]) {
    let places = 2 * tree.splits.len() + 1;
    let (products, rest) = shares.split_at_mut(places);
    let contributions = &mut rest[..tree.features.len()];
    contributions.fill(Lanes([0.0; LANES]));
    let splits = tree.splits.len().max(1);
    let leaves = tree.leaves.chunks_exact(tree.splits.len() + 1);
    for (factors, leaves) in tree.factors.chunks_exact(splits).zip(leaves) {
        products[0] = Lanes([1.0; LANES]);
        for (number, (split, factors)) in tree.splits.iter().zip(factors).enumerate() {
            let product = products[split.place as usize];
            let [yes, no] = &factors.0;
            let (pass, fail) = (passes.at(2 * number + 1), passes.at(2 * number + 2));
            if split.above == 0 {
                products[2 * number + 1] = times(product, either(pass, yes.on, yes.off));
                products[2 * number + 2] = times(product, either(fail, no.on, no.off));
            } else {
                let within = passes.at(split.above as usize);
                let factor = |on: u16, edge: &Edge| chosen(on, edge.on, either(within, edge.off, edge.out));
                products[2 * number + 1] = times(product, factor(pass, yes));
                products[2 * number + 2] = times(product, factor(fail, no));
            }
        }
        for &(place, value) in leaves {
            products[place as usize] = times(products[place as usize], Lanes([value; LANES]));
        }
        for (number, (split, factors)) in tree.splits.iter().zip(factors).enumerate().rev() {
            let (below_yes, below_no) = (products[2 * number + 1], products[2 * number + 2]);
            let [yes, no] = &factors.0;
            let (pass, fail) = (passes.at(2 * number + 1), passes.at(2 * number + 2));
            let (of_yes, of_no) = if split.above == 0 {
                (either(pass, yes.share_on, yes.share_off), either(fail, no.share_on, no.share_off))
            } else {
                let within = passes.at(split.above as usize);
                let share = |on: u16, edge: &Edge| chosen(on, edge.share_on, either(within, edge.share_off, 0.0));
                (share(pass, yes), share(fail, no))
            };
            let slot = &mut contributions[split.slot as usize];
            *slot = plus(*slot, plus(times(below_yes, of_yes), times(below_no, of_no)));
            products[split.place as usize] = plus(below_yes, below_no);
        }
    }
    for (&feature, contribution) in tree.features.iter().zip(contributions) {
        for (sum, &value) in sums[feature as usize].0.iter_mut().zip(&contribution.0) {
            *sum += f64::from(value);
        }
    }
}

/// The same, compiled for processors with AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
pub(in crate::forest) fn explain_avx2(
    tree: &PathTree,
    columns: &[Line],
    room: &mut Room<'_>,
    reads: usize,
    sums: &mut [Sums],
) {
    explain(tree, columns, room, reads, sums);
}

/// The same, compiled for processors with AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(in crate::forest) fn explain_avx512(
    tree: &PathTree,
    columns: &[Line],
    room: &mut Room<'_>,
    reads: usize,
    sums: &mut [Sums],
) {
    explain(tree, columns, room, reads, sums);
}

/// One of two numbers for each row, the first where its bit is set.
#[inline(always)]
fn either(bits: u16, set: f32, clear: f32) -> Lanes {
    chosen(bits, set, Lanes([clear; LANES]))
}

#[inline(always)]
fn chosen(bits: u16, set: f32, clear: Lanes) -> Lanes {
    let mut lanes = clear;
    for (place, lane) in lanes.0.iter_mut().enumerate() {
        *lane = if u32::from(bits) & (1 << place) != 0 { set } else { *lane };
    }
    lanes
}

#[inline(always)]
fn times(mut one: Lanes, other: Lanes) -> Lanes {
    for (one, other) in one.0.iter_mut().zip(&other.0) {
        *one *= other;
    }
    one
}

#[inline(always)]
fn plus(mut one: Lanes, other: Lanes) -> Lanes {
    for (one, other) in one.0.iter_mut().zip(&other.0) {
        *one += other;
    }
    one
}
