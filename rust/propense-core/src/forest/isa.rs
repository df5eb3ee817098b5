//! Which instructions the tile engine uses, found out at run time.
#![allow(unsafe_code, reason = "functions compiled for more than the base instructions may run only where those exist")]

use std::fmt;

use super::bins::Bins;
use super::explain::lanes::{self, Room, Sums};
use super::explain::paths::PathTree;
use super::one_row::{LINE, OneRow, RowBins};
use super::portable;
use super::program::{Line, Program, Totals};
use super::search_tree::SearchTrees;

#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512, avx512_bin, avx512_lanes, avx512_row};

/// A set of instructions that the tile engine is written for. All give the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// What every processor of the target has.
    Portable,
    /// 256-bit vectors.
    Avx2,
    /// 512-bit vectors with byte operations (F, BW, DQ, VL).
    Avx512,
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "AVX2",
            Isa::Avx512 => "AVX-512",
        })
    }
}

impl Isa {
    /// Those that this machine has, the best one first.
    #[must_use]
    pub fn available() -> Vec<Isa> {
        [Isa::Avx512, Isa::Avx2, Isa::Portable].into_iter().filter(|isa| isa.is_available()).collect()
    }

    #[cfg(target_arch = "x86_64")]
    fn is_available(self) -> bool {
        match self {
            Isa::Portable => true,
            Isa::Avx2 => is_x86_feature_detected!("avx2"),
            Isa::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_available(self) -> bool {
        self == Isa::Portable
    }
}

/// Instructions that this machine has been seen to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Detected(Isa);

impl Detected {
    /// `None` if this machine does not have them.
    pub(super) fn new(isa: Isa) -> Option<Detected> {
        isa.is_available().then_some(Detected(isa))
    }

    /// The best that this machine has.
    pub(super) fn best() -> Detected {
        Isa::available().first().copied().map_or(Detected(Isa::Portable), Detected)
    }

    /// Which they are.
    pub(super) fn isa(self) -> Isa {
        self.0
    }

    /// Writes the bins of 1 to 64 rows of `width` values.
    pub(super) fn bin(self, bins: &Bins, trees: &SearchTrees, rows: &[f32], width: usize, columns: &mut [Line]) {
        match self.0 {
            // SAFETY: `new` has seen that the machine has the instructions.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { avx512_bin::bin(bins, trees, rows, width, columns) },
            _ => portable::bin(bins, trees, rows, width, columns),
        }
    }

    /// Adds the leaf values of all trees to `totals`, one line of 64 an output.
    pub(super) fn add_trees(self, program: &Program, columns: &[Line], planes: &mut [Line], totals: &mut [Totals]) {
        match self.0 {
            // SAFETY: `new` has seen that the machine has the instructions.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { avx512::add_trees(program, columns, planes, totals) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { avx2::add_trees(program, columns, planes, totals) },
            _ => portable::add_trees(program, columns, planes, totals),
        }
    }

    /// Adds what the features of a tree contribute to the sums of a tile; see [`lanes::explain`].
    pub(super) fn explain(self, tree: &PathTree, columns: &[Line], room: &mut Room, reads: usize, sums: &mut [Sums]) {
        match self.0 {
            // SAFETY: `new` has seen that the machine has the instructions.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { avx512_lanes::explain_avx512(tree, columns, room, reads, sums) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { lanes::explain_avx2(tree, columns, room, reads, sums) },
            _ => lanes::explain_portable(tree, columns, room, reads, sums),
        }
    }
}

/// Instructions for one row at a time that this machine has been seen to have: AVX-512 with lookups of bytes (VBMI).
#[derive(Debug, Clone, Copy)]
pub(super) struct RowInstructions(());

impl RowInstructions {
    /// `None` if this machine does not have them.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn detect() -> Option<Self> {
        let has_them =
            Isa::Avx512.is_available() && is_x86_feature_detected!("avx512vbmi") && is_x86_feature_detected!("popcnt");
        has_them.then_some(Self(()))
    }

    /// There are none for these machines.
    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn detect() -> Option<Self> {
        None
    }

    /// Writes the bins of a row, and then what is left of the leaves: all planes in the order of the program.
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
    #[allow(clippy::unused_self, reason = "who has it has seen that the instructions are there")]
    pub(super) fn planes(self, forest: &OneRow, row: &[f32], bins: &mut RowBins, planes: &mut [[u8; LINE]]) {
        // SAFETY: `detect` has seen that the machine has the instructions.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            avx512_row::planes(forest, row, bins, planes);
        }
    }
}
