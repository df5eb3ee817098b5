//! One run of one session on one block of rows.

use ort::session::{RunOptions, Session};
use ort::value::TensorRef;

use crate::error::OnnxError;
use crate::interface::{OUTPUT_NAME, shape_text};

/// Score a block of rows in one run; the rows are not copied.
///
/// `rows` is float32 `[N, width]`, row-major, and `scores` float32 `[N]`; scores are given as they come,
/// finite or not. `first_row`, the first row's place in the caller's call, is for messages only.
///
/// # Errors
///
/// [`OnnxError::Run`] and [`OnnxError::ScoreCount`].
pub(crate) fn run_block(
    session: &mut Session,
    options: &RunOptions,
    rows: &[f32],
    first_row: usize,
    scores: &mut [f32],
) -> Result<(), OnnxError> {
    let failed = |source| OnnxError::Run { first_row, last_row: first_row + scores.len().saturating_sub(1), source };
    let width = rows.len().checked_div(scores.len()).unwrap_or(0);
    let features = TensorRef::from_array_view(([scores.len(), width], rows)).map_err(failed)?;
    let outputs = session.run_with_options(ort::inputs![features], options).map_err(failed)?;
    let (shape, found) = outputs
        .get(OUTPUT_NAME)
        .ok_or(OnnxError::ScoreCount { expected: scores.len(), found: "nothing".to_owned() })?
        .try_extract_tensor::<f32>()
        .map_err(failed)?;
    if found.len() != scores.len() {
        return Err(OnnxError::ScoreCount { expected: scores.len(), found: shape_text(shape) });
    }
    scores.copy_from_slice(found);
    Ok(())
}
