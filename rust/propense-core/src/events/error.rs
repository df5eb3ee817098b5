//! What can be wrong with events that come from outside.

use thiserror::Error;

/// Why a batch of events or profiles was refused.
#[derive(Debug, Error)]
pub enum EventsError {
    /// A column that was asked for by name is not there.
    #[error("no column {name:?}; the columns are {}", .found.join(", "))]
    MissingColumn {
        /// The name that was asked for.
        name: String,
        /// The names that are there.
        found: Vec<String>,
    },
    /// A column has a type that its role cannot have.
    #[error("column {column:?} has type {found}; expected {expected}")]
    ColumnType {
        /// The column's name.
        column: String,
        /// What the role needs.
        expected: &'static str,
        /// The Arrow type that came.
        found: String,
    },
    /// A value that must be there is missing.
    #[error("column {column:?} has no value in row {row} (counted from 0); {role} cannot be missing")]
    MissingValue {
        /// The column's name.
        column: String,
        /// The row, counted from 0 over all batches.
        row: u64,
        /// What the column is for.
        role: &'static str,
    },
    /// An integer that f64 cannot hold exactly.
    #[error("column {column:?} holds an integer beyond 2^53 in row {row} (counted from 0); cast the column to text")]
    InexactInteger {
        /// The column's name.
        column: String,
        /// The row, counted from 0 over all batches.
        row: u64,
    },
    /// An integer user id does not fit 64 bits with sign.
    #[error("user id in row {row} is beyond 2^63 - 1; cast the column to strings")]
    UserIdRange {
        /// The row, counted from 0 over all batches.
        row: u64,
    },
    /// More rows than a log can number.
    #[error("a log holds at most {limit} events; found more")]
    TooManyRows {
        /// The largest number of rows.
        limit: u64,
    },
    /// A user has two profiles.
    #[error("user {user:?} has more than one profile row; profiles hold one row a user")]
    DuplicateProfile {
        /// The user's id.
        user: String,
    },
    /// Profiles have ids of another type than the events.
    #[error("profiles have {profiles} user ids but events have {events}; read both with one type")]
    UserIdKind {
        /// Type of the ids in the profiles.
        profiles: &'static str,
        /// Type of the ids in the events.
        events: &'static str,
    },
    /// The parts of a log do not fit together.
    #[error("the parts of the log do not fit together: {problem}")]
    Parts {
        /// What is wrong.
        problem: &'static str,
    },
    /// Arrow could not convert a column.
    #[error("column {column:?} cannot be converted: {source}")]
    Convert {
        /// The column's name.
        column: String,
        /// Arrow's own error.
        source: arrow_schema::ArrowError,
    },
}
