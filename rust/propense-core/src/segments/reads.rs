//! What rules read that is not in the log, checked against what there is.

use crate::expr::{BinaryOp, Expr, ExprError, Externals, Literal, nearest};

/// The models and the segments that a rule names, by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) models: Vec<usize>,
    pub(super) segments: Vec<usize>,
}

impl Named {
    /// Adds what an expression names.
    ///
    /// # Errors
    /// A model, a segment or a tier that there is not.
    pub(super) fn add(
        &mut self,
        expr: &Expr,
        text: &str,
        models: &[String],
        segments: &[String],
    ) -> Result<(), ExprError> {
        for part in expr.parts() {
            match part {
                Expr::Score { name, position } | Expr::Tier { name, position } => {
                    insert(&mut self.models, find(models, "model", text, name, *position)?);
                }
                Expr::InSegment { name, position } => {
                    insert(&mut self.segments, find(segments, "segment", text, name, *position)?);
                }
                _ => check_tiers(part, text)?,
            }
        }
        Ok(())
    }
}

fn insert(numbers: &mut Vec<usize>, number: usize) {
    if let Err(place) = numbers.binary_search(&number) {
        numbers.insert(place, number);
    }
}

fn find(names: &[String], what: &'static str, text: &str, name: &str, position: u64) -> Result<usize, ExprError> {
    names.binary_search_by(|known| known.as_str().cmp(name)).map_err(|_| ExprError::UnknownName {
        text: text.to_owned(),
        what,
        name: name.to_owned(),
        position,
        nearest: nearest(name, names.iter().map(String::as_str)),
    })
}

/// A comparison of a tier with a text that is no tier would never hold.
fn check_tiers(part: &Expr, text: &str) -> Result<(), ExprError> {
    let (position, constants): (u64, Vec<&Literal>) = match part {
        Expr::Binary(BinaryOp::Equal | BinaryOp::NotEqual, left, right) => match (left.as_ref(), right.as_ref()) {
            (Expr::Tier { position, .. }, Expr::Literal(constant))
            | (Expr::Literal(constant), Expr::Tier { position, .. }) => (*position, vec![constant]),
            _ => return Ok(()),
        },
        Expr::InList(operand, list) => match operand.as_ref() {
            Expr::Tier { position, .. } => (*position, list.iter().collect()),
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    for constant in constants {
        if let Literal::Text(tier) = constant
            && !Externals::TIERS.contains(&tier.as_str())
        {
            return Err(ExprError::UnknownName {
                text: text.to_owned(),
                what: "tier",
                name: tier.clone(),
                position: place_of(tier, text, position),
                nearest: nearest(tier, Externals::TIERS),
            });
        }
    }
    Ok(())
}

/// Where a tier is written: behind the name of the model that stands at this place, or before it.
fn place_of(tier: &str, text: &str, model: u64) -> u64 {
    let quoted = format!("'{}'", tier.replace('\'', "''"));
    let places = text.match_indices(&quoted).map(|(byte, _)| text[..byte].chars().count() as u64 + 1);
    let (before, behind): (Vec<u64>, Vec<u64>) = places.partition(|place| *place < model);
    behind.first().or(before.last()).copied().unwrap_or(model)
}
