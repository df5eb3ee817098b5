//! What every expression means, slow and obvious: the oracle to which the tests hold the kernels.
//!
//! It walks the expression as it was parsed, one user and one function at a time, over a plain list of the events
//! selected. It shares no code with the binder, the plan or the kernels, keeps nothing between two calls, and takes
//! local time from `jiff` event by event. Expressions are taken to be well typed: the binder refuses the others.
//!
//! Sums, means and deviations run in f64 from the newest event to the oldest. This order is part of the definition.

mod operators;
mod wall_clock;

use jiff::tz::TimeZone;

use self::operators::{binary, like, math, unary};
use self::wall_clock::local;
use crate::DAY_US;
use crate::events::{Column, ColumnKind, EventLog};
use crate::expr::{Aggregate, Expr, Function, Literal};

/// The events that may be looked at: those with `start_us <= time < end_us`.
#[derive(Debug, Clone)]
pub struct Moment {
    /// The first instant that is in, microseconds since 1970-01-01 UTC; `None` is all history.
    pub start_us: Option<i64>,
    /// The first instant that is out: the `as_of` of features, the horizon's end for labels.
    pub end_us: i64,
    /// Where days and hours are those of the wall clock.
    pub timezone: TimeZone,
}

/// The value of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Missing: SQL's NULL.
    Missing,
    /// A number, never NaN; an instant is its microseconds since 1970-01-01 UTC.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// Text.
    Text(String),
}

impl Value {
    /// The value as a number: 1 and 0 for true and false, NaN if missing. Text has no number of its own: NaN.
    #[must_use]
    pub fn as_f64(&self) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::Boolean(value) => f64::from(u8::from(*value)),
            Self::Missing | Self::Text(_) => f64::NAN,
        }
    }

    /// A number; NaN is missing.
    fn number(number: f64) -> Self {
        if number.is_nan() { Self::Missing } else { Self::Number(number) }
    }
}

/// The value of an expression for one user of the log; a name that the log does not hold is missing.
#[must_use]
pub fn evaluate(log: &EventLog, expr: &Expr, user: usize, moment: &Moment) -> Value {
    evaluate_with(log, expr, user, moment, &|_| Value::Missing)
}

/// [`evaluate`] where scores, tiers, segments and the wall clock have the values that `outside` gives them.
#[must_use]
pub fn evaluate_with(
    log: &EventLog,
    expr: &Expr,
    user: usize,
    moment: &Moment,
    outside: &dyn Fn(&Expr) -> Value,
) -> Value {
    Place { log, user, moment, outside, row: None }.value(expr)
}

/// Where an expression is evaluated.
#[derive(Clone, Copy)]
struct Place<'a> {
    log: &'a EventLog,
    user: usize,
    moment: &'a Moment,
    outside: &'a dyn Fn(&Expr) -> Value,
    /// Inside a FILTER, the event.
    row: Option<usize>,
}

impl Place<'_> {
    fn value(self, expr: &Expr) -> Value {
        match expr {
            Expr::Literal(Literal::Number(number)) => Value::number(*number),
            Expr::Literal(Literal::Text(text)) => Value::Text(text.clone()),
            Expr::Literal(Literal::Boolean(value)) => Value::Boolean(*value),
            Expr::Literal(Literal::Null) => Value::Missing,
            Expr::Property { name, .. } => self.row.map_or(Value::Missing, |row| self.property(name, row)),
            Expr::Attribute { name, .. } => {
                self.log.profile_row(self.user).map_or(Value::Missing, |row| cell(self.log.attributes(), name, row))
            }
            Expr::Aggregate(aggregate) => self.aggregate(aggregate),
            Expr::Unary(op, operand) => unary(*op, &self.value(operand)),
            Expr::Binary(op, left, right) => binary(*op, &self.value(left), &self.value(right)),
            Expr::InList(operand, list) => match self.value(operand) {
                Value::Missing => Value::Missing,
                value => Value::Boolean(list.iter().any(|item| self.value(&Expr::Literal(item.clone())) == value)),
            },
            Expr::Like(operand, pattern) => match self.value(operand) {
                Value::Text(text) => {
                    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
                    Value::Boolean(like(&text, &pattern))
                }
                _ => Value::Missing,
            },
            Expr::Math(function, operands) => {
                let operands: Vec<Value> = operands.iter().map(|operand| self.value(operand)).collect();
                math(*function, &operands)
            }
            Expr::Score { .. } | Expr::Tier { .. } | Expr::InSegment { .. } | Expr::Now(_) => (self.outside)(expr),
        }
    }

    /// A property of an event; `event` is its type.
    fn property(self, name: &str, row: usize) -> Value {
        if name == "event" { Value::Text(self.event_type(row)) } else { cell(self.log.columns(), name, row) }
    }

    fn event_type(self, row: usize) -> String {
        self.log
            .event()
            .code(row)
            .and_then(|code| self.log.event_types().get(code as usize))
            .cloned()
            .unwrap_or_default()
    }

    /// The rows of the events that an aggregate looks at, newest first.
    fn selected(self, aggregate: &Aggregate) -> Vec<usize> {
        let Moment { start_us, end_us, .. } = *self.moment;
        let in_period = |time_us: i64| start_us.is_none_or(|start_us| start_us <= time_us) && time_us < end_us;
        let in_window = |time_us: i64| aggregate.window_us.is_none_or(|w_us| end_us.saturating_sub(w_us) <= time_us);
        let of_type = |row: usize| aggregate.selector.event.as_ref().is_none_or(|event| *event == self.event_type(row));
        let passes = |row: usize| match &aggregate.selector.filter {
            None => true,
            Some(condition) => Place { row: Some(row), ..self }.value(condition) == Value::Boolean(true),
        };
        let mut rows = Vec::new();
        for row in self.log.rows(self.user).rev() {
            let time_us = self.log.time_us()[row];
            if in_period(time_us) && in_window(time_us) && of_type(row) && passes(row) {
                rows.push(row);
            }
        }
        rows
    }

    fn aggregate(self, aggregate: &Aggregate) -> Value {
        let rows = self.selected(aggregate);
        // The values of the property that are not missing; without a property, of the events themselves.
        let values: Vec<Value> = match &aggregate.argument {
            None => rows.iter().map(|_| Value::Boolean(true)).collect(),
            Some(argument) => {
                let cells = rows.iter().map(|&row| cell(self.log.columns(), &argument.property, row));
                cells.filter(|value| *value != Value::Missing).collect()
            }
        };
        if values.is_empty() {
            return Value::number(aggregate.function.empty());
        }
        self.over(aggregate.function, &rows, &values)
    }

    /// A function over one or more values; events and values stand newest first.
    fn over(self, function: Function, rows: &[usize], values: &[Value]) -> Value {
        let numbers: Vec<f64> = values.iter().map(Value::as_f64).collect();
        let times_us: Vec<i64> = rows.iter().map(|&row| self.log.time_us()[row]).collect();
        let (newest_us, oldest_us) = (times_us[0], times_us[times_us.len() - 1]);
        let locals = || times_us.iter().map(|&time_us| local(time_us, &self.moment.timezone));
        let share = |held: usize| held as f64 / times_us.len() as f64;
        Value::number(match function {
            Function::Count => values.len() as f64,
            Function::Sum => sum(&numbers),
            Function::Mean => sum(&numbers) / numbers.len() as f64,
            Function::Min => numbers.iter().copied().min_by(f64::total_cmp).unwrap_or(f64::NAN),
            Function::Max => numbers.iter().copied().max_by(f64::total_cmp).unwrap_or(f64::NAN),
            Function::Std => sample_deviation(&numbers),
            Function::First => return values[values.len() - 1].clone(),
            Function::Last => return values[0].clone(),
            Function::Distinct => distinct(values) as f64,
            Function::Recency => days_between(newest_us, self.moment.end_us),
            Function::Tenure => days_between(oldest_us, self.moment.end_us),
            Function::ActiveDays => distinct(&locals().map(|local| local.day).collect::<Vec<_>>()) as f64,
            Function::GapMean if times_us.len() < 2 => f64::NAN,
            Function::GapMean => days_between(oldest_us, newest_us) / (times_us.len() - 1) as f64,
            Function::GapStd => {
                let gaps_days = times_us.windows(2).map(|pair| days_between(pair[1], pair[0]));
                sample_deviation(&gaps_days.collect::<Vec<_>>())
            }
            Function::DecayedCount { half_life_us } => {
                let ages_us = times_us.iter().map(|&time_us| self.moment.end_us.abs_diff(time_us) as f64);
                sum(&ages_us.map(|age_us| power_of_half(age_us / half_life_us as f64)).collect::<Vec<_>>())
            }
            Function::HourShare { from, to } => share(locals().filter(|local| wraps(from, local.hour, to)).count()),
            Function::WeekdayShare { from, to } => {
                share(locals().filter(|local| wraps(from, local.weekday, to)).count())
            }
        })
    }
}

/// The value of a named column in a row.
fn cell(columns: &[Column], name: &str, row: usize) -> Value {
    match columns.iter().find(|column| column.name == name) {
        None => Value::Missing,
        Some(column) => match column.kind {
            ColumnKind::Text => column.text(row).map_or(Value::Missing, |text| Value::Text(text.to_owned())),
            ColumnKind::Boolean if column.number(row).is_nan() => Value::Missing,
            ColumnKind::Boolean => Value::Boolean(column.number(row) == 1.0),
            ColumnKind::Number | ColumnKind::Time => Value::number(column.number(row)),
        },
    }
}

/// The sum in the order given.
fn sum(numbers: &[f64]) -> f64 {
    numbers.iter().fold(0.0, |sum, number| sum + number)
}

/// Welford's recurrence in the order given; NaN under two numbers.
fn sample_deviation(numbers: &[f64]) -> f64 {
    let (mut n, mut mean, mut m2) = (0.0, 0.0, 0.0);
    for x in numbers {
        let delta = x - mean;
        n += 1.0;
        mean += delta / n;
        m2 += delta * (x - mean);
    }
    if n < 2.0 { f64::NAN } else { f64::sqrt(m2 / (n - 1.0)) }
}

/// How many of the values differ; -0 is 0.
fn distinct<T: PartialEq>(values: &[T]) -> usize {
    let mut seen: Vec<&T> = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen.len()
}

/// One half to the power of a number that is not negative: with k the nearest whole number to its negative and r what
/// is left, the first 14 terms of the exponential series of r · ln 2, times 2^k in two steps. The steps are part of
/// the definition, so that the bits are those of no C library.
fn power_of_half(halvings: f64) -> f64 {
    let exponent = f64::max(-halvings, -1_100.0);
    let whole = exponent.round_ties_even();
    let rest = (exponent - whole) * std::f64::consts::LN_2;
    let factorial = |n: i32| (1..=n).map(f64::from).product::<f64>();
    let series = (0..14).rev().fold(0.0, |sum, n| sum * rest + 1.0 / factorial(n));
    let half = (whole / 2.0).floor();
    series * f64::powi(2.0, half as i32) * f64::powi(2.0, (whole - half) as i32)
}

/// Days of 86,400 s from one instant to a later one.
fn days_between(earlier_us: i64, later_us: i64) -> f64 {
    later_us.abs_diff(earlier_us) as f64 / DAY_US as f64
}

/// Whether a number lies between two others, both included; `from > to` goes round.
fn wraps(from: u8, number: u8, to: u8) -> bool {
    if from <= to { from <= number && number <= to } else { from <= number || number <= to }
}
