//! Some rows through one tree, side by side: what sides are worth on the way up, products of shares on the way down.
//!
//! Every lane is a row of its own and all instruction sets do the same additions and multiplications in the same
//! order, so that a row's contributions have the same bits in any company on any machine. Nothing branches on a row.
#![allow(clippy::inline_always, reason = "instructions of a target feature reach only what is inlined")]
#![allow(clippy::needless_range_loop, reason = "several places are gone through side by side")]

use super::paths::{Factor, PathSplit, PathTree};
use super::sixteen::{Portable, Sixteen};
use crate::forest::bins::Condition;
use crate::forest::program::Line;

/// Sixteens of rows that are worked on together, so that a tree's numbers are read once for all of them.
pub(in crate::forest) const BESIDE: usize = 2;

/// A number for each of sixteen rows.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(in crate::forest) struct Lanes(pub(in crate::forest) [f32; 16]);

/// The contributions of one feature to each of sixteen rows.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(in crate::forest) struct Sums(pub(in crate::forest) [f64; 16]);

/// What is known of a split for each of the rows.
#[derive(Debug, Clone, Copy)]
pub(in crate::forest) struct AtSplit {
    /// What knowing the feature changes about the share that goes to the first side; 0 for a row that has left the path
    /// of the feature further up.
    change: [Lanes; BESIDE],
    /// At a point, the share that goes to the first side.
    share: [Lanes; BESIDE],
    /// At a point, by how much the first side is worth more than the second.
    difference: [Lanes; BESIDE],
    /// Over all points, what a change of 1 is worth.
    worth: [Lanes; BESIDE],
}

/// What a tree needs room for.
#[derive(Default)]
pub(in crate::forest) struct Room {
    /// For the root and the two sides of every split, a bit for each of 64 rows that is on the path of the feature there.
    passes: Vec<u64>,
    /// One a split.
    splits: Vec<AtSplit>,
    /// Splits by number, then one place that is written and not read, then leaves: on the way up what is below is worth, on
    /// the way down the product of the shares above.
    places: Vec<[Lanes; BESIDE]>,
}

impl Lanes {
    const ZERO: Self = Self([0.0; 16]);
}

impl AtSplit {
    const EMPTY: Self = {
        let zero = [Lanes::ZERO; BESIDE];
        Self { change: zero, share: zero, difference: zero, worth: zero }
    };
}

impl Room {
    /// Makes it large enough for a tree.
    pub(in crate::forest) fn grow(&mut self, tree: &PathTree) {
        let splits = tree.splits.len();
        if self.splits.len() < splits {
            self.passes.resize(2 * splits + 1, 0);
            self.splits.resize(splits, AtSplit::EMPTY);
            self.places.resize(2 * splits + 2, [Lanes::ZERO; BESIDE]);
        }
    }
}

/// Adds to `sums` what the features of a tree contribute to the rows of a tile, whose bins are in `columns`.
///
/// `sums` has, for each sixteen rows, a number for every feature that some tree reads.
#[inline(always)]
pub(in crate::forest) fn explain<V: Sixteen>(
    tree: &PathTree,
    columns: &[Line],
    room: &mut Room,
    reads: usize,
    sums: &mut [Sums],
) {
    let count = tree.splits.len();
    let passes = &mut room.passes[..=2 * count];
    let (splits, places) = (&mut room.splits[..count], &mut room.places[..2 * count + 2]);
    follow::<V>(tree, columns, passes);
    for (place, &value) in places[count + 1..].iter_mut().zip(&tree.leaves) {
        *place = [Lanes([value; 16]); BESIDE];
    }
    for (group, sums) in sums.chunks_exact_mut(BESIDE * reads).enumerate() {
        look::<V>(tree, passes, group * BESIDE * 16, splits);
        for (&weight, factors) in tree.weights.iter().zip(tree.factors.chunks_exact(count)) {
            up::<V>(tree, factors, splits, places);
            down::<V>(tree, weight, factors, splits, places);
        }
        for (split, at) in tree.splits.iter().zip(&*splits) {
            for (place, (change, worth)) in at.change.iter().zip(&at.worth).enumerate() {
                let sum = &mut sums[place * reads + split.feature as usize];
                V::load(change).times(V::load(worth)).add_to(sum);
            }
        }
    }
}

/// Which rows of a tile are on the path of each side's feature.
#[inline(always)]
fn follow<V: Sixteen>(tree: &PathTree, columns: &[Line], passes: &mut [u64]) {
    passes[0] = u64::MAX;
    for (number, split) in tree.splits.iter().enumerate() {
        let within = passes[split.above as usize];
        let pass = match &split.condition {
            Condition::Cut(cut) => {
                let high = V::at_least(&columns[cut.column as usize], cut.rank);
                if cut.high_passes { high } else { !high }
            }
            Condition::Set(set) => {
                let bins = columns[set.column as usize].0.iter().enumerate();
                let is_in = |bin: u8| u64::from(set.holds(bin));
                bins.fold(0, |bits, (row, &bin)| bits | is_in(bin) << row)
            }
        };
        passes[2 * number + 1] = within & pass;
        passes[2 * number + 2] = within & !pass;
    }
}

/// Says what knowing each split's feature changes for the rows from `first` on.
#[inline(always)]
fn look<V: Sixteen>(tree: &PathTree, passes: &[u64], first: usize, splits: &mut [AtSplit]) {
    for (number, (split, at)) in tree.splits.iter().zip(splits).enumerate() {
        let (pass, within) = (passes[2 * number + 1] >> first, passes[split.above as usize] >> first);
        for (place, (change, worth)) in at.change.iter_mut().zip(&mut at.worth).enumerate() {
            let (pass, within) = ((pass >> (16 * place)) as u16, (within >> (16 * place)) as u16);
            V::either(pass, split.if_first, split.if_second).within(within).store(change);
            V::splat(0.0).store(worth);
        }
    }
}

/// Finds, for a point, the shares and what the sides are worth.
#[inline(always)]
fn up<V: Sixteen>(tree: &PathTree, factors: &[Factor], splits: &mut [AtSplit], places: &mut [[Lanes; BESIDE]]) {
    let (inner, last) = (tree.inner.len(), &tree.last);
    let below = tree.splits[inner..].iter().zip(&factors[inner..]).zip(&splits[inner..]).zip(&mut places[inner..]);
    for ((((split, factor), at), into), &[second, difference]) in below.zip(last) {
        for place in 0..BESIDE {
            let share = share::<V>(split, factor, &at.change[place]);
            V::splat(second).plus(share.times(V::splat(difference))).store(&mut into[place]);
        }
    }
    let inner = tree.splits.iter().zip(factors).zip(splits).zip(&tree.inner).enumerate().rev();
    for (number, (((split, factor), at), below)) in inner {
        let [one, other] = below.map(|place| place as usize);
        for place in 0..BESIDE {
            let (first, second) = (V::load(&places[one][place]), V::load(&places[other][place]));
            let share = share::<V>(split, factor, &at.change[place]);
            let difference = first.minus(second);
            share.store(&mut at.share[place]);
            difference.store(&mut at.difference[place]);
            second.plus(share.times(difference)).store(&mut places[number][place]);
        }
    }
}

/// The share that goes to the first side of a split.
#[inline(always)]
fn share<V: Sixteen>(split: &PathSplit, factor: &Factor, change: &Lanes) -> V {
    V::splat(split.share).plus(V::splat(factor.known).times(V::load(change)))
}

/// Adds, for a point, what the changes are worth.
#[inline(always)]
fn down<V: Sixteen>(
    tree: &PathTree,
    weight: f32,
    factors: &[Factor],
    splits: &mut [AtSplit],
    places: &mut [[Lanes; BESIDE]],
) {
    let (inner, nowhere) = (tree.inner.len(), splits.len() as u32);
    places[0] = [Lanes([weight; 16]); BESIDE];
    for (number, ((below, factor), at)) in tree.inner.iter().zip(factors).zip(&mut *splits).enumerate() {
        let [one, other] = below.map(|place| place.min(nowhere) as usize);
        for place in 0..BESIDE {
            let product = V::load(&places[number][place]);
            let worth = product.times(V::load(&at.difference[place])).times(V::splat(factor.worth));
            V::load(&at.worth[place]).plus(worth).store(&mut at.worth[place]);
            let first = product.times(V::load(&at.share[place]));
            first.store(&mut places[one][place]);
            product.minus(first).store(&mut places[other][place]);
        }
    }
    for ((factor, at), product) in factors[inner..].iter().zip(&mut splits[inner..]).zip(&places[inner..]) {
        for (worth, product) in at.worth.iter_mut().zip(product) {
            V::load(worth).plus(V::load(product).times(V::splat(factor.worth))).store(worth);
        }
    }
}

/// The same, compiled for any processor.
pub(in crate::forest) fn explain_portable(
    tree: &PathTree,
    columns: &[Line],
    room: &mut Room,
    reads: usize,
    sums: &mut [Sums],
) {
    explain::<Portable>(tree, columns, room, reads, sums);
}

/// The same, compiled for processors with AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
pub(in crate::forest) fn explain_avx2(
    tree: &PathTree,
    columns: &[Line],
    room: &mut Room,
    reads: usize,
    sums: &mut [Sums],
) {
    explain::<Portable>(tree, columns, room, reads, sums);
}
