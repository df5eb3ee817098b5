//! The functions over a user's events.

use std::fmt;

use super::ast::{Expr, quote_identifier};
use super::duration::format_duration;

/// What is computed from the selected events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Function {
    /// Events; with a property, events in which it is not missing.
    Count,
    /// Sum of a property; 0 without values.
    Sum,
    /// Mean of a property.
    Mean,
    /// Smallest value of a property.
    Min,
    /// Largest value of a property.
    Max,
    /// Sample standard deviation of a property; missing under two values.
    Std,
    /// Oldest value of a property.
    First,
    /// Newest value of a property.
    Last,
    /// Distinct values of a property, exactly.
    Distinct,
    /// Days from the newest event to the `as_of`.
    Recency,
    /// Days from the oldest event to the `as_of`.
    Tenure,
    /// Distinct local calendar days with an event.
    ActiveDays,
    /// Mean of the days between consecutive events; missing under two events.
    GapMean,
    /// Sample standard deviation of the days between consecutive events; missing under three events.
    GapStd,
    /// Sum over events of one half to the power of age over half-life.
    DecayedCount {
        /// The half-life, microseconds.
        half_life_us: i64,
    },
    /// Share of events whose local hour lies between two hours, both included; wraps past midnight.
    HourShare {
        /// First hour, 0 to 23.
        from: u8,
        /// Last hour, 0 to 23.
        to: u8,
    },
    /// Share of events whose local day of the week lies between two, both included; 1 is Monday; wraps past Sunday.
    WeekdayShare {
        /// First day, 1 to 7.
        from: u8,
        /// Last day, 1 to 7.
        to: u8,
    },
}

impl Function {
    /// Every function's name in the language.
    pub const NAMES: [&'static str; 17] = [
        "count",
        "sum",
        "mean",
        "min",
        "max",
        "std",
        "first",
        "last",
        "distinct",
        "recency",
        "tenure",
        "active_days",
        "gap_mean",
        "gap_std",
        "decayed_count",
        "hour_share",
        "weekday_share",
    ];

    /// The function's name in the language.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::Min => "min",
            Self::Max => "max",
            Self::Std => "std",
            Self::First => "first",
            Self::Last => "last",
            Self::Distinct => "distinct",
            Self::Recency => "recency",
            Self::Tenure => "tenure",
            Self::ActiveDays => "active_days",
            Self::GapMean => "gap_mean",
            Self::GapStd => "gap_std",
            Self::DecayedCount { .. } => "decayed_count",
            Self::HourShare { .. } => "hour_share",
            Self::WeekdayShare { .. } => "weekday_share",
        }
    }

    /// The value over no events: 0 for what is counted or summed, missing (NaN) for everything else.
    #[must_use]
    pub fn empty(self) -> f64 {
        match self {
            Self::Count | Self::Sum | Self::Distinct | Self::ActiveDays | Self::DecayedCount { .. } => 0.0,
            _ => f64::NAN,
        }
    }
}

/// Which events a function looks at: those of one type or all, that pass a filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    /// The event type; `None` is `*`, every type.
    pub event: Option<String>,
    /// Where the event type stands in the text, counted from 1.
    pub position: u64,
    /// A condition over the event's properties.
    pub filter: Option<Box<Expr>>,
}

/// A property of the selected events.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    /// The property's name.
    pub property: String,
    /// Where it stands in the text, counted from 1.
    pub position: u64,
}

/// A function over a user's selected events in a window before the `as_of`.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// The function.
    pub function: Function,
    /// Its events.
    pub selector: Selector,
    /// The property it reads, if any.
    pub argument: Option<Argument>,
    /// The window `[as_of − w, as_of)` in microseconds; `None` is all history.
    pub window_us: Option<i64>,
}

/// Writes the canonical text, which parses to the same aggregate.
impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.function.name())?;
        match &self.selector.event {
            Some(event) => f.write_str(&quote_identifier(event))?,
            None => f.write_str("*")?,
        }
        if let Some(argument) = &self.argument {
            write!(f, ".{}", quote_identifier(&argument.property))?;
        }
        match self.function {
            Function::DecayedCount { half_life_us } => write!(f, ", '{}'", format_duration(half_life_us))?,
            Function::HourShare { from, to } | Function::WeekdayShare { from, to } => write!(f, ", {from}, {to}")?,
            _ => {}
        }
        if let Some(window_us) = self.window_us {
            write!(f, ", '{}'", format_duration(window_us))?;
        }
        f.write_str(")")?;
        match &self.selector.filter {
            Some(filter) => write!(f, " FILTER (WHERE {filter})"),
            None => Ok(()),
        }
    }
}
