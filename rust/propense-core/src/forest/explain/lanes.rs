//! Sixteen rows through one tree, side by side: products on the way down, sums on the way up.
//!
//! Every lane is a row of its own and all instruction sets do the same additions and multiplications in the same
//! order, so that a row's contributions have the same bits in any company on any machine.
#![allow(clippy::inline_always, reason = "instructions of a target feature reach only what is inlined")]

use super::paths::{Edge, PathTree};

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

/// For every place of a tree, a bit for each of 64 rows that stayed on the path of the feature of its edge; `first`
/// is the first of the 16 rows at hand.
#[derive(Debug, Clone, Copy)]
pub(in crate::forest) struct Passes<'a> {
    pub(in crate::forest) of: &'a [u64],
    pub(in crate::forest) first: usize,
}

impl Passes<'_> {
    #[inline(always)]
    fn at(&self, place: usize) -> u16 {
        (self.of[place] >> self.first) as u16
    }
}

/// Adds to `sums`, by feature, what the features of a tree contribute.
///
/// `shares` has room for a number a place of the tree and a number a feature of it.
#[inline(always)]
pub(in crate::forest) fn explain(tree: &PathTree, passes: Passes<'_>, shares: &mut [Lanes], sums: &mut [Sums]) {
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
            let (passed, failed) = (products[2 * number + 1], products[2 * number + 2]);
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
            *slot = plus(*slot, plus(times(passed, of_yes), times(failed, of_no)));
            products[split.place as usize] = plus(passed, failed);
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
pub(in crate::forest) fn explain_avx2(tree: &PathTree, passes: Passes<'_>, shares: &mut [Lanes], sums: &mut [Sums]) {
    explain(tree, passes, shares, sums);
}

/// The same, compiled for processors with AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(in crate::forest) fn explain_avx512(tree: &PathTree, passes: Passes<'_>, shares: &mut [Lanes], sums: &mut [Sums]) {
    explain(tree, passes, shares, sums);
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
