//! Elementwise operators with broadcasting, and those that join the columns of a row.

use super::program::{Binary, Register, Unary};
use super::stop::Stop;
use super::tensor::Elements;
use super::value::{Batch, Builder, Constant, Layout, Value};

/// Apply `kind` to each column.
pub(super) fn unary(builder: &mut Builder, kind: Unary, batch: &Batch) -> Result<Batch, Stop> {
    let single = !batch.double;
    let columns = batch.columns.iter().map(|&of| builder.unary(kind, of, single)).collect::<Result<_, _>>()?;
    Ok(Batch { columns, ..*batch })
}

/// `Cast` between float32 and double.
pub(super) fn cast(builder: &mut Builder, batch: &Batch, to: i64) -> Result<Batch, Stop> {
    match (batch.double, to) {
        (false, 1) | (true, 11) => Ok(batch.clone()),
        // A float32 is a double already.
        (false, 11) => Ok(Batch { double: true, ..batch.clone() }),
        (true, 1) => {
            let round = |&of| builder.unary(Unary::Round, of, true);
            let columns = batch.columns.iter().map(round).collect::<Result<_, _>>()?;
            Ok(Batch { columns, double: false, ..*batch })
        }
        _ => Err(Stop::because(format!("it casts to type {to}"))),
    }
}

/// Combine any number of operands, from the first on, as in `Add` or `Sum`.
pub(super) fn combine(builder: &mut Builder, kind: Binary, operands: &[Value]) -> Result<Batch, Stop> {
    let Some((first, rest)) = operands.split_first() else { return Err(Stop::because("it combines nothing")) };
    if rest.is_empty() {
        return match first {
            Value::Batch(batch) => Ok(batch.clone()),
            _ => Err(Stop::because("it combines constants")),
        };
    }
    let mut left = first.clone();
    for right in rest {
        left = Value::Batch(pair(builder, kind, &left, right)?);
    }
    match left {
        Value::Batch(batch) => Ok(batch),
        _ => Err(Stop::because("it combines constants")),
    }
}

fn pair(builder: &mut Builder, kind: Binary, left: &Value, right: &Value) -> Result<Batch, Stop> {
    let (left, right) = match (left, right) {
        (Value::Batch(left), Value::Batch(right)) => (left.clone(), right.clone()),
        (Value::Batch(left), Value::Constant(right)) => (left.clone(), spread(builder, right, left)?),
        (Value::Constant(left), Value::Batch(right)) => (spread(builder, left, right)?, right.clone()),
        _ => return Err(Stop::because("it combines constants or labels")),
    };
    if left.double != right.double {
        return Err(Stop::because("it combines floats and doubles"));
    }
    let columns = left.columns.len().max(right.columns.len());
    let fits =
        |batch: &Batch| batch.columns.len() == columns || (batch.columns.len() == 1 && batch.layout == Layout::Matrix);
    if left.layout != right.layout || !fits(&left) || !fits(&right) {
        return Err(Stop::because("it combines tensors of shapes that do not go together row by row"));
    }
    let at = |batch: &Batch, place: usize| batch.columns[if batch.columns.len() == 1 { 0 } else { place }];
    let single = !left.double;
    let combined = (0..columns)
        .map(|place| builder.binary(kind, at(&left, place), at(&right, place), single))
        .collect::<Result<_, _>>()?;
    Ok(Batch { layout: left.layout, columns: combined, double: left.double })
}

/// A constant as columns beside a batch: one number for all, or one a column of a matrix.
fn spread(builder: &mut Builder, constant: &Constant, beside: &Batch) -> Result<Batch, Stop> {
    let (numbers, double) = match &constant.elements {
        Elements::Floats(values) => (values.iter().map(|&value| f64::from(value)).collect(), false),
        Elements::Doubles(values) => (values.clone(), true),
        Elements::Integers(_) => return Err(Stop::because("it combines integers")),
    };
    let rank = match beside.layout {
        Layout::Rows => 1,
        Layout::Matrix => 2,
        Layout::Stack { .. } => 3,
    };
    let row = matches!(*constant.dimensions, [_] | [1, _]) && beside.layout == Layout::Matrix;
    let columns: Vec<Register> = match numbers.as_slice() {
        [number] if constant.dimensions.len() <= rank => {
            vec![builder.constant(*number)?; beside.columns.len()]
        }
        numbers if row && !numbers.is_empty() => {
            numbers.iter().map(|&number| builder.constant(number)).collect::<Result<_, _>>()?
        }
        _ => return Err(Stop::because(format!("it combines a constant of shape {:?}", constant.dimensions))),
    };
    Ok(Batch { layout: beside.layout, columns, double })
}

/// Sum, and if `mean` divide, over an axis that is not the rows'.
pub(super) fn reduce(
    builder: &mut Builder,
    batch: &Batch,
    axes: &[i64],
    keep: bool,
    mean: bool,
) -> Result<Batch, Stop> {
    let count = batch.columns.len();
    let (layout, groups): (Layout, Vec<Vec<Register>>) = match (batch.layout, axes) {
        (Layout::Matrix, [1 | -1]) => (if keep { Layout::Matrix } else { Layout::Rows }, vec![batch.columns.clone()]),
        (Layout::Stack { depth }, [0 | -3]) => {
            let width = count / depth;
            let group = |column: usize| batch.columns.iter().skip(column).step_by(width).copied().collect();
            (if keep { Layout::Stack { depth: 1 } } else { Layout::Matrix }, (0..width).map(group).collect())
        }
        _ => return Err(Stop::because(format!("it reduces axes {axes:?}"))),
    };
    let single = !batch.double;
    let mut columns = Vec::with_capacity(groups.len());
    for group in &groups {
        let mut reduced = builder.fold(Binary::Add, group, single)?;
        if mean {
            let size = builder.constant(group.len() as f64)?;
            reduced = builder.binary(Binary::Divide, reduced, size, single)?;
        }
        columns.push(reduced);
    }
    Ok(Batch { layout, columns, double: batch.double })
}
