//! An expression and all that it is made of, and what these name.

use std::collections::BTreeSet;

use super::ast::Expr;
use super::scope::EVENT_TYPE;

/// Columns of a log, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnNames {
    /// Properties of events.
    pub properties: BTreeSet<String>,
    /// Attributes of profiles.
    pub attributes: BTreeSet<String>,
}

impl Expr {
    /// The expression, then its operands and theirs, as they stand in the text; a FILTER's condition is not among them.
    #[must_use]
    pub fn parts(&self) -> Vec<&Self> {
        let mut parts = vec![self];
        match self {
            Self::Unary(_, operand) | Self::InList(operand, _) | Self::Like(operand, _) => {
                parts.extend(operand.parts());
            }
            Self::Binary(_, left, right) => {
                parts.extend(left.parts());
                parts.extend(right.parts());
            }
            Self::Math(_, operands) => operands.iter().for_each(|operand| parts.extend(operand.parts())),
            Self::Literal(_)
            | Self::Property { .. }
            | Self::Attribute { .. }
            | Self::Aggregate(_)
            | Self::Score { .. }
            | Self::Tier { .. }
            | Self::InSegment { .. }
            | Self::Now(_) => {}
        }
        parts
    }

    /// Where the first name of the expression stands in the text, counted from 1.
    pub(super) fn position(&self) -> Option<u64> {
        self.parts().into_iter().find_map(|part| match part {
            Self::Property { position, .. }
            | Self::Attribute { position, .. }
            | Self::Score { position, .. }
            | Self::Tier { position, .. }
            | Self::InSegment { position, .. } => Some(*position),
            Self::Aggregate(aggregate) => {
                let named = aggregate.selector.event.as_ref().map(|_| aggregate.selector.position);
                named.or_else(|| aggregate.argument.as_ref().map(|argument| argument.position))
            }
            _ => None,
        })
    }

    /// Adds the properties and attributes that the expression reads, in its FILTERs too; the event type is neither.
    pub fn name_columns(&self, named: &mut ColumnNames) {
        for part in self.parts() {
            match part {
                // In a FILTER this name means the event type, whatever columns there are.
                Self::Property { name, .. } if name != EVENT_TYPE => drop(named.properties.insert(name.clone())),
                Self::Attribute { name, .. } => drop(named.attributes.insert(name.clone())),
                Self::Aggregate(aggregate) => {
                    named.properties.extend(aggregate.argument.iter().map(|argument| argument.property.clone()));
                    if let Some(filter) = &aggregate.selector.filter {
                        filter.name_columns(named);
                    }
                }
                _ => {}
            }
        }
    }
}
