//! What can be wrong with a batch.

use thiserror::Error;

use crate::batch::{MOST_CELLS, MOST_EVENTS, MOST_PROPERTIES};

/// Why a batch was refused whole.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}{problem}", .row.map(|row| format!("row {row}: ")).unwrap_or_default())]
pub struct BatchError {
    /// The row, counted from 0; `None` if it is not one row's fault.
    pub row: Option<usize>,
    /// What is wrong.
    pub problem: BatchProblem,
}

/// What is wrong with a batch.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BatchProblem {
    /// A user id is empty or too long.
    #[error("the user id has {bytes} bytes; expected 1 to 1,024")]
    UserIdLength {
        /// Its length.
        bytes: usize,
    },
    /// An event type is empty or too long.
    #[error("the event type has {bytes} bytes; expected 1 to 256")]
    EventTypeLength {
        /// Its length.
        bytes: usize,
    },
    /// A property's or attribute's name is empty or too long.
    #[error("a name of a property or attribute has {bytes} bytes; expected 1 to 256")]
    NameLength {
        /// Its length.
        bytes: usize,
    },
    /// A name that sealed parts need for themselves.
    #[error("the name {name:?} is the store's own; give the property another")]
    ReservedName {
        /// The name.
        name: String,
    },
    /// A name is given to two columns.
    #[error("the name {name:?} is given twice")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A text value is too long.
    #[error("the text of {name:?} has {bytes} bytes; expected at most 65,536")]
    TextLength {
        /// The property or attribute.
        name: String,
        /// The text's length.
        bytes: usize,
    },
    /// A time outside the years 1 to 9999.
    #[error("the time {time_us} µs lies outside the years 1 to 9999")]
    Time {
        /// Microseconds since 1970-01-01 UTC.
        time_us: i64,
    },
    /// A value of another kind than the property had when it was first seen.
    #[error("{name:?} is {found} here but {expected} in the store; a kind is fixed by the first value")]
    Kind {
        /// The property or attribute.
        name: String,
        /// Its kind.
        expected: &'static str,
        /// The kind that came.
        found: &'static str,
    },
    /// Too many rows.
    #[error("a batch holds at most {MOST_EVENTS} rows; send several")]
    TooManyEvents,
    /// Too many properties or attributes.
    #[error("a store holds at most {MOST_PROPERTIES} properties, and as many attributes")]
    TooManyProperties,
    /// Too many rows with too many properties.
    #[error("a batch's rows times its properties are at most {MOST_CELLS}; send fewer rows at a time")]
    TooManyCells,
    /// More than 4 GiB of one kind of text.
    #[error("the batch's texts exceed 4 GiB; send several batches")]
    TooLarge,
    /// Columns of different lengths, or a text that is not there.
    #[error("the batch's columns do not fit together")]
    Lengths,
    /// The bytes are no batch.
    #[error("the bytes are no batch: {0}")]
    Encoding(&'static str),
    /// An Arrow column that cannot play its role.
    #[error("column {column:?}: {problem}")]
    Column {
        /// The column.
        column: String,
        /// What was expected and found.
        problem: String,
    },
}

impl BatchProblem {
    /// The error of a row.
    #[must_use]
    pub fn in_row(self, row: usize) -> BatchError {
        BatchError { row: Some(row), problem: self }
    }

    /// The error of no one row.
    #[must_use]
    pub fn of_batch(self) -> BatchError {
        BatchError { row: None, problem: self }
    }

    /// The part of an event that is wrong, as paths name it.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::UserIdLength { .. } => "user_id",
            Self::EventTypeLength { .. } => "event",
            Self::Time { .. } => "event_time",
            Self::NameLength { .. }
            | Self::ReservedName { .. }
            | Self::DuplicateName { .. }
            | Self::TextLength { .. }
            | Self::Kind { .. }
            | Self::TooManyProperties
            | Self::TooManyCells => "properties",
            Self::TooManyEvents | Self::TooLarge | Self::Lengths | Self::Encoding(_) | Self::Column { .. } => "",
        }
    }
}
