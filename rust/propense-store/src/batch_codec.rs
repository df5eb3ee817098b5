//! Batches as bytes, as the log on disk holds them.
//!
//! A version byte, then in this order, all numbers little-endian: for each list its length (u32) and its items. Texts
//! are a list of ends (u32) and the bytes. Nothing is allocated beyond the bytes that are there.

use crate::batch::{EventBatch, MOST_PROPERTIES, ProfileBatch};
use crate::batch_error::{BatchError, BatchProblem};
use crate::property::{PropertyColumn, PropertyTable, PropertyValues, as_seen};
use crate::texts::Texts;

const VERSION: u8 = 1;
const TEXT: u8 = 0;
const NUMBER: u8 = 1;
const BOOLEAN: u8 = 2;
const TIME: u8 = 3;

impl EventBatch {
    /// Appends the batch as bytes.
    pub fn encode(&self, into: &mut Vec<u8>) {
        into.push(VERSION);
        put_texts(into, &self.user_ids);
        put_list(into, &self.time_us, |time| time.to_le_bytes());
        put_texts(into, &self.event_types);
        put_list(into, &self.event_ids, |id| id.to_le_bytes());
        put_columns(into, &self.properties);
    }

    /// The batch that bytes stand for, checked by [`Self::validate`].
    ///
    /// # Errors
    /// The bytes are no batch, or not that of any caller.
    pub fn decode(bytes: &[u8]) -> Result<Self, BatchError> {
        let mut left = Reader(bytes);
        left.version()?;
        let batch = Self {
            user_ids: left.texts()?,
            time_us: left.list(i64::from_le_bytes)?,
            event_types: left.texts()?,
            event_ids: left.list(u64::from_le_bytes)?,
            properties: left.columns()?,
        };
        left.end()?;
        batch.validate()?;
        Ok(batch)
    }
}

impl ProfileBatch {
    /// Appends the batch as bytes.
    pub fn encode(&self, into: &mut Vec<u8>) {
        into.push(VERSION);
        put_texts(into, &self.user_ids);
        put_columns(into, &self.columns);
    }

    /// The batch that bytes stand for, checked by [`Self::validate`].
    ///
    /// # Errors
    /// The bytes are no batch, or not that of any caller.
    pub fn decode(bytes: &[u8]) -> Result<Self, BatchError> {
        let mut left = Reader(bytes);
        left.version()?;
        let batch = Self { user_ids: left.texts()?, columns: left.columns()? };
        left.end()?;
        batch.validate()?;
        Ok(batch)
    }
}

fn put_list<T, const N: usize>(into: &mut Vec<u8>, items: &[T], bytes: impl Fn(&T) -> [u8; N]) {
    into.extend((items.len() as u32).to_le_bytes());
    into.reserve(items.len() * N);
    for item in items {
        into.extend_from_slice(&bytes(item));
    }
}

fn put_texts(into: &mut Vec<u8>, texts: &Texts) {
    put_list(into, texts.ends(), |end| end.to_le_bytes());
    into.extend((texts.bytes().len() as u32).to_le_bytes());
    into.extend_from_slice(texts.bytes().as_bytes());
}

fn put_columns(into: &mut Vec<u8>, columns: &[PropertyColumn]) {
    into.extend((columns.len() as u32).to_le_bytes());
    for column in columns {
        into.extend((column.name.len() as u32).to_le_bytes());
        into.extend_from_slice(column.name.as_bytes());
        match &column.values {
            PropertyValues::Text(places, texts) => {
                into.push(TEXT);
                put_list(into, places, |place| place.to_le_bytes());
                put_texts(into, texts);
            }
            PropertyValues::Number(numbers) => {
                into.push(NUMBER);
                put_list(into, numbers, |number| number.to_le_bytes());
            }
            PropertyValues::Boolean(truths) => {
                into.push(BOOLEAN);
                put_list(into, truths, |&truth| [truth]);
            }
            PropertyValues::Time(times) => {
                into.push(TIME);
                put_list(into, times, |time| time.to_le_bytes());
            }
        }
    }
}

/// Bytes that are still to be read.
struct Reader<'a>(&'a [u8]);

fn wrong(what: &'static str) -> BatchError {
    BatchProblem::Encoding(what).of_batch()
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], BatchError> {
        let (taken, left) = self.0.split_at_checked(count).ok_or_else(|| wrong("they end too soon"))?;
        self.0 = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BatchError> {
        let (taken, left) = self.0.split_first_chunk().ok_or_else(|| wrong("they end too soon"))?;
        self.0 = left;
        Ok(*taken)
    }

    fn count(&mut self) -> Result<usize, BatchError> {
        self.array().map(|bytes| u32::from_le_bytes(bytes) as usize)
    }

    fn version(&mut self) -> Result<(), BatchError> {
        if self.array()? == [VERSION] { Ok(()) } else { Err(wrong("they are of another version")) }
    }

    fn end(&self) -> Result<(), BatchError> {
        if self.0.is_empty() { Ok(()) } else { Err(wrong("they go on after its end")) }
    }

    fn list<T, const N: usize>(&mut self, item: impl Fn([u8; N]) -> T) -> Result<Vec<T>, BatchError> {
        let count = self.count()?;
        let bytes = self.take(count.checked_mul(N).ok_or_else(|| wrong("they end too soon"))?)?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| item(*bytes)).collect())
    }

    fn text(&mut self) -> Result<String, BatchError> {
        let count = self.count()?;
        let text = std::str::from_utf8(self.take(count)?).map_err(|_| wrong("a text is not UTF-8"))?;
        Ok(text.to_owned())
    }

    fn texts(&mut self) -> Result<Texts, BatchError> {
        let ends = self.list(u32::from_le_bytes)?;
        let bytes = self.text()?;
        Texts::from_parts(bytes, ends).ok_or_else(|| wrong("texts do not lie one after another"))
    }

    fn columns(&mut self) -> Result<PropertyTable, BatchError> {
        let count = self.count()?;
        if count > MOST_PROPERTIES {
            return Err(BatchProblem::TooManyProperties.of_batch());
        }
        let mut columns = Vec::with_capacity(count);
        for _ in 0..count {
            let name = self.text()?;
            let canonical = |number: f64| if number.is_nan() { f64::NAN } else { number };
            let values = match self.array()? {
                [TEXT] => PropertyValues::Text(self.list(u32::from_le_bytes)?, self.texts()?),
                [NUMBER] => PropertyValues::Number(self.list(|bytes| canonical(f64::from_le_bytes(bytes)))?),
                [BOOLEAN] => PropertyValues::Boolean(self.list(|[truth]| truth)?),
                [TIME] => PropertyValues::Time(self.list(|bytes| as_seen(i64::from_le_bytes(bytes)))?),
                _ => return Err(wrong("a property is of no known kind")),
            };
            columns.push(PropertyColumn { name, values });
        }
        Ok(columns.into())
    }
}
