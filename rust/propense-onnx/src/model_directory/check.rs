//! Whether a model still gives the scores, and the tiers, that it was saved with.

use super::error::ModelDirectoryError as Error;
use super::folder::{Folder, MODEL};
use super::table::Table;
use super::tiers::CutOffs;
use crate::session::OnnxModel;

pub(super) const CHECKS: &str = "checks.arrow";
/// How far a score may lie from the stored one.
const TOLERANCE: f64 = 1e-6;

/// Rows and the scores that were stored with them.
pub(super) struct CheckRows {
    /// Row-major.
    rows: Vec<f32>,
    expected: Vec<f32>,
}

impl CheckRows {
    /// Read the table of them for a model of `width` features.
    pub(super) fn read(file: &[u8], width: usize) -> Result<Self, String> {
        let mut table = Table::read(file)?;
        let columns: Vec<Vec<f32>> =
            (0..width).map(|place| table.float32(&format!("f{place}"))).collect::<Result<_, _>>()?;
        let expected = table.float32("expected_score")?;
        table.finish()?;
        if expected.is_empty() {
            return Err("it has no rows".to_owned());
        }
        let rows = (0..expected.len()).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
        Ok(Self { rows, expected })
    }

    /// Refuse a model that gives other scores, by its engine or by ONNX Runtime, or other tiers.
    pub(super) fn require_same(&self, folder: &Folder, model: &OnnxModel, cut_offs: CutOffs) -> Result<(), Error> {
        let Self { rows, expected } = self;
        let failed = |source| Error::Onnx { path: folder.file(MODEL), source };
        let (mut found, mut by_runtime) = (vec![0.0; expected.len()], vec![0.0; expected.len()]);
        model.score(rows, &mut found).map_err(failed)?;
        model.score_in_onnxruntime(rows, &mut by_runtime).map_err(failed)?;
        for (scores, engine) in [(&found, model.engine()), (&by_runtime, "ONNX Runtime".to_owned())] {
            let difference = largest_difference(scores, expected);
            if difference.is_nan() || f64::from(difference) > TOLERANCE {
                return Err(Error::Scores { folder: folder.path.clone(), engine, difference });
            }
        }
        let flipped = |(found, expected): &(&f32, &f32)| cut_offs.tier(**found) != cut_offs.tier(**expected);
        match found.iter().zip(expected).filter(flipped).count() {
            0 => Ok(()),
            rows => Err(Error::TiersFlipped { folder: folder.path.clone(), rows }),
        }
    }
}

/// NaN if a score is none; in float32, as everywhere.
fn largest_difference(scores: &[f32], expected: &[f32]) -> f32 {
    let differences = scores.iter().zip(expected).map(|(score, expected)| (score - expected).abs());
    differences.fold(0.0, |largest: f32, next| if largest.is_nan() || next <= largest { largest } else { next })
}
