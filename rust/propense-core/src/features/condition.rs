//! Goals and audiences: conditions in the language of features.

use super::error::FeatureError;
use crate::events::{ColumnKind, EventLog};
use crate::expr::{Binder, ColumnNames, Expr, Function, UnknownEvents, parse};

/// Checks that a text is a condition that a goal can be: it fits the log and has no windows, as the horizon is its
/// window. Gives the canonical text.
///
/// # Errors
/// The text is not an expression, does not fit the log, is not a condition, or has a window.
pub fn check_goal(text: &str, log: &EventLog) -> Result<String, FeatureError> {
    let expr = parse(text)?;
    if let Some(part) = windowed(&expr) {
        return Err(FeatureError::WindowInGoal { text: text.to_owned(), part });
    }
    check(text, &expr, log, "a goal")
}

/// Checks that a text is a condition that an audience can be. Gives the canonical text.
///
/// # Errors
/// The text is not an expression, does not fit the log, or is not a condition.
pub fn check_audience(text: &str, log: &EventLog) -> Result<String, FeatureError> {
    check(text, &parse(text)?, log, "an audience")
}

fn check(text: &str, expr: &Expr, log: &EventLog, role: &'static str) -> Result<String, FeatureError> {
    let bound = Binder::new(log, UnknownEvents::Refuse).bind(expr, text)?;
    if bound.kind != ColumnKind::Boolean {
        return Err(FeatureError::NotACondition { text: text.to_owned(), found: bound.kind.name(), role });
    }
    Ok(expr.to_string())
}

/// The first aggregate that looks at less than the whole period.
fn windowed(expr: &Expr) -> Option<String> {
    expr.parts().into_iter().find_map(|part| match part {
        Expr::Aggregate(aggregate) => {
            let decays = matches!(aggregate.function, Function::DecayedCount { .. });
            (aggregate.window_us.is_some() || decays).then(|| aggregate.to_string())
        }
        _ => None,
    })
}

/// The event types that an expression names, in order of first mention.
///
/// # Errors
/// The text is not an expression.
pub fn event_types_named(text: &str) -> Result<Vec<String>, FeatureError> {
    let mut named = Vec::new();
    for part in parse(text)?.parts() {
        let Expr::Aggregate(aggregate) = part else { continue };
        if let Some(event) = aggregate.selector.event.as_ref().filter(|event| !named.contains(*event)) {
            named.push(event.clone());
        }
    }
    Ok(named)
}

/// The properties and attributes that expressions read.
///
/// # Errors
/// A text is not an expression.
pub fn columns_named<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<ColumnNames, FeatureError> {
    let mut named = ColumnNames::default();
    for text in texts {
        parse(text)?.name_columns(&mut named);
    }
    Ok(named)
}
