//! A loaded model as what scores the rows of an audience.

use propense_core::scorer::RowScorer;

use crate::error::OnnxError;
use crate::native::NativeModel;
use crate::session::{BLOCK_ROWS, OnnxModel};

/// Rows whose features stay in cache on their way to the trees.
const TILE_ROWS: usize = 64;

impl RowScorer for OnnxModel {
    type Error = OnnxError;

    fn width(&self) -> usize {
        self.width()
    }

    fn reads(&self) -> Option<&[bool]> {
        self.native().ok().map(NativeModel::reads)
    }

    fn tile_rows(&self) -> usize {
        if self.native().is_ok() { TILE_ROWS } else { BLOCK_ROWS }
    }

    fn score(&self, rows: &[f32], scores: &mut [f32]) -> Result<(), OnnxError> {
        self.score(rows, scores)
    }
}
