//! The engine's matrix beside the reference's values.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use propense_core::events::EventLog;
use propense_core::expr::{Aggregate, Expr, UnknownEvents, parse};
use propense_core::features::reference::{Moment, Value, evaluate};
use propense_core::features::{Feature, FeatureSpec, Period, Plan, Progress, compute};

/// A spec of expressions named `f0`, `f1`, …
pub fn spec(expressions: &[String], timezone: &str) -> FeatureSpec {
    let name =
        |(place, expression): (usize, &String)| Feature { name: format!("f{place}"), expression: expression.clone() };
    FeatureSpec {
        features: expressions.iter().enumerate().map(name).collect(),
        timezone: timezone.to_owned(),
        vocabularies: BTreeMap::new(),
    }
}

/// The matrix of all users, ascending, row by row.
pub fn matrix(log: &EventLog, expressions: &[String], timezone: &str, period: Period) -> Vec<f32> {
    let plan = Plan::compile(&spec(expressions, timezone), log, UnknownEvents::Empty, period.end_us)
        .unwrap_or_else(|error| panic!("{error}"));
    let users: Vec<u32> = (0..log.users().len() as u32).collect();
    let by_column = compute(log, &plan, period, &users, &Progress::default()).unwrap();
    (0..by_column.len()).map(|place| by_column[place % plan.width() * users.len() + place / plan.width()]).collect()
}

/// The reference's moment of a period.
pub fn moment(timezone: &str, period: Period) -> Moment {
    Moment { start_us: period.start_us, end_us: period.end_us, timezone: TimeZone::get(timezone).unwrap() }
}

/// The code of a text that an expression gave: its place among the sorted texts that its property has in the whole
/// log before the end of the period, or its attribute in all profiles.
fn code(log: &EventLog, expr: &Expr, text: &str, before_us: i64) -> Option<usize> {
    let texts: BTreeSet<&str> = match expr {
        Expr::Attribute { name, .. } => {
            let column = log.attributes().iter().find(|column| column.name == *name)?;
            column.dictionary.iter().map(String::as_str).collect()
        }
        Expr::Aggregate(Aggregate { argument: Some(argument), .. }) => {
            let column = log.columns().iter().find(|column| column.name == argument.property)?;
            (0..log.len()).filter(|&row| log.time_us()[row] < before_us).filter_map(|row| column.text(row)).collect()
        }
        _ => return None,
    };
    texts.iter().position(|known| *known == text)
}

/// The reference's value as the matrix holds it.
fn expected(log: &EventLog, expr: &Expr, user: usize, moment: &Moment) -> f32 {
    match evaluate(log, expr, user, moment) {
        Value::Text(text) => code(log, expr, &text, moment.end_us).unwrap() as f32,
        value => value.as_f64() as f32,
    }
}

/// Every value of the matrix that is not the reference's to the bit; any NaN equals any other.
pub fn disagreements(log: &EventLog, expressions: &[String], timezone: &str, period: Period) -> Vec<String> {
    let matrix = matrix(log, expressions, timezone, period);
    let parsed: Vec<Expr> = expressions.iter().map(|text| parse(text).unwrap()).collect();
    let moment = moment(timezone, period);
    let mut found = Vec::new();
    for (user, row) in matrix.chunks_exact(expressions.len()).enumerate() {
        for ((got, expr), text) in row.iter().zip(&parsed).zip(expressions) {
            let want = expected(log, expr, user, &moment);
            if got.to_bits() != want.to_bits() && !(got.is_nan() && want.is_nan()) {
                found.push(format!("{text} of user {user} is {got:?}, not {want:?} ({timezone}, {period:?})"));
            }
        }
    }
    found
}
