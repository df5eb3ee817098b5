//! Comparisons of text and time with constants, made into lookups over codes and into numbers.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::ast::{BinaryOp, Literal};
use super::error::ExprError;
use super::program::Node;
use super::scope::Typed;
use crate::events::ColumnKind;

/// `operand op 'constant'` for text: the answer for every text of the dictionary, looked up by code.
pub(super) fn compare_text<'a>(
    text: &str,
    op: BinaryOp,
    operand: &Typed<'a>,
    constant: &str,
) -> Result<Typed<'a>, ExprError> {
    lookup(text, operand, |value| {
        let order = value.cmp(constant);
        match op {
            BinaryOp::Equal => order.is_eq(),
            BinaryOp::NotEqual => order.is_ne(),
            BinaryOp::Less => order.is_lt(),
            BinaryOp::LessEqual => order.is_le(),
            BinaryOp::Greater => order.is_gt(),
            _ => order.is_ge(),
        }
    })
}

/// `operand op 'constant'` for times; the constant is a date or an instant, UTC unless it has an offset.
pub(super) fn compare_time<'a>(
    text: &str,
    op: BinaryOp,
    operand: Typed<'a>,
    constant: &str,
) -> Result<Typed<'a>, ExprError> {
    let instant_us = parse_instant_us(constant).ok_or_else(|| ExprError::Type {
        text: text.to_owned(),
        what: format!("'{constant}'"),
        expected: "a date or an instant such as '2024-05-01' or '2024-05-01T12:00:00Z'",
        found: "another text",
    })?;
    let constant = Node::Constant(instant_us as f64);
    Ok(Typed::new(Node::Binary(op, Box::new(operand.node), Box::new(constant)), ColumnKind::Boolean))
}

/// `operand IN (list)`.
pub(super) fn in_list<'a>(text: &str, operand: Typed<'a>, list: &[Literal]) -> Result<Typed<'a>, ExprError> {
    let mismatch = |found: &'static str| ExprError::Type {
        text: text.to_owned(),
        what: "IN".to_owned(),
        expected: operand.kind.name(),
        found,
    };
    // What is missing whatever it would be may be asked for texts as well as for numbers.
    let of_texts = operand.node.is_null() && matches!(list.first(), Some(Literal::Text(_)));
    if operand.kind == ColumnKind::Text || of_texts {
        let texts: Vec<&str> = list
            .iter()
            .map(|item| match item {
                Literal::Text(constant) => Ok(constant.as_str()),
                _ => Err(mismatch("a constant that is not text")),
            })
            .collect::<Result<_, _>>()?;
        return lookup(text, &operand, |value| texts.contains(&value));
    }
    let numbers = list
        .iter()
        .map(|item| match (item, operand.kind) {
            (Literal::Number(number), ColumnKind::Number) => Ok(*number),
            (Literal::Boolean(value), ColumnKind::Boolean) => Ok(f64::from(u8::from(*value))),
            (Literal::Null, _) => Err(mismatch("NULL; use IS NULL")),
            _ => Err(mismatch("a constant of another type")),
        })
        .collect::<Result<_, _>>()?;
    Ok(Typed::new(Node::InNumbers(Box::new(operand.node), numbers), ColumnKind::Boolean))
}

/// `operand LIKE pattern`.
pub(super) fn like<'a>(text: &str, operand: &Typed<'a>, pattern: &str) -> Result<Typed<'a>, ExprError> {
    let pattern: Vec<char> = pattern.chars().collect();
    lookup(text, operand, |value| matches_like(&value.chars().collect::<Vec<_>>(), &pattern))
}

fn lookup<'a>(text: &str, operand: &Typed<'a>, holds: impl Fn(&str) -> bool) -> Result<Typed<'a>, ExprError> {
    if operand.node.is_null() {
        return Ok(Typed::new(Node::Constant(f64::NAN), ColumnKind::Boolean));
    }
    let (Node::Leaf(leaf), Some(dictionary)) = (&operand.node, operand.dictionary) else {
        return Err(ExprError::Type {
            text: text.to_owned(),
            what: "a comparison with text".to_owned(),
            expected: "a text property or attribute",
            found: operand.kind.name(),
        });
    };
    let table = dictionary.iter().map(|value| f64::from(u8::from(holds(value)))).collect();
    Ok(Typed::new(Node::Lookup(*leaf, table), ColumnKind::Boolean))
}

/// Greedy matching with one point of return, linear in text times the number of `%`.
fn matches_like(value: &[char], pattern: &[char]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while at < value.len() {
        match pattern.get(place) {
            Some('%') => {
                retry = Some((place, at));
                place += 1;
            }
            Some(&letter) if letter == '_' || letter == value[at] => {
                at += 1;
                place += 1;
            }
            _ => match retry {
                Some((wildcard, from)) => {
                    retry = Some((wildcard, from + 1));
                    place = wildcard + 1;
                    at = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[place..].iter().all(|&letter| letter == '%')
}

fn parse_instant_us(text: &str) -> Option<i64> {
    let utc = |civil: DateTime| civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let instant = text.parse::<Timestamp>().ok().or_else(|| text.parse::<DateTime>().ok().and_then(utc))?;
    Some(instant.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::matches_like;

    #[test]
    fn like_matches_as_sql_does() {
        let matches = |value: &str, pattern: &str| {
            matches_like(&value.chars().collect::<Vec<_>>(), &pattern.chars().collect::<Vec<_>>())
        };
        for (value, pattern, expected) in [
            ("movie", "movie", true),
            ("movie", "mov%", true),
            ("movie", "%v%", true),
            ("movie", "m_vie", true),
            ("movie", "m%z", false),
            ("", "%", true),
            ("", "_", false),
            ("abab", "%ab", true),
            ("a%b", "a_b", true),
        ] {
            assert_eq!(matches(value, pattern), expected, "{value} LIKE {pattern}");
        }
    }
}
