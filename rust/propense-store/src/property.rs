//! The values of properties and attributes in a batch.

use std::hash::BuildHasher;
use std::ops::Deref;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use propense_core::events::ColumnKind;

use crate::batch::{EVENT_ID_HIGH, EVENT_ID_LOW, MOST_CELLS, MOST_NAME_BYTES, MOST_PROPERTIES, MOST_TEXT_BYTES};
use crate::batch_error::{BatchError, BatchProblem};
use crate::texts::Texts;

/// A property of a batch's rows.
#[derive(Debug, Clone, PartialEq)]
pub struct PropertyColumn {
    /// The property's name.
    pub name: String,
    /// Its values.
    pub values: PropertyValues,
}

/// One value a row; rows beyond the last value have none.
#[derive(Debug, Clone)]
pub enum PropertyValues {
    /// Places among the texts; `u32::MAX` is missing.
    Text(Vec<u32>, Texts),
    /// Numbers; NaN is missing.
    Number(Vec<f64>),
    /// 0 and 1; 255 is missing.
    Boolean(Vec<u8>),
    /// Microseconds since 1970-01-01 UTC; `i64::MIN` is missing.
    Time(Vec<i64>),
}

/// One value as memory holds it, the text as a place or code.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    Text(u32),
    Number(f64),
    Boolean(bool),
    Time(i64),
}

impl PropertyColumn {
    /// What the values mean.
    #[must_use]
    pub fn kind(&self) -> ColumnKind {
        match self.values {
            PropertyValues::Text(..) => ColumnKind::Text,
            PropertyValues::Number(_) => ColumnKind::Number,
            PropertyValues::Boolean(_) => ColumnKind::Boolean,
            PropertyValues::Time(_) => ColumnKind::Time,
        }
    }

    /// How many rows have a place for a value.
    pub(crate) fn len(&self) -> usize {
        match &self.values {
            PropertyValues::Text(places, _) => places.len(),
            PropertyValues::Number(numbers) => numbers.len(),
            PropertyValues::Boolean(truths) => truths.len(),
            PropertyValues::Time(times) => times.len(),
        }
    }

    /// The value in a row.
    #[inline]
    pub(crate) fn value(&self, row: usize) -> Option<Value> {
        match &self.values {
            PropertyValues::Text(places, _) => {
                places.get(row).filter(|place| **place != u32::MAX).copied().map(Value::Text)
            }
            PropertyValues::Number(numbers) => {
                numbers.get(row).filter(|number| !number.is_nan()).copied().map(Value::Number)
            }
            PropertyValues::Boolean(truths) => {
                truths.get(row).filter(|truth| **truth < 2).map(|&truth| Value::Boolean(truth == 1))
            }
            PropertyValues::Time(times) => times.get(row).filter(|time| **time != i64::MIN).copied().map(Value::Time),
        }
    }

    /// Whether any row has a value.
    pub(crate) fn has_values(&self) -> bool {
        (0..self.len()).any(|row| self.value(row).is_some())
    }

    /// The first row that has a value.
    pub(crate) fn first_row(&self) -> Option<usize> {
        (0..self.len()).find(|&row| self.value(row).is_some())
    }

    fn validate(&self, rows: usize) -> Result<(), BatchError> {
        check_name(&self.name).map_err(BatchProblem::of_batch)?;
        if self.len() > rows {
            return Err(BatchProblem::Lengths.of_batch());
        }
        let wrong = match &self.values {
            PropertyValues::Text(places, texts) => {
                let long = (0..texts.len()).find(|&place| texts.get(place).len() > MOST_TEXT_BYTES);
                if let Some(place) = long {
                    let row = places.iter().position(|&of_row| of_row as usize == place);
                    let problem = BatchProblem::TextLength { name: self.name.clone(), bytes: texts.get(place).len() };
                    return Err(BatchError { row, problem });
                }
                places.iter().position(|&place| place != u32::MAX && place as usize >= texts.len())
            }
            PropertyValues::Boolean(truths) => truths.iter().position(|&truth| truth > 1 && truth != u8::MAX),
            PropertyValues::Number(_) | PropertyValues::Time(_) => None,
        };
        wrong.map_or(Ok(()), |row| Err(BatchProblem::Lengths.in_row(row)))
    }
}

impl PartialEq for PropertyValues {
    /// Numbers are compared to the bit.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(a, texts_a), Self::Text(b, texts_b)) => a == b && texts_a == texts_b,
            (Self::Number(a), Self::Number(b)) => {
                a.iter().map(|number| number.to_bits()).eq(b.iter().map(|number| number.to_bits()))
            }
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::Time(a), Self::Time(b)) => a == b,
            _ => false,
        }
    }
}

/// The property columns of a batch, each text of a column held once.
#[derive(Debug, Clone, Default)]
pub struct PropertyTable {
    columns: Vec<PropertyColumn>,
    /// Of each column, the texts by hash; may know fewer than there are.
    known: Vec<HashTable<u32>>,
    hasher: RandomState,
    /// Values and places for them, over all columns.
    cells: usize,
}

impl PartialEq for PropertyTable {
    fn eq(&self, other: &Self) -> bool {
        self.columns == other.columns
    }
}

impl Deref for PropertyTable {
    type Target = [PropertyColumn];

    fn deref(&self) -> &Self::Target {
        &self.columns
    }
}

impl From<Vec<PropertyColumn>> for PropertyTable {
    fn from(columns: Vec<PropertyColumn>) -> Self {
        let known = columns.iter().map(|_| HashTable::new()).collect();
        let cells = columns.iter().map(PropertyColumn::len).sum();
        Self { columns, known, hasher: RandomState::default(), cells }
    }
}

/// Puts a value into a row, missing ones before it where there were none; `cells` is what there is of all columns.
fn put<T: Copy>(values: &mut Vec<T>, row: usize, value: T, missing: T, cells: &mut usize) -> Result<(), BatchError> {
    if row >= values.len() {
        let more = row + 1 - values.len();
        if *cells + more > MOST_CELLS {
            return Err(BatchProblem::TooManyCells.in_row(row));
        }
        *cells += more;
        values.resize(row + 1, missing);
    }
    values[row] = value;
    Ok(())
}

impl PropertyTable {
    /// Gives a row a text; see [`crate::EventBatch::set_text`].
    ///
    /// # Errors
    /// As there.
    pub fn set_text(&mut self, row: usize, name: &str, value: &str) -> Result<(), BatchError> {
        if value.len() > MOST_TEXT_BYTES {
            return Err(BatchProblem::TextLength { name: name.to_owned(), bytes: value.len() }.in_row(row));
        }
        let at = self.column(row, name, ColumnKind::Text)?;
        let (column, known, hasher) = (&mut self.columns[at], &mut self.known[at], &self.hasher);
        let PropertyValues::Text(places, texts) = &mut column.values else { return Ok(()) };
        let hash = hasher.hash_one(value.as_bytes());
        let known_place = known.find(hash, |&place| texts.get(place as usize) == value).copied();
        let place = if let Some(place) = known_place {
            place
        } else {
            let place = texts.push(value).ok_or_else(|| BatchProblem::TooLarge.in_row(row))?;
            known.insert_unique(hash, place, |&place| hasher.hash_one(texts.get(place as usize).as_bytes()));
            place
        };
        put(places, row, place, u32::MAX, &mut self.cells)
    }

    /// Gives a row a number; see [`crate::EventBatch::set_number`].
    ///
    /// # Errors
    /// As there.
    pub fn set_number(&mut self, row: usize, name: &str, value: f64) -> Result<(), BatchError> {
        let at = self.column(row, name, ColumnKind::Number)?;
        if let PropertyValues::Number(numbers) = &mut self.columns[at].values {
            // One NaN only, so that rows that are equal are equal to the bit.
            put(numbers, row, if value.is_nan() { f64::NAN } else { value }, f64::NAN, &mut self.cells)?;
        }
        Ok(())
    }

    /// Gives a row a truth value; see [`crate::EventBatch::set_boolean`].
    ///
    /// # Errors
    /// As there.
    pub fn set_boolean(&mut self, row: usize, name: &str, value: bool) -> Result<(), BatchError> {
        let at = self.column(row, name, ColumnKind::Boolean)?;
        if let PropertyValues::Boolean(truths) = &mut self.columns[at].values {
            put(truths, row, u8::from(value), u8::MAX, &mut self.cells)?;
        }
        Ok(())
    }

    /// Gives a row an instant; see [`crate::EventBatch::set_time`].
    ///
    /// # Errors
    /// As there.
    pub fn set_time(&mut self, row: usize, name: &str, value_us: i64) -> Result<(), BatchError> {
        let at = self.column(row, name, ColumnKind::Time)?;
        if let PropertyValues::Time(times) = &mut self.columns[at].values {
            put(times, row, as_seen(value_us), i64::MIN, &mut self.cells)?;
        }
        Ok(())
    }

    /// The place of a named column, made if there is none.
    fn column(&mut self, row: usize, name: &str, kind: ColumnKind) -> Result<usize, BatchError> {
        if let Some(at) = self.columns.iter().position(|column| column.name == name) {
            let found = self.columns[at].kind();
            if found == kind {
                return Ok(at);
            }
            let problem = BatchProblem::Kind { name: name.to_owned(), expected: found.name(), found: kind.name() };
            return Err(problem.in_row(row));
        }
        check_name(name).map_err(|problem| problem.in_row(row))?;
        if self.columns.len() >= MOST_PROPERTIES {
            return Err(BatchProblem::TooManyProperties.in_row(row));
        }
        let values = match kind {
            ColumnKind::Text => PropertyValues::Text(Vec::new(), Texts::new()),
            ColumnKind::Number => PropertyValues::Number(Vec::new()),
            ColumnKind::Boolean => PropertyValues::Boolean(Vec::new()),
            ColumnKind::Time => PropertyValues::Time(Vec::new()),
        };
        self.columns.push(PropertyColumn { name: name.to_owned(), values });
        self.known.push(HashTable::new());
        Ok(self.columns.len() - 1)
    }

    /// Values and places for them, over all columns: what the table takes in memory, in at most 8 bytes each.
    pub(crate) fn cells(&self) -> usize {
        self.cells
    }

    /// Checks names, lengths and texts.
    pub(crate) fn validate(&self, rows: usize) -> Result<(), BatchError> {
        if self.columns.len() > MOST_PROPERTIES {
            return Err(BatchProblem::TooManyProperties.of_batch());
        }
        let mut names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(BatchProblem::DuplicateName { name: pair[0].to_owned() }.of_batch());
        }
        self.columns.iter().try_for_each(|column| column.validate(rows))
    }
}

/// Kernels see instants as f64; beyond 2^53 µs they are what f64 makes of them, in a store as in any log.
pub(crate) fn as_seen(time_us: i64) -> i64 {
    time_us as f64 as i64
}

fn check_name(name: &str) -> Result<(), BatchProblem> {
    if name.is_empty() || name.len() > MOST_NAME_BYTES {
        Err(BatchProblem::NameLength { bytes: name.len() })
    } else if [EVENT_ID_HIGH, EVENT_ID_LOW].contains(&name) {
        Err(BatchProblem::ReservedName { name: name.to_owned() })
    } else {
        Ok(())
    }
}
