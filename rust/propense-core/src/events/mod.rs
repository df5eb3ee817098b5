//! Events grouped by user, in canonical order, in columns.
//!
//! A log is built once ([`EventLogBuilder`]) and never changed. Users stand in ascending order of
//! id; a user's events stand in ascending order of time, ties broken by the whole row, so that the
//! same set of events gives the same log to the bit whatever the order of arrival.

mod builder;
mod by_user;
mod cells;
mod column;
mod dictionary;
mod error;
mod grouping;
mod log;
mod narrowing;
mod profiled;
mod profiles;
mod staging;
mod summary;
mod users;

pub use builder::{EventColumns, EventLogBuilder};
pub use cells::Cells;
pub(crate) use cells::{Cell, with_cells};
pub use column::{Column, ColumnKind};
pub use error::EventsError;
pub use log::{EventLog, Events};
pub use profiles::{Profiles, ProfilesBuilder};
pub use summary::{EventSummary, LogSummary, PropertySummary, ValueCount};
pub use users::UserIds;
