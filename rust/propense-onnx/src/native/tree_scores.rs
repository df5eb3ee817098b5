//! What a tree node gives, from the sums of its trees: base values, classes, post-transforms.
//!
//! These are ONNX Runtime's rules (`tree_ensemble_aggregator.h` and `ml_common.h`), not the
//! specification's; where they depend on more than the sums, the node is left to it.

use super::program::{Binary, Register, Unary};
use super::stop::Stop;
use super::trees::Coverage;
use super::value::Builder;

/// What is done to the scores at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transform {
    None,
    Logistic,
    Softmax,
    SoftmaxZero,
}

impl Transform {
    pub(super) fn named(name: Option<&str>) -> Result<Self, Stop> {
        match name {
            None | Some("NONE") => Ok(Self::None),
            Some("LOGISTIC") => Ok(Self::Logistic),
            Some("SOFTMAX") => Ok(Self::Softmax),
            Some("SOFTMAX_ZERO") => Ok(Self::SoftmaxZero),
            Some(other) => Err(Stop::because(format!("post_transform {other:?} is not known to be exact"))),
        }
    }

    fn apply(self, builder: &mut Builder, columns: &[Register]) -> Result<Vec<Register>, Stop> {
        match self {
            Self::None => Ok(columns.to_vec()),
            Self::Logistic => columns.iter().map(|&score| builder.unary(Unary::Sigmoid, score, true)).collect(),
            Self::Softmax => softmax(builder, columns, true),
            Self::SoftmaxZero => softmax_zero(builder, columns),
        }
    }
}

/// exp(x − greatest) over their sum.
pub(super) fn softmax(builder: &mut Builder, columns: &[Register], single: bool) -> Result<Vec<Register>, Stop> {
    let greatest = builder.fold(Binary::Maximum, columns, false)?;
    let mut terms = Vec::with_capacity(columns.len());
    for &score in columns {
        let below = builder.binary(Binary::Subtract, score, greatest, false)?;
        terms.push(builder.unary(Unary::Exponential, below, false)?);
    }
    shares(builder, &terms, single)
}

fn softmax_zero(builder: &mut Builder, columns: &[Register]) -> Result<Vec<Register>, Stop> {
    let greatest = builder.fold(Binary::Maximum, columns, false)?;
    let term = |&score| builder.binary(Binary::SoftmaxZero, score, greatest, false);
    let terms: Vec<Register> = columns.iter().map(term).collect::<Result<_, _>>()?;
    shares(builder, &terms, true)
}

fn shares(builder: &mut Builder, terms: &[Register], single: bool) -> Result<Vec<Register>, Stop> {
    let sum = builder.fold(Binary::Add, terms, false)?;
    terms.iter().map(|&term| builder.binary(Binary::Divide, term, sum, single)).collect()
}

/// The outputs of a regressor, whose base values are none or one a target.
///
/// A target without a value is 0, whatever its base value. With one target ONNX Runtime does
/// nothing at the end, whatever the transform (but `PROBIT`).
pub(super) fn regressor(
    builder: &mut Builder,
    sums: &[Register],
    divisor: Option<usize>,
    base: &[f32],
    coverage: &[Coverage],
    transform: Transform,
) -> Result<Vec<Register>, Stop> {
    let mut scores = sums.to_vec();
    if let Some(trees) = divisor {
        let trees = builder.constant(f64::from(trees as f32))?;
        for score in &mut scores {
            *score = builder.binary(Binary::Divide, *score, trees, true)?;
        }
    }
    for ((score, &base), &coverage) in scores.iter_mut().zip(base).zip(coverage) {
        *score = added_if_any(builder, *score, base, coverage)?;
    }
    if scores.len() == 1 { Ok(scores) } else { transform.apply(builder, &scores) }
}

/// The probabilities of a classifier of at least two classes.
pub(super) fn classifier(
    builder: &mut Builder,
    sums: &[Register],
    base: &[f32],
    leaves: &Leaves,
    transform: Transform,
) -> Result<Vec<Register>, Stop> {
    let ([first, second], [first_coverage, second_coverage]) = (sums, leaves.coverage.as_slice()) else {
        let mut scores = sums.to_vec();
        for (score, &base) in scores.iter_mut().zip(base) {
            *score = added(builder, *score, base)?;
        }
        return transform.apply(builder, &scores);
    };
    let first = match base {
        [] => *first,
        [only] => added_if_any(builder, *first, *only, *first_coverage)?,
        _ => return Err(Stop::because("two classes have two base values")),
    };
    match second_coverage {
        Coverage::Always => transform.apply(builder, &[first, *second]),
        Coverage::Never => one_column(builder, first, leaves.no_negative, transform),
        Coverage::Sometimes => Err(Stop::because("some leaves have no value for the second class")),
    }
}

/// What the rules ask of the leaves of a classifier.
pub(super) struct Leaves {
    pub(super) coverage: Vec<Coverage>,
    /// No value is below 0.
    pub(super) no_negative: bool,
}

/// Two classes of which only the first has values: they are the scores of the second.
fn one_column(
    builder: &mut Builder,
    score: Register,
    no_negative: bool,
    transform: Transform,
) -> Result<Vec<Register>, Stop> {
    let negative = builder.unary(Unary::Negate, score, true)?;
    if transform == Transform::Logistic {
        return transform.apply(builder, &[negative, score]);
    }
    if no_negative {
        // Taken for probabilities.
        let one = builder.constant(1.0)?;
        return Ok(vec![builder.binary(Binary::Subtract, one, score, true)?, score]);
    }
    Ok(vec![negative, score])
}

fn added_if_any(builder: &mut Builder, score: Register, base: f32, coverage: Coverage) -> Result<Register, Stop> {
    match coverage {
        Coverage::Always => added(builder, score, base),
        Coverage::Never => Ok(score),
        Coverage::Sometimes => Err(Stop::because("some rows have a base value but no value to add it to")),
    }
}

fn added(builder: &mut Builder, score: Register, base: f32) -> Result<Register, Stop> {
    let base = builder.constant(f64::from(base))?;
    builder.binary(Binary::Add, score, base, true)
}
