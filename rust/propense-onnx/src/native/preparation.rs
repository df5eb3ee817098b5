//! Operators that pipelines put before their trees, and bounds.

use super::arithmetic::combine;
use super::file::Node;
use super::graph::Context;
use super::program::{Binary, Register};
use super::stop::Stop;
use super::tensor::Elements;
use super::value::{Batch, Builder, Constant, Layout, Value};

/// `Scaler`: (x − offset) · scale, in float32.
pub(super) fn scaler(builder: &mut Builder, batch: &Batch, offset: &[f32], scale: &[f32]) -> Result<Batch, Stop> {
    let columns = per_column(batch, &[offset, scale])?;
    let scaled = |(place, &column): (usize, &Register)| {
        let offset = builder.constant(f64::from(number(offset, place)))?;
        let scale = builder.constant(f64::from(number(scale, place)))?;
        let moved = builder.binary(Binary::Subtract, column, offset, true)?;
        builder.binary(Binary::Multiply, moved, scale, true)
    };
    let columns = columns.iter().enumerate().map(scaled).collect::<Result<_, Stop>>()?;
    Ok(Batch { columns, ..*batch })
}

/// `Imputer` of NaN.
pub(super) fn imputer(builder: &mut Builder, batch: &Batch, replaced: f32, imputed: &[f32]) -> Result<Batch, Stop> {
    if !replaced.is_nan() {
        return Err(Stop::because(format!("it replaces {replaced}, not NaN")));
    }
    let columns = per_column(batch, &[imputed])?;
    let filled = |(place, &column): (usize, &Register)| {
        let imputed = builder.constant(f64::from(number(imputed, place)))?;
        builder.binary(Binary::Impute, column, imputed, true)
    };
    let columns = columns.iter().enumerate().map(filled).collect::<Result<_, Stop>>()?;
    Ok(Batch { columns, ..*batch })
}

/// The columns of a float32 matrix for which each list has one number, or one for all.
fn per_column<'c>(batch: &'c Batch, lists: &[&[f32]]) -> Result<&'c [Register], Stop> {
    let count = batch.columns.len();
    if batch.double || batch.layout != Layout::Matrix {
        return Err(Stop::because("it is no float32 matrix"));
    }
    match lists.iter().find(|list| list.len() != count && list.len() != 1) {
        Some(list) => Err(Stop::because(format!("it has {} numbers for {count} columns", list.len()))),
        None => Ok(&batch.columns),
    }
}

fn number(list: &[f32], place: usize) -> f32 {
    list[if list.len() == 1 { 0 } else { place }]
}

/// `Clip`, whose bounds are attributes or, since version 11, inputs.
pub(super) fn clip(context: &mut Context, node: &Node<'_>, inputs: &[Option<Value>]) -> Result<Batch, Stop> {
    let given = inputs.first().cloned().flatten();
    let mut clipped = given.ok_or_else(|| Stop::because("input 0 is absent"))?;
    for (place, name, kind) in [(1, "min", Binary::Maximum), (2, "max", Binary::Minimum)] {
        let bound = if context.version >= 11 {
            inputs.get(place).cloned().flatten()
        } else {
            node.attributes.float(name)?.map(|bound| {
                Value::Constant(Constant { dimensions: Vec::new(), elements: Elements::Floats(vec![bound]) })
            })
        };
        if let Some(bound) = bound {
            clipped = Value::Batch(combine(&mut context.builder, kind, &[clipped, bound])?);
        }
    }
    match clipped {
        Value::Batch(batch) => Ok(batch),
        _ => Err(Stop::because("it clips a constant")),
    }
}
