//! Batches of events and profiles on their way into the store.

use propense_core::events::ColumnKind;

use crate::batch_error::{BatchError, BatchProblem};
use crate::property::{PropertyColumn, PropertyTable};
use crate::texts::Texts;

/// The most rows of a batch.
pub const MOST_EVENTS: usize = 100_000;
/// The most properties of a store, and the most attributes.
pub const MOST_PROPERTIES: usize = 512;
/// The most rows times properties of a batch that is put together value by value: 128 MiB of numbers.
pub(crate) const MOST_CELLS: usize = 16 << 20;
/// The most bytes of a user id.
pub const MOST_USER_ID_BYTES: usize = 1024;
/// The most bytes of an event type, or of a property's name.
pub const MOST_NAME_BYTES: usize = 256;
/// The most bytes of a text value.
pub const MOST_TEXT_BYTES: usize = 64 * 1024;
/// The first instant that an event may have: 0001-01-01.
pub const EARLIEST_US: i64 = -62_135_596_800_000_000;
/// The last instant that an event may have: the end of 9999.
pub const LATEST_US: i64 = 253_402_300_799_999_999;
/// The columns in which sealed parts keep the two halves of event ids.
pub(crate) const EVENT_ID_HIGH: &str = "event_id_high";
/// The lower half.
pub(crate) const EVENT_ID_LOW: &str = "event_id_low";
/// Stands for no id in a part, as 0 does in memory: both halves are marks of missing numbers.
const UNUSED_HASH: u64 = 0x8000_0000_8000_0000;

/// Events in order of arrival, one row an event.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventBatch {
    /// The user of each row.
    pub user_ids: Texts,
    /// The time of each row, microseconds since 1970-01-01 UTC.
    pub time_us: Vec<i64>,
    /// The event type of each row.
    pub event_types: Texts,
    /// [`hash_event_id`] of each row's id, 0 for none; empty if no row has one.
    pub event_ids: Vec<u64>,
    /// The properties.
    pub properties: PropertyTable,
}

/// Profile writes in order of arrival: the attributes of one user a row; a missing value leaves what was there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProfileBatch {
    /// The user of each row.
    pub user_ids: Texts,
    /// The attributes.
    pub columns: PropertyTable,
}

/// A hash of an event's id that is the same in every version and on every machine; never 0.
#[must_use]
pub fn hash_event_id(id: &str) -> u64 {
    // FNV-1a, then the mixing step of MurmurHash3, as FNV leaves its high bits poor.
    let mut hash = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^= hash >> 33;
    if hash == 0 || hash == UNUSED_HASH { 1 } else { hash }
}

impl EventBatch {
    /// A batch without events.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many events there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.time_us.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.time_us.is_empty()
    }

    /// Appends an event without properties and gives its row.
    ///
    /// # Errors
    /// The user id, the event type or the time is out of bounds, or the batch is full; nothing changes then.
    pub fn push_event(
        &mut self,
        user: &str,
        time_us: i64,
        event: &str,
        event_id: Option<&str>,
    ) -> Result<usize, BatchError> {
        self.push_hashed(user, time_us, event, event_id.map_or(0, hash_event_id))
    }

    /// [`Self::push_event`] with the id's hash, 0 for none.
    ///
    /// # Errors
    /// As there.
    pub fn push_hashed(&mut self, user: &str, time_us: i64, event: &str, event_id: u64) -> Result<usize, BatchError> {
        let row = self.len();
        check_event(user, time_us, event).map_err(|problem| problem.in_row(row))?;
        if row >= MOST_EVENTS {
            return Err(BatchProblem::TooManyEvents.of_batch());
        }
        // At most 100,000 ids of 1,024 bytes: 4 GiB are never reached.
        self.user_ids.push(user);
        self.event_types.push(event);
        self.time_us.push(time_us);
        if event_id != 0 && self.event_ids.is_empty() {
            self.event_ids.resize(row, 0);
        }
        if event_id != 0 || !self.event_ids.is_empty() {
            self.event_ids.push(event_id);
        }
        Ok(row)
    }

    /// The hash of a row's id, 0 for none.
    #[must_use]
    #[inline]
    pub fn event_id(&self, row: usize) -> u64 {
        self.event_ids.get(row).copied().unwrap_or(0)
    }

    /// Gives a row's property a text.
    ///
    /// # Errors
    /// The name or the text is out of bounds, or the property has values of another kind.
    pub fn set_text(&mut self, row: usize, name: &str, value: &str) -> Result<(), BatchError> {
        self.properties.set_text(row, name, value)
    }

    /// Gives a row's property a number; NaN is missing.
    ///
    /// # Errors
    /// As [`Self::set_text`].
    pub fn set_number(&mut self, row: usize, name: &str, value: f64) -> Result<(), BatchError> {
        self.properties.set_number(row, name, value)
    }

    /// Gives a row's property a truth value.
    ///
    /// # Errors
    /// As [`Self::set_text`].
    pub fn set_boolean(&mut self, row: usize, name: &str, value: bool) -> Result<(), BatchError> {
        self.properties.set_boolean(row, name, value)
    }

    /// Gives a row's property an instant, microseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// As [`Self::set_text`].
    pub fn set_time(&mut self, row: usize, name: &str, value_us: i64) -> Result<(), BatchError> {
        self.properties.set_time(row, name, value_us)
    }

    /// Checks everything that a batch must hold whatever the store holds.
    ///
    /// # Errors
    /// The first row and what is wrong with it.
    pub fn validate(&self) -> Result<(), BatchError> {
        let rows = self.len();
        let ids = self.event_ids.len();
        if self.user_ids.len() != rows || self.event_types.len() != rows || ids != 0 && ids != rows {
            return Err(BatchProblem::Lengths.of_batch());
        }
        if rows > MOST_EVENTS {
            return Err(BatchProblem::TooManyEvents.of_batch());
        }
        for row in 0..rows {
            check_event(self.user_ids.get(row), self.time_us[row], self.event_types.get(row))
                .map_err(|problem| problem.in_row(row))?;
            if self.event_id(row) == UNUSED_HASH {
                return Err(BatchProblem::Encoding("an event id's hash is none").in_row(row));
            }
        }
        self.properties.validate(rows)
    }
}

impl ProfileBatch {
    /// A batch without profiles.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.user_ids.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.user_ids.is_empty()
    }

    /// Appends a user without attributes and gives the row; the user counts as known even if none are set.
    ///
    /// # Errors
    /// The user id is out of bounds or the batch is full; nothing changes then.
    pub fn push_user(&mut self, user: &str) -> Result<usize, BatchError> {
        let row = self.len();
        check_user(user).map_err(|problem| problem.in_row(row))?;
        if row >= MOST_EVENTS {
            return Err(BatchProblem::TooManyEvents.of_batch());
        }
        self.user_ids.push(user);
        Ok(row)
    }

    /// Checks everything that a batch must hold whatever the store holds.
    ///
    /// # Errors
    /// The first row and what is wrong with it.
    pub fn validate(&self) -> Result<(), BatchError> {
        if self.len() > MOST_EVENTS {
            return Err(BatchProblem::TooManyEvents.of_batch());
        }
        for (row, user) in self.user_ids.iter().enumerate() {
            check_user(user).map_err(|problem| problem.in_row(row))?;
        }
        self.columns.validate(self.len())
    }
}

fn check_user(user: &str) -> Result<(), BatchProblem> {
    match user.len() {
        1..=MOST_USER_ID_BYTES => Ok(()),
        bytes => Err(BatchProblem::UserIdLength { bytes }),
    }
}

fn check_event(user: &str, time_us: i64, event: &str) -> Result<(), BatchProblem> {
    check_user(user)?;
    if event.is_empty() || event.len() > MOST_NAME_BYTES {
        return Err(BatchProblem::EventTypeLength { bytes: event.len() });
    }
    if (EARLIEST_US..=LATEST_US).contains(&time_us) { Ok(()) } else { Err(BatchProblem::Time { time_us }) }
}

/// Columns with at least one value, with their kinds.
pub(crate) fn kinds(columns: &[PropertyColumn]) -> impl Iterator<Item = (&str, ColumnKind)> {
    columns.iter().filter(|column| column.has_values()).map(|column| (column.name.as_str(), column.kind()))
}
