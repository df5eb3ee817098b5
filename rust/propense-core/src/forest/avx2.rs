//! The trees of [`super::portable`], compiled for processors with AVX2. Bins stay as they are: a search gains nothing.

use super::portable;
use super::program::{Line, Program, Totals};

/// See [`portable::add_trees`].
#[target_feature(enable = "avx2")]
pub(super) fn add_trees(program: &Program, columns: &[Line], planes: &mut [Line], totals: &mut [Totals]) {
    portable::add_trees(program, columns, planes, totals);
}
