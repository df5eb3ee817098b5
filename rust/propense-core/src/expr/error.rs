//! What can be wrong with an expression.

use std::fmt;

use thiserror::Error;

use super::ast::Expr;
use super::nearest::did_you_mean;

/// Why an expression was refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ExprError {
    /// The text is not an SQL expression.
    #[error("cannot parse {text:?}: {reason}")]
    Syntax {
        /// The whole expression.
        text: String,
        /// What the parser says, with the position.
        reason: String,
    },
    /// The text is longer than any sensible expression.
    #[error("an expression of {length} bytes; at most {limit} are read")]
    TooLong {
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// Operations inside operations beyond any sensible expression.
    #[error("an expression that nests deeper than {limit}, or has a longer chain of operators; split it, or use IN")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// SQL that the language does not have.
    #[error("{what} is not part of the language, {}; {hint}", Where(.text, .position))]
    Unsupported {
        /// The whole expression.
        text: String,
        /// Where the function stands that it is in, in characters of the whole text, counted from 1; 0 if it is in none.
        position: u64,
        /// The part that is not known.
        what: String,
        /// What to write instead.
        hint: &'static str,
    },
    /// A function that does not exist.
    #[error("unknown function {name:?} at {} of {text:?}{}", Place(.text, .position), did_you_mean(.nearest.as_deref()))]
    UnknownFunction {
        /// The whole expression.
        text: String,
        /// The name.
        name: String,
        /// Where it stands, in characters of the whole text, counted from 1.
        position: u64,
        /// The known name closest to it.
        nearest: Option<String>,
    },
    /// A function with the wrong arguments.
    #[error("{function} {}: expected {expected}", Where(.text, .position))]
    Arguments {
        /// The whole expression.
        text: String,
        /// Where the function stands, in characters of the whole text, counted from 1.
        position: u64,
        /// The function.
        function: String,
        /// How it is called.
        expected: String,
    },
    /// An interval that is not a number and a unit.
    #[error("{text:?} is not an interval; write a whole number above 0 and one of s, m, h, d, w, such as '30d'")]
    Duration {
        /// The text.
        text: String,
    },
    /// An argument of a function that should be an interval.
    #[error("{interval}, {}", Where(.text, .position))]
    Interval {
        /// The whole expression.
        text: String,
        /// Where the function stands, in characters of the whole text, counted from 1.
        position: u64,
        /// What is wrong.
        interval: Box<ExprError>,
    },
    /// A name that the log does not hold.
    #[error("unknown {what} {name:?} at {} of {text:?}{}", Place(.text, .position), did_you_mean(.nearest.as_deref()))]
    UnknownName {
        /// The whole expression.
        text: String,
        /// What the name should be: an event type, a property or an attribute.
        what: &'static str,
        /// The name.
        name: String,
        /// Where it stands, in characters of the whole text, counted from 1.
        position: u64,
        /// The known name closest to it.
        nearest: Option<String>,
    },
    /// An operation on operands that it does not have.
    #[error("{what} in {text:?}: expected {expected}, found {found}")]
    Type {
        /// The whole expression.
        text: String,
        /// The part.
        what: String,
        /// What it needs.
        expected: &'static str,
        /// What it got.
        found: &'static str,
    },
    /// Something that is only allowed elsewhere.
    #[error("{what} in {text:?}: {reason}")]
    Misplaced {
        /// The whole expression.
        text: String,
        /// The part.
        what: String,
        /// Why not here.
        reason: &'static str,
    },
}

/// Before the place, in what is wrongly typed.
const NEAR: &str = " near ";

/// A place of a text as people count: its column, and in a text of several lines its line.
struct Place<'a>(&'a str, &'a u64);

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text, position) = *self;
        if !text.contains('\n') {
            return write!(formatter, "column {position}");
        }
        let (mut line, mut column) = (1, 1);
        for sign in text.chars().take(position.saturating_sub(1) as usize) {
            (line, column) = if sign == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        write!(formatter, "line {line}, column {column}")
    }
}

/// A place of a text, or just the text if the place is 0.
struct Where<'a>(&'a str, &'a u64);

impl fmt::Display for Where<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text, position) = *self;
        if *position == 0 {
            return write!(formatter, "in {text:?}");
        }
        write!(formatter, "at {} of {text:?}", Place(text, position))
    }
}

impl ExprError {
    /// The error, if nobody said yet where it is, with the place of the function of a text that it is in.
    pub(super) fn in_function(mut self, text: &str, place: u64) -> Self {
        match &mut self {
            Self::Unsupported { position, .. } | Self::Arguments { position, .. } if *position == 0 => {
                *position = place;
                self
            }
            Self::Duration { .. } => {
                Self::Interval { text: text.to_owned(), position: place, interval: Box::new(self) }
            }
            _ => self,
        }
    }

    /// The error, if it is of a type, with the place of the first name of the smallest expression that is wrong.
    pub(super) fn near(mut self, expr: &Expr) -> Self {
        if let Self::Type { text, what, .. } = &mut self
            && !what.contains(NEAR)
            && let Some(position) = expr.position()
        {
            what.push_str(NEAR);
            what.push_str(&Place(text, &position).to_string());
        }
        self
    }
}
