//! What each feature contributed to the logit of a score, where trees and what is around them allow to say.

use std::sync::OnceLock;

use propense_core::forest::{Ensemble, Explainer};
use propense_core::scorer::RowExplainer;

use super::program::{Binary, Operation, Program, Unary};

/// Why the scores of a model cannot be shared out among its features exactly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the model cannot be explained exactly: {why}")]
pub struct NotExplained {
    why: String,
}

impl NotExplained {
    pub(crate) fn because(why: impl Into<String>) -> Self {
        Self { why: why.into() }
    }
}

/// Exact contributions of features to the logit of a score: `base` and the contributions add up to it.
#[derive(Debug)]
pub struct ModelExplainer {
    explainer: Explainer,
    scale: f64,
    offset: f64,
}

impl ModelExplainer {
    /// The logit of a row of which nothing is known: the mean over the training rows.
    #[must_use]
    pub fn base(&self) -> f64 {
        self.scale * self.explainer.base() + self.offset
    }

    /// The features that some tree reads, ascending; the others contribute nothing.
    #[must_use]
    pub fn reads(&self) -> &[u32] {
        self.explainer.reads()
    }
}

impl RowExplainer for ModelExplainer {
    fn width(&self) -> usize {
        self.explainer.width()
    }

    fn reads(&self) -> &[u32] {
        self.explainer.reads()
    }

    fn explain(&self, rows: &[f32], contributions: &mut [f32]) {
        self.explainer.explain(rows, contributions);
        if self.scale != 1.0 {
            for value in contributions.iter_mut() {
                *value = (self.scale * f64::from(*value)) as f32;
            }
        }
    }
}

/// What an explainer is made of, when one is first asked for.
#[derive(Debug)]
pub(super) struct Explainable {
    source: Result<Source, NotExplained>,
    explainer: OnceLock<Result<ModelExplainer, NotExplained>>,
}

#[derive(Debug)]
struct Source {
    ensemble: Ensemble,
    covers: Vec<f32>,
    scale: f64,
    offset: f64,
}

impl Explainable {
    /// `plain` says that the trees read the features themselves, `after` what becomes of their sums.
    pub(super) fn new(ensemble: Ensemble, covers: Option<Vec<f32>>, plain: bool, after: &Program) -> Self {
        let source = || {
            let covers = covers.ok_or("its ONNX file does not say how many training rows came by each node")?;
            let (scale, offset) = logit(after).ok_or("its score is not a logistic function of the sum of its trees")?;
            if plain {
                Ok(Source { ensemble, covers, scale, offset })
            } else {
                Err("its trees do not read features as they are")
            }
        };
        Self { source: source().map_err(NotExplained::because), explainer: OnceLock::new() }
    }

    pub(super) fn explainer(&self) -> Result<&ModelExplainer, NotExplained> {
        let Source { ensemble, covers, scale, offset } = self.source.as_ref().map_err(Clone::clone)?;
        let made = self.explainer.get_or_init(|| match Explainer::compile(ensemble, covers) {
            Ok(explainer) => Ok(ModelExplainer { explainer, scale: *scale, offset: *offset }),
            Err(error) => Err(NotExplained::because(error.to_string())),
        });
        made.as_ref().map_err(Clone::clone)
    }
}

/// The logit of the score as a multiple of the trees' only sum and an offset, if it is that.
fn logit(after: &Program) -> Option<(f64, f64)> {
    let (last, before) = after.instructions().split_last()?;
    let Operation::Unary(Unary::Sigmoid, of) = last.operation else { return None };
    // What each instruction makes of the sum.
    let mut linear: Vec<Option<(f64, f64)>> = Vec::with_capacity(before.len());
    for instruction in before {
        let of = |register: u32| linear.get(register as usize).copied().flatten();
        linear.push(match instruction.operation {
            Operation::Input(_) => Some((1.0, 0.0)),
            Operation::Constant(constant) => Some((0.0, constant)),
            Operation::Unary(Unary::Round, register) => of(register),
            Operation::Unary(Unary::Negate, register) => of(register).map(|(scale, offset)| (-scale, -offset)),
            Operation::Binary(kind, left, right) => match (kind, of(left), of(right)) {
                (Binary::Add, Some(one), Some(other)) => Some((one.0 + other.0, one.1 + other.1)),
                (Binary::Subtract, Some(one), Some(other)) => Some((one.0 - other.0, one.1 - other.1)),
                (Binary::Multiply, Some((scale, offset)), Some((0.0, factor)))
                | (Binary::Multiply, Some((0.0, factor)), Some((scale, offset))) => {
                    Some((scale * factor, offset * factor))
                }
                (Binary::Divide, Some((scale, offset)), Some((0.0, divisor))) => {
                    Some((scale / divisor, offset / divisor))
                }
                _ => None,
            },
            Operation::Unary(..) => None,
        });
    }
    linear.get(of as usize).copied().flatten().filter(|(scale, offset)| scale.is_finite() && offset.is_finite())
}
