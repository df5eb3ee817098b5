//! What a forest runs on.

use std::fmt;

use super::isa::Isa;

/// The way a forest's trees are run. All ways give the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Engine {
    /// Tiles of 64 rows; leaves that are still possible as bits, or as answers where every level asks one question.
    Tiles(Isa),
    /// Each row by itself: all tests of all trees at once, then the leaves that are still possible, as bits.
    OneRow,
    /// Every row from root to leaf.
    Walk,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Engine::Tiles(isa) => write!(f, "bitvector tiles ({isa})"),
            Engine::OneRow => f.write_str("one row (AVX-512)"),
            Engine::Walk => f.write_str("walk"),
        }
    }
}
