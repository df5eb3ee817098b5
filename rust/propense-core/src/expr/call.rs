//! How each function over events is called.

use sqlparser::ast::Ident;

use super::aggregate::Function;
use super::duration::parse_duration_us;
use super::error::ExprError;

/// One argument as it was written.
pub(super) enum Call<'a> {
    /// `*`
    Wildcard,
    /// `event`
    Name(&'a Ident),
    /// `event.property`
    Path(&'a Ident, &'a Ident),
    /// A number.
    Number(f64),
    /// A quoted text.
    Text(String),
}

impl Call<'_> {
    pub(super) const HINT: &'static str = "arguments are an event, event.property or *, and constants such as '30d'";
}

/// What a call means.
pub(super) struct Shape<'a> {
    pub(super) function: Function,
    pub(super) event: Option<&'a Ident>,
    pub(super) property: Option<&'a Ident>,
    pub(super) window_us: Option<i64>,
}

/// Reads a call; the inner error is how the function is called.
pub(super) fn aggregate_shape<'a>(name: &str, args: &[Call<'a>]) -> Result<Result<Shape<'a>, &'static str>, ExprError> {
    let (expected, with_property) = usage(name);
    let Some((subject, rest)) = args.split_first() else { return Ok(Err(expected)) };
    let (event, property) = match subject {
        Call::Wildcard => (None, None),
        Call::Name(event) => (Some(*event), None),
        Call::Path(event, property) => (Some(*event), Some(*property)),
        _ => return Ok(Err(expected)),
    };
    let fits = match with_property {
        Property::Needed => property.is_some(),
        Property::Optional => true,
        Property::Refused => property.is_none(),
    };
    let Some((function, rest)) = function(name, rest)?.filter(|_| fits) else { return Ok(Err(expected)) };
    let window_us = match rest {
        [] => None,
        // The half-life already says how far back a decayed count looks.
        [Call::Text(window)] if !matches!(function, Function::DecayedCount { .. }) => Some(parse_duration_us(window)?),
        _ => return Ok(Err(expected)),
    };
    Ok(Ok(Shape { function, event, property, window_us }))
}

enum Property {
    Needed,
    Optional,
    Refused,
}

fn usage(name: &str) -> (&'static str, Property) {
    match name {
        "count" => {
            ("count(event), count(event, '30d'), count(event.property, '30d') or count(*, '30d')", Property::Optional)
        }
        "decayed_count" => ("decayed_count(event, '7d') with the half-life", Property::Refused),
        "hour_share" => ("hour_share(event, 18, 23) with hours 0 to 23, then perhaps a window", Property::Refused),
        "weekday_share" => {
            ("weekday_share(event, 6, 7) with days 1 (Monday) to 7, then perhaps a window", Property::Refused)
        }
        "recency" | "tenure" | "active_days" | "gap_mean" | "gap_std" => {
            ("an event or *, then perhaps a window such as '30d'", Property::Refused)
        }
        _ => ("event.property, then perhaps a window such as '30d'", Property::Needed),
    }
}

/// The function and what is left of its arguments; `None` if its own constants do not fit.
fn function<'b, 'a>(name: &str, rest: &'b [Call<'a>]) -> Result<Option<(Function, &'b [Call<'a>])>, ExprError> {
    let plain = match name {
        "count" => Function::Count,
        "sum" => Function::Sum,
        "mean" => Function::Mean,
        "min" => Function::Min,
        "max" => Function::Max,
        "std" => Function::Std,
        "first" => Function::First,
        "last" => Function::Last,
        "distinct" => Function::Distinct,
        "recency" => Function::Recency,
        "tenure" => Function::Tenure,
        "active_days" => Function::ActiveDays,
        "gap_mean" => Function::GapMean,
        "gap_std" => Function::GapStd,
        "decayed_count" => {
            let [Call::Text(half_life), rest @ ..] = rest else { return Ok(None) };
            return Ok(Some((Function::DecayedCount { half_life_us: parse_duration_us(half_life)? }, rest)));
        }
        _ => {
            let [Call::Number(from), Call::Number(to), rest @ ..] = rest else { return Ok(None) };
            let range = if name == "hour_share" { 0.0..=23.0 } else { 1.0..=7.0 };
            if [from, to].iter().any(|bound| !range.contains(*bound) || bound.fract() != 0.0) {
                return Ok(None);
            }
            let (from, to) = (*from as u8, *to as u8);
            let function = if name == "hour_share" {
                Function::HourShare { from, to }
            } else {
                Function::WeekdayShare { from, to }
            };
            return Ok(Some((function, rest)));
        }
    };
    Ok(Some((plain, rest)))
}
