//! What goes into the store and comes back: events and profiles in columns, receipts, errors.

use std::collections::HashMap;

use thiserror::Error;

/// The code of a missing text.
const MISSING: u32 = u32::MAX;

/// Texts end to end.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Texts {
    bytes: String,
    ends: Vec<u32>,
}

impl Texts {
    /// Adds one at the end.
    pub fn push(&mut self, text: &str) {
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len() as u32);
    }

    /// The text at a place.
    #[must_use]
    pub fn get(&self, place: usize) -> &str {
        let start = if place == 0 { 0 } else { self.ends[place - 1] as usize };
        &self.bytes[start..self.ends[place] as usize]
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All of them in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|place| self.get(place))
    }
}

/// Values of one property, one a row.
#[derive(Debug, Clone, PartialEq)]
pub enum PropertyValues {
    /// Places in the texts; `u32::MAX` is missing.
    Text(Vec<u32>, Texts),
    /// NaN is missing.
    Number(Vec<f64>),
    /// 0, 1; 255 is missing.
    Boolean(Vec<u8>),
}

impl PropertyValues {
    fn extend_missing(&mut self, rows: usize) {
        match self {
            Self::Text(codes, _) => codes.resize(rows, MISSING),
            Self::Number(numbers) => numbers.resize(rows, f64::NAN),
            Self::Boolean(booleans) => booleans.resize(rows, 255),
        }
    }
}

/// One property of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct PropertyColumn {
    /// Its name.
    pub name: String,
    /// Its values, one a row.
    pub values: PropertyValues,
}

/// What is wrong with a row of a batch.
#[derive(Debug, Clone, Error, PartialEq)]
#[error("row {row}: {what}")]
pub struct BatchError {
    /// The row, from 0.
    pub row: usize,
    /// What, naming the property but no value.
    pub what: String,
}

/// Columns by name, of rows that came one by one.
#[derive(Debug, Clone, Default)]
struct Columns {
    columns: Vec<PropertyColumn>,
    places: HashMap<String, usize>,
}

impl Columns {
    fn at(&mut self, name: &str, rows: usize, new: impl FnOnce() -> PropertyValues) -> &mut PropertyValues {
        let place = *self.places.entry(name.to_owned()).or_insert_with(|| {
            self.columns.push(PropertyColumn { name: name.to_owned(), values: new() });
            self.columns.len() - 1
        });
        let values = &mut self.columns[place].values;
        values.extend_missing(rows);
        values
    }

    fn text(&mut self, row: usize, rows: usize, name: &str, value: &str) -> Result<(), BatchError> {
        match self.at(name, rows, || PropertyValues::Text(Vec::new(), Texts::default())) {
            PropertyValues::Text(codes, texts) => {
                codes[row] = texts.len() as u32;
                texts.push(value);
                Ok(())
            }
            _ => Err(conflict(row, name)),
        }
    }

    fn number(&mut self, row: usize, rows: usize, name: &str, value: f64) -> Result<(), BatchError> {
        match self.at(name, rows, || PropertyValues::Number(Vec::new())) {
            PropertyValues::Number(numbers) => {
                numbers[row] = value;
                Ok(())
            }
            _ => Err(conflict(row, name)),
        }
    }

    fn boolean(&mut self, row: usize, rows: usize, name: &str, value: bool) -> Result<(), BatchError> {
        match self.at(name, rows, || PropertyValues::Boolean(Vec::new())) {
            PropertyValues::Boolean(booleans) => {
                booleans[row] = u8::from(value);
                Ok(())
            }
            _ => Err(conflict(row, name)),
        }
    }
}

fn conflict(row: usize, name: &str) -> BatchError {
    BatchError { row, what: format!("property {name:?} has values of two kinds in this batch") }
}

macro_rules! setters {
    () => {
        /// Sets a text.
        ///
        /// # Errors
        /// The property has values of another kind in this batch.
        pub fn set_text(&mut self, row: usize, name: &str, value: &str) -> Result<(), BatchError> {
            let rows = self.len();
            self.columns.text(row, rows, name, value)
        }

        /// Sets a number.
        ///
        /// # Errors
        /// As [`Self::set_text`].
        pub fn set_number(&mut self, row: usize, name: &str, value: f64) -> Result<(), BatchError> {
            let rows = self.len();
            self.columns.number(row, rows, name, value)
        }

        /// Sets a boolean.
        ///
        /// # Errors
        /// As [`Self::set_text`].
        pub fn set_boolean(&mut self, row: usize, name: &str, value: bool) -> Result<(), BatchError> {
            let rows = self.len();
            self.columns.boolean(row, rows, name, value)
        }

        /// How many rows there are.
        #[must_use]
        pub fn len(&self) -> usize {
            self.user_ids.len()
        }

        /// Whether there are none.
        #[must_use]
        pub fn is_empty(&self) -> bool {
            self.len() == 0
        }

        /// The columns, each of the batch's length.
        #[must_use]
        pub fn into_columns(self) -> Vec<PropertyColumn> {
            let rows = self.len();
            let mut columns = self.columns.columns;
            columns.iter_mut().for_each(|column| column.values.extend_missing(rows));
            columns
        }
    };
}

/// Events in columns.
#[derive(Debug, Clone, Default)]
pub struct EventBatch {
    /// One a row.
    pub user_ids: Texts,
    /// Microseconds since 1970, one a row.
    pub time_us: Vec<i64>,
    /// One a row.
    pub event_types: Texts,
    /// Hashes, one a row; 0 is none.
    pub event_ids: Vec<u64>,
    columns: Columns,
}

impl EventBatch {
    /// A batch of no events.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event without properties; gives its row.
    pub fn push_event(&mut self, user: &str, time_us: i64, event: &str, event_id: Option<&str>) -> usize {
        self.user_ids.push(user);
        self.time_us.push(time_us);
        self.event_types.push(event);
        self.event_ids.push(event_id.map_or(0, hash_event_id));
        self.time_us.len() - 1
    }

    setters!();
}

/// A hash of an event's id; never 0.
#[must_use]
pub fn hash_event_id(id: &str) -> u64 {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    BuildHasherDefault::<DefaultHasher>::default().hash_one(id).max(1)
}

/// Attributes of users in columns.
#[derive(Debug, Clone, Default)]
pub struct ProfileBatch {
    /// One a row.
    pub user_ids: Texts,
    columns: Columns,
}

impl ProfileBatch {
    /// A batch of no profiles.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a profile without attributes; gives its row.
    pub fn push_profile(&mut self, user: &str) -> usize {
        self.user_ids.push(user);
        self.user_ids.len() - 1
    }

    setters!();
}

/// Something to make durable.
#[derive(Debug)]
pub enum Write {
    /// New events.
    Events(EventBatch),
    /// Attributes.
    Profiles(ProfileBatch),
    /// A user to erase.
    Erase(String),
}

/// What a write did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The commit's place in the log.
    pub sequence: u64,
    /// New rows.
    pub accepted: u64,
    /// Rows that were there already.
    pub duplicates: u64,
    /// Rows of erased users.
    pub erased: u64,
}

/// Why nothing was written.
#[derive(Debug, Clone, Error)]
pub enum WriteError {
    /// The queue is full.
    #[error("the queue is full")]
    Busy,
    /// The disk is full.
    #[error("the disk is full")]
    NoSpace,
    /// A row is not as the store holds it.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The disk failed.
    #[error("the disk failed: {0}")]
    Disk(String),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// Called once with a write's outcome, from the store's own thread.
pub type Reply = Box<dyn FnOnce(Result<Receipt, WriteError>) + Send>;
