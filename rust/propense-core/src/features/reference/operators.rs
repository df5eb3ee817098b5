//! The operators and the functions of numbers, with SQL's three-valued logic.

use std::cmp::Ordering;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::Value;
use crate::expr::{BinaryOp, MathFunction, UnaryOp};

pub(super) fn unary(op: UnaryOp, operand: &Value) -> Value {
    match (op, operand) {
        (UnaryOp::IsNull, operand) => Value::Boolean(*operand == Value::Missing),
        (UnaryOp::Not, Value::Boolean(value)) => Value::Boolean(!value),
        (UnaryOp::Negate, Value::Number(number)) => Value::Number(-number),
        _ => Value::Missing,
    }
}

/// Missing if a side is, save where the other decides alone; so is what is not a number.
pub(super) fn binary(op: BinaryOp, left: &Value, right: &Value) -> Value {
    let either = |value: Value| *left == value || *right == value;
    match op {
        BinaryOp::And if either(Value::Boolean(false)) => Value::Boolean(false),
        BinaryOp::Or if either(Value::Boolean(true)) => Value::Boolean(true),
        _ if either(Value::Missing) => Value::Missing,
        BinaryOp::And => Value::Boolean(true),
        BinaryOp::Or => Value::Boolean(false),
        BinaryOp::Add => Value::number(left.as_f64() + right.as_f64()),
        BinaryOp::Subtract => Value::number(left.as_f64() - right.as_f64()),
        BinaryOp::Multiply => Value::number(left.as_f64() * right.as_f64()),
        BinaryOp::Divide | BinaryOp::Modulo if right.as_f64() == 0.0 => Value::Missing,
        BinaryOp::Divide => Value::number(left.as_f64() / right.as_f64()),
        BinaryOp::Modulo => Value::number(left.as_f64() % right.as_f64()),
        comparison => order(left, right).map_or(Value::Missing, |order| {
            Value::Boolean(match comparison {
                BinaryOp::Equal => order.is_eq(),
                BinaryOp::NotEqual => order.is_ne(),
                BinaryOp::Less => order.is_lt(),
                BinaryOp::LessEqual => order.is_le(),
                BinaryOp::Greater => order.is_gt(),
                _ => order.is_ge(),
            })
        }),
    }
}

/// Texts compare by bytes; a text compared with an instant is itself an instant.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => Some(left.as_bytes().cmp(right.as_bytes())),
        (Value::Text(left), right) => instant_us(left)?.partial_cmp(&right.as_f64()),
        (left, Value::Text(right)) => left.as_f64().partial_cmp(&instant_us(right)?),
        (left, right) => left.as_f64().partial_cmp(&right.as_f64()),
    }
}

/// A date or an instant in microseconds since 1970-01-01 UTC; without an offset it is UTC.
fn instant_us(text: &str) -> Option<f64> {
    let utc = |civil: DateTime| Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp());
    let instant = text.parse::<Timestamp>().ok().or_else(|| utc(text.parse().ok()?))?;
    Some(instant.as_microsecond() as f64)
}

/// Whether a text is of a pattern, in which `%` is any run of letters and `_` any one.
pub(super) fn like(text: &[char], pattern: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('%', rest)) => (0..=text.len()).any(|skipped| like(&text[skipped..], rest)),
        Some((letter, rest)) => {
            let first = text.first();
            first.is_some_and(|first| *letter == '_' || letter == first) && like(&text[1..], rest)
        }
    }
}

/// Every operand is a number or missing; all functions but `coalesce` have one.
pub(super) fn math(function: MathFunction, operands: &[Value]) -> Value {
    let present = operands.iter().find(|value| **value != Value::Missing);
    match (function, present.map_or(f64::NAN, Value::as_f64)) {
        (MathFunction::Coalesce, number) => Value::number(number),
        (MathFunction::Abs, number) => Value::number(number.abs()),
        (MathFunction::Ln, number) if number <= 0.0 => Value::Missing,
        (MathFunction::Ln, number) => Value::number(number.ln()),
        (MathFunction::Sqrt, number) => Value::number(number.sqrt()),
    }
}
