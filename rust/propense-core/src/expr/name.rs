//! Column names derived from an expression's text.

use std::fmt::Write;

use super::aggregate::{Aggregate, Function};
use super::ast::Expr;
use super::duration::format_duration;

/// Longer names are cut; equal names are told apart by whoever collects them.
const NAME_LIMIT: usize = 120;

/// The column name of a feature, such as `purchase_amount_sum_90d`.
///
/// Letters are lower-case, digits stay, comparison operators become words, and everything else becomes `_`.
#[must_use]
pub fn feature_name(expr: &Expr) -> String {
    let name = match expr {
        Expr::Aggregate(aggregate) => aggregate_name(aggregate),
        Expr::Attribute { name, .. } => slug(name),
        other => slug(&inner_names(other)),
    };
    name.chars().take(NAME_LIMIT).collect()
}

/// A text in lower-case letters, digits and single underscores.
#[must_use]
pub fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for letter in text.chars().flat_map(char::to_lowercase) {
        if letter.is_alphanumeric() {
            slug.push(letter);
        } else if !slug.ends_with('_') {
            slug.push('_');
        }
    }
    slug.trim_matches('_').to_owned()
}

fn aggregate_name(aggregate: &Aggregate) -> String {
    let mut name = aggregate.selector.event.as_deref().map_or_else(|| "any".to_owned(), slug);
    if let Some(argument) = &aggregate.argument {
        let _ = write!(name, "_{}", slug(&argument.property));
    }
    let _ = write!(name, "_{}", aggregate.function.name());
    match aggregate.function {
        Function::DecayedCount { half_life_us } => {
            let _ = write!(name, "_{}", format_duration(half_life_us));
        }
        Function::HourShare { from, to } | Function::WeekdayShare { from, to } => {
            let _ = write!(name, "_{from}_{to}");
        }
        _ => {}
    }
    if let Some(window_us) = aggregate.window_us {
        let _ = write!(name, "_{}", format_duration(window_us));
    }
    if let Some(filter) = &aggregate.selector.filter {
        let _ = write!(name, "_where_{}", slug(&inner_names(filter)));
    }
    name
}

/// The expression's text with every aggregate replaced by its name and every operator by a word.
fn inner_names(expr: &Expr) -> String {
    match expr {
        Expr::Aggregate(aggregate) => aggregate_name(aggregate),
        Expr::Attribute { name, .. } | Expr::Property { name, .. } => name.clone(),
        Expr::Literal(literal) => literal.to_string().replace('-', "minus_"),
        Expr::Unary(op, operand) => match op {
            super::UnaryOp::Negate => format!("minus_{}", inner_names(operand)),
            super::UnaryOp::Not => format!("not_{}", inner_names(operand)),
            super::UnaryOp::IsNull => format!("{}_is_null", inner_names(operand)),
        },
        Expr::Binary(op, left, right) => {
            format!("{}_{}_{}", inner_names(left), op.word(), inner_names(right))
        }
        Expr::InList(operand, list) => {
            let list: Vec<String> = list.iter().map(ToString::to_string).collect();
            format!("{}_in_{}", inner_names(operand), list.join("_"))
        }
        Expr::Like(operand, pattern) => format!("{}_like_{pattern}", inner_names(operand)),
        Expr::Math(function, operands) => {
            let operands: Vec<String> = operands.iter().map(inner_names).collect();
            format!("{}_{}", function.name(), operands.join("_"))
        }
        Expr::Score { .. } | Expr::Tier { .. } | Expr::InSegment { .. } | Expr::Now(_) => expr.to_string(),
    }
}
