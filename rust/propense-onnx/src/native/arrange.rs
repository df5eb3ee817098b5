//! Operators that only rearrange columns: nothing of them is left at run time.

use super::stop::Stop;
use super::value::{Batch, Layout};

/// `Reshape` to a shape that keeps every row together, for any number of rows.
pub(super) fn reshape(batch: Batch, shape: &[i64]) -> Result<Batch, Stop> {
    let count = batch.columns.len() as i64;
    let by_row = matches!(batch.layout, Layout::Rows | Layout::Matrix | Layout::Stack { depth: 1 });
    let keeps_first = matches!(batch.layout, Layout::Rows | Layout::Matrix);
    let layout = match *shape {
        [-1] if by_row && count == 1 => Layout::Rows,
        [-1, columns] if by_row && columns == count => Layout::Matrix,
        [0, columns] if keeps_first && (columns == count || columns == -1) => Layout::Matrix,
        [1, -1, columns] if by_row && columns == count => Layout::Stack { depth: 1 },
        _ => return Err(Stop::because(format!("a batch of {count} columns gets the shape {shape:?}"))),
    };
    Ok(Batch { layout, ..batch })
}

/// `Squeeze` of these axes.
pub(super) fn squeeze(batch: Batch, axes: &[i64]) -> Result<Batch, Stop> {
    let layout = match (batch.layout, axes) {
        (Layout::Matrix, [1 | -1]) if batch.columns.len() == 1 => Layout::Rows,
        (Layout::Stack { depth: 1 }, [0 | -3]) => Layout::Matrix,
        _ => return Err(Stop::because(format!("axes {axes:?} are squeezed"))),
    };
    Ok(Batch { layout, ..batch })
}

/// `Unsqueeze` of these axes.
pub(super) fn unsqueeze(batch: Batch, axes: &[i64]) -> Result<Batch, Stop> {
    let layout = match (batch.layout, axes) {
        (Layout::Rows, [1 | -1]) => Layout::Matrix,
        (Layout::Matrix, [0 | -3]) => Layout::Stack { depth: 1 },
        _ => return Err(Stop::because(format!("axes {axes:?} are unsqueezed"))),
    };
    Ok(Batch { layout, ..batch })
}

/// `Flatten` at an axis.
pub(super) fn flatten(batch: Batch, axis: i64) -> Result<Batch, Stop> {
    match (batch.layout, axis) {
        (Layout::Rows | Layout::Matrix, 1) => Ok(Batch { layout: Layout::Matrix, ..batch }),
        _ => Err(Stop::because(format!("it flattens at axis {axis}"))),
    }
}

/// `Gather` of columns: indices of shape `[]` give `[N]`, of shape `[m]` `[N, m]`.
pub(super) fn gather(batch: &Batch, axis: i64, dimensions: &[i64], indices: &[i64]) -> Result<Batch, Stop> {
    let layout = match (batch.layout, axis, dimensions) {
        (Layout::Matrix, 1 | -1, []) => Layout::Rows,
        (Layout::Matrix, 1 | -1, [_]) => Layout::Matrix,
        _ => return Err(Stop::because(format!("it gathers indices of shape {dimensions:?} on axis {axis}"))),
    };
    let columns = indices.iter().map(|&index| column(batch, index)).collect::<Result<_, _>>()?;
    Ok(Batch { layout, columns, double: batch.double })
}

/// `ArrayFeatureExtractor`: these columns, which count from the first.
pub(super) fn extract(batch: &Batch, indices: &[i64]) -> Result<Batch, Stop> {
    if let Some(index) = indices.iter().find(|index| **index < 0) {
        return Err(Stop::because(format!("it extracts column {index}")));
    }
    gather(batch, 1, &[indices.len() as i64], indices)
}

/// `Slice` of columns, from `start` to before `end`.
pub(super) fn slice(batch: &Batch, axis: i64, start: i64, end: i64) -> Result<Batch, Stop> {
    let count = batch.columns.len() as i64;
    if batch.layout != Layout::Matrix || !matches!(axis, 1 | -1) {
        return Err(Stop::because(format!("it slices axis {axis}")));
    }
    let bound = |place: i64| if place < 0 { place.saturating_add(count) } else { place }.clamp(0, count) as usize;
    let columns = batch.columns.get(bound(start)..bound(end)).unwrap_or_default().to_vec();
    Ok(Batch { layout: Layout::Matrix, columns, double: batch.double })
}

/// `Concat` of matrices side by side, or of stacks on each other.
pub(super) fn concat(batches: &[Batch], axis: i64) -> Result<Batch, Stop> {
    let Some(first) = batches.first() else { return Err(Stop::because("it concatenates nothing")) };
    let same_type = batches.iter().all(|batch| batch.double == first.double);
    let depth = |batch: &Batch| match batch.layout {
        Layout::Stack { depth } => depth,
        _ => 0,
    };
    let depths: usize = batches.iter().map(depth).sum();
    let layout = match axis {
        1 | -1 if batches.iter().all(|batch| batch.layout == Layout::Matrix) => Layout::Matrix,
        0 | -3 if batches.iter().all(|batch| depth(batch) > 0 && widths_agree(batch, first)) => {
            Layout::Stack { depth: depths }
        }
        _ => return Err(Stop::because(format!("it concatenates on axis {axis}"))),
    };
    if !same_type {
        return Err(Stop::because("it concatenates floats and doubles"));
    }
    let columns = batches.iter().flat_map(|batch| batch.columns.iter().copied()).collect();
    Ok(Batch { layout, columns, double: first.double })
}

fn widths_agree(left: &Batch, right: &Batch) -> bool {
    matches!((left.layout, right.layout), (Layout::Stack { depth: a }, Layout::Stack { depth: b })
        if left.columns.len() / a == right.columns.len() / b)
}

fn column(batch: &Batch, index: i64) -> Result<u32, Stop> {
    let count = batch.columns.len() as i64;
    let place = if index < 0 { index.saturating_add(count) } else { index };
    let found = usize::try_from(place).ok().and_then(|place| batch.columns.get(place));
    found.copied().ok_or_else(|| Stop::because(format!("it picks column {index} of {count}")))
}
