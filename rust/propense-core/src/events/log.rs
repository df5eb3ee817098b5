//! The log itself: what every other part reads.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::Array;
use arrow_buffer::ScalarBuffer;

use super::cells::Cells;
use super::column::{Column, ColumnKind};
use super::error::EventsError;
use super::profiles::Profiles;
use super::users::UserIds;

/// Events grouped by user in canonical order, with optional profiles; cheap to clone.
#[derive(Debug, Clone)]
pub struct EventLog {
    pub(super) events: Arc<Events>,
    pub(super) profiles: Option<Arc<AttachedProfiles>>,
}

/// The parts of a log: its users, and one row an event, grouped by user in canonical order.
#[derive(Debug)]
pub struct Events {
    /// The users, ascending.
    pub users: UserIds,
    /// Where each user's events begin, ascending; one more than users, the last the number of events.
    pub offsets: ScalarBuffer<u64>,
    /// Event times, microseconds since 1970-01-01 UTC.
    pub time_us: ScalarBuffer<i64>,
    /// Event types, as codes.
    pub event: Cells,
    /// The event types, ascending.
    pub event_types: Vec<String>,
    /// The property columns, ascending by name.
    pub columns: Vec<Column>,
    /// How many rows came without a user id and were dropped.
    pub dropped: u64,
}

/// Attributes with, for every user of the log, the row of their profile.
#[derive(Debug)]
pub(super) struct AttachedProfiles {
    pub(super) columns: Vec<Column>,
    pub(super) row_of_user: Vec<Option<u32>>,
    /// Whose the rows are, ascending, if there may be others than the log's users among them.
    pub(super) ids: Option<UserIds>,
}

impl EventLog {
    /// A log of parts that fit together.
    ///
    /// # Errors
    /// [`EventsError::Parts`] if lengths differ, offsets descend or do not end at the number of events, or the event
    /// types are not codes. That rows are in canonical order is not checked here.
    pub fn from_parts(events: Events) -> Result<Self, EventsError> {
        let rows = events.time_us.len();
        let columns = events.columns.iter().map(|column| column.cells.len());
        let offsets = &events.offsets;
        let problem = if !matches!(events.event, Cells::U8(_) | Cells::U16(_) | Cells::U32(_)) {
            Some("the event types are not codes")
        } else if columns.chain([events.event.len()]).any(|len| len != rows) {
            Some("the columns are not of one length")
        } else if offsets.len() != events.users.len() + 1 || offsets[0] != 0 || offsets.last() != Some(&(rows as u64)) {
            Some("the users' offsets do not cover the events")
        } else if !offsets.is_sorted() {
            Some("the users' offsets descend")
        } else {
            None
        };
        match problem {
            Some(problem) => Err(EventsError::Parts { problem }),
            None => Ok(Self { events: Arc::new(events), profiles: None }),
        }
    }

    /// The log's parts.
    #[must_use]
    pub fn parts(&self) -> &Events {
        &self.events
    }

    /// The same events with these profiles. Users without an event are not in the log, whether they have a profile or
    /// not; [`Self::with_profiled_users`] has them.
    ///
    /// # Errors
    /// The profiles' ids are not of the events' type.
    pub fn with_profiles(&self, profiles: Profiles) -> Result<Self, EventsError> {
        let (ids, columns) = profiles.into_parts();
        if !ids.is_empty() && ids.kind() != self.users().kind() {
            return Err(EventsError::UserIdKind { profiles: ids.kind(), events: self.users().kind() });
        }
        let row_of_user = match self.users() {
            UserIds::Integers(users) => users.iter().map(|&id| ids.find_integer(id)).collect::<Vec<_>>(),
            UserIds::Texts(users) => users.iter().map(|id| ids.find_text(id.unwrap_or_default())).collect(),
        };
        let row_of_user = row_of_user.into_iter().map(|row| row.map(|row| row as u32)).collect();
        let profiles = Some(Arc::new(AttachedProfiles { columns, row_of_user, ids: Some(ids) }));
        Ok(Self { events: Arc::clone(&self.events), profiles })
    }

    /// The same events with attributes that hold one row a user of the log, in the users' order.
    ///
    /// # Errors
    /// [`EventsError::Parts`] if a column has another length.
    pub fn with_attributes(&self, columns: Vec<Column>) -> Result<Self, EventsError> {
        let users = self.users().len();
        if columns.iter().any(|column| column.cells.len() != users) {
            return Err(EventsError::Parts { problem: "the attributes do not have one row a user" });
        }
        let row_of_user = (0..users as u32).map(Some).collect();
        let profiles = Some(Arc::new(AttachedProfiles { columns, row_of_user, ids: None }));
        Ok(Self { events: Arc::clone(&self.events), profiles })
    }

    /// The same log, of which columns with these names hold nothing, and that in these kinds.
    #[must_use]
    pub fn with_empty(
        &self,
        properties: &BTreeMap<String, ColumnKind>,
        attributes: &BTreeMap<String, ColumnKind>,
    ) -> Self {
        let emptied = |columns: &[Column], kinds: &BTreeMap<String, ColumnKind>| -> Vec<Column> {
            let other = |column: &Column| match kinds.get(&column.name) {
                Some(&kind) => Column::empty(&column.name, kind, column.cells.len()),
                None => column.clone(),
            };
            columns.iter().map(other).collect()
        };
        let Events { users, offsets, time_us, event, event_types, columns, dropped } = self.parts();
        let events = Events {
            users: users.clone(),
            offsets: offsets.clone(),
            time_us: time_us.clone(),
            event: event.clone(),
            event_types: event_types.clone(),
            columns: emptied(columns, properties),
            dropped: *dropped,
        };
        let profiles = self.profiles.as_deref().map(|AttachedProfiles { columns, row_of_user, ids }| {
            let columns = emptied(columns, attributes);
            Arc::new(AttachedProfiles { columns, row_of_user: row_of_user.clone(), ids: ids.clone() })
        });
        Self { events: Arc::new(events), profiles }
    }

    /// The users, ascending.
    #[must_use]
    pub fn users(&self) -> &UserIds {
        &self.events.users
    }

    /// How many events there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.time_us.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the whole log takes, users and offsets included, profiles and dictionaries not.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let ids = match self.users() {
            UserIds::Integers(ids) => size_of_val(ids.as_ref()),
            UserIds::Texts(ids) => ids.get_array_memory_size(),
        };
        self.len() * self.bytes_per_event() + size_of_val(self.events.offsets.as_ref()) + ids
    }

    /// Bytes that one event takes: its time, its type and its properties.
    #[must_use]
    pub fn bytes_per_event(&self) -> usize {
        let properties = self.events.columns.iter().map(|column| column.cells.bytes_per_row());
        size_of::<i64>() + self.events.event.bytes_per_row() + properties.sum::<usize>()
    }

    /// How many rows came without a user id and were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.events.dropped
    }

    /// The rows of a user's events, oldest first.
    #[must_use]
    #[inline]
    pub fn rows(&self, user: usize) -> Range<usize> {
        self.events.offsets[user] as usize..self.events.offsets[user + 1] as usize
    }

    /// Event times of all rows, microseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn time_us(&self) -> &[i64] {
        &self.events.time_us
    }

    /// Event types of all rows, as places in [`Self::event_types`].
    #[must_use]
    pub fn event(&self) -> &Cells {
        &self.events.event
    }

    /// The event types, ascending.
    #[must_use]
    pub fn event_types(&self) -> &[String] {
        &self.events.event_types
    }

    /// The property columns, ascending by name.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.events.columns
    }

    /// The attribute columns, ascending by name; empty without profiles.
    #[must_use]
    pub fn attributes(&self) -> &[Column] {
        self.profiles.as_ref().map_or(&[], |profiles| &profiles.columns)
    }

    /// The row of a user's profile in [`Self::attributes`], if they have one.
    #[must_use]
    #[inline]
    pub fn profile_row(&self, user: usize) -> Option<usize> {
        self.profiles.as_ref().and_then(|profiles| profiles.row_of_user[user]).map(|row| row as usize)
    }

    /// The earliest and the latest event time; `None` for a log without events.
    #[must_use]
    pub fn time_span_us(&self) -> Option<(i64, i64)> {
        // A user's events stand in order of time, so the first and the last of each are enough.
        let times = || (0..self.users().len()).map(|user| &self.time_us()[self.rows(user)]);
        Some((*times().filter_map(<[i64]>::first).min()?, *times().filter_map(<[i64]>::last).max()?))
    }
}
