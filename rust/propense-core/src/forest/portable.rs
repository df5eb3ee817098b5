//! The tile engine in plain code: loops over the 64 bytes of a line, which compilers turn into vectors.
//!
//! Everything here is inlined into its caller, so that [`super::avx2`] gets the same loops in wider instructions.
#![allow(clippy::inline_always, reason = "instructions of a target feature reach only what is inlined")]

use super::bins::{Bins, Group};
use super::program::{Block, Index, Line, Program, TILE, Table, Totals};
use super::rule::key;
use super::search_tree::SearchTrees;

/// Writes the bins of up to 64 rows of `width` values; rows beyond the last one repeat it.
#[inline(always)]
pub(super) fn bin(bins: &Bins, trees: &SearchTrees, rows: &[f32], width: usize, columns: &mut [Line]) {
    let mut features = [[0.0; TILE]; 16];
    let (mut keys, mut missing) = ([0_i32; TILE], [false; TILE]);
    let (mut sixteen, mut feature) = (usize::MAX, u32::MAX);
    for (group, &(first, levels)) in bins.groups.iter().zip(&trees.trees) {
        if group.feature != feature {
            feature = group.feature;
            if feature as usize / 16 != sixteen {
                sixteen = feature as usize / 16;
                transpose(rows, width, 16 * sixteen, &mut features);
            }
            let values = &features[feature as usize % 16];
            for ((key_of, missing), &x) in keys.iter_mut().zip(&mut missing).zip(values) {
                (*key_of, *missing) = (key(x), x.is_nan());
            }
        }
        let ranks = ranks(&trees.bounds[first..first + (1 << levels).max(16)], levels, &keys);
        write_columns(group, &ranks, &missing, columns);
    }
}

/// Turns sixteen features from `first` on: they share the cache lines of a row.
#[inline(always)]
fn transpose(rows: &[f32], width: usize, first: usize, features: &mut [[f32; TILE]; 16]) {
    let last = rows.len() / width - 1;
    let taken = (width - first).min(16);
    for row in 0..TILE {
        let start = row.min(last) * width + first;
        for (line, &x) in features.iter_mut().zip(&rows[start..start + taken]) {
            line[row] = x;
        }
    }
}

#[inline(always)]
fn write_columns(group: &Group, ranks: &[u8; TILE], missing: &[bool; TILE], columns: &mut [Line]) {
    let beyond = group.bounds.len() as u8 + 1;
    for (column, value) in [(group.missing_low, 0), (group.missing_high, beyond)] {
        let Some(column) = column else { continue };
        let line = &mut columns[column as usize].0;
        for ((bin, &rank), &missing) in line.iter_mut().zip(ranks).zip(missing) {
            *bin = if missing { value } else { rank };
        }
    }
}

/// How many bounds of a search tree are at or below each key.
#[inline(always)]
fn ranks(tree: &[i32], levels: u32, keys: &[i32; TILE]) -> [u8; TILE] {
    let mut ranks = [0_u8; TILE];
    for (ranks, keys) in ranks.as_chunks_mut::<8>().0.iter_mut().zip(keys.as_chunks::<8>().0) {
        let mut places = [1_usize; 8];
        for _ in 0..levels {
            for (place, &key) in places.iter_mut().zip(keys) {
                *place = 2 * *place + usize::from(key >= tree[*place & (tree.len() - 1)]);
            }
        }
        for (rank, place) in ranks.iter_mut().zip(places) {
            *rank = (place - (1 << levels)) as u8;
        }
    }
    ranks
}

/// Adds the leaf values of all trees to `totals`, one line of 64 an output.
#[inline(always)]
pub(super) fn add_trees(program: &Program, columns: &[Line], planes: &mut [Line], totals: &mut [Totals]) {
    for block in &program.blocks {
        clear(block, columns, planes);
        clear_sets(block, columns, planes);
        for tree in &block.trees {
            let leaves = match tree.index {
                Index::Planes { first, count } => lowest(&planes[first..first + count]),
                Index::Levels { first, count } => answers(block, first, count, columns),
            };
            for table in &program.tables[tree.tables.0..tree.tables.0 + tree.tables.1] {
                add_values(program, *table, &leaves, &mut totals[table.output]);
            }
        }
    }
}

#[inline(always)]
fn clear(block: &Block, columns: &[Line], planes: &mut [Line]) {
    let (mut entries, mut targets) = (block.entries.as_slice(), block.targets.iter());
    for run in &block.runs {
        for &target in targets.by_ref().take(run.planes) {
            let (own, rest) = entries.split_at(run.entries);
            entries = rest;
            let mut left = [0xff_u8; TILE];
            for entry in own {
                let (rank, high, low) = (entry.rank as u8, entry.if_high as u8, entry.if_low as u8);
                for (left, &bin) in left.iter_mut().zip(&columns[entry.column as usize].0) {
                    *left &= if bin >= rank { high } else { low };
                }
            }
            planes[target].0 = left;
        }
    }
}

#[inline(always)]
pub(super) fn clear_sets(block: &Block, columns: &[Line], planes: &mut [Line]) {
    for entry in &block.sets {
        let line = &columns[entry.set.column as usize].0;
        for (left, &bin) in planes[entry.plane].0.iter_mut().zip(line) {
            *left &= if entry.set.holds(bin) { entry.if_in } else { entry.if_out };
        }
    }
}

/// The number of the lowest bit left in a tree's planes.
#[inline(always)]
fn lowest(planes: &[Line]) -> [u8; TILE] {
    let (mut left, mut base) = ([0x80_u8; TILE], [0_u8; TILE]);
    for (place, plane) in planes.iter().enumerate().rev() {
        let first = 8 * place as u8;
        for ((left, base), &bits) in left.iter_mut().zip(&mut base).zip(&plane.0) {
            (*left, *base) = if bits != 0 { (bits, first) } else { (*left, *base) };
        }
    }
    for (base, &left) in base.iter_mut().zip(&left) {
        *base += bit_number(left);
    }
    base
}

/// The number of a byte's lowest bit, without a table, so that it stays in vectors.
#[inline(always)]
fn bit_number(byte: u8) -> u8 {
    let low = byte & byte.wrapping_neg();
    u8::from(low & 0xaa != 0) + 2 * u8::from(low & 0xcc != 0) + 4 * u8::from(low & 0xf0 != 0)
}

#[inline(always)]
fn answers(block: &Block, first: usize, count: usize, columns: &[Line]) -> [u8; TILE] {
    let mut leaves = [0_u8; TILE];
    for (level, cut) in block.levels[first..first + count].iter().enumerate() {
        for (leaf, &bin) in leaves.iter_mut().zip(&columns[cut.column as usize].0) {
            *leaf |= if bin >= cut.rank { 1 << level } else { 0 };
        }
    }
    leaves
}

#[inline(always)]
fn add_values(program: &Program, table: Table, leaves: &[u8; TILE], totals: &mut Totals) {
    let values = &program.values[table.first..table.first + table.len];
    for (total, &leaf) in totals.0.iter_mut().zip(leaves) {
        *total += f64::from(values[usize::from(leaf) & (values.len() - 1)]);
    }
}
