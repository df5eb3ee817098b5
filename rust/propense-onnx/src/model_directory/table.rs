//! Tables of float32 and boolean columns without missing values, from Arrow IPC files.
//!
//! Only this is read, and by hand: the metadata, a `FlatBuffer`, is verified before use, and every length is compared with
//! the bytes that are there, so that a hostile file ends in an error. The general reader takes a file's word for more.

use std::ops::Range;
use std::vec::IntoIter;

use arrow_ipc::{Block, Endianness, Field, Footer, Precision, RecordBatch, Type, root_as_footer, root_as_message};

const MAGIC: &[u8] = b"ARROW1";
/// Marks the length of a message since version 0.15 of the format.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// The values of a column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    Float32(Vec<f32>),
    Boolean(Vec<bool>),
}

/// Columns of one length, to be taken in their order.
#[derive(Debug)]
pub(super) struct Table {
    columns: IntoIter<(String, Values)>,
}

impl Table {
    /// Read a file; the error says what is wrong with it.
    pub(super) fn read(file: &[u8]) -> Result<Self, String> {
        let footer = root_as_footer(footer_bytes(file)?).map_err(|error| format!("the footer is damaged: {error}"))?;
        let mut columns = declared(&footer)?;
        for block in footer.recordBatches().into_iter().flatten() {
            append(&mut columns, file, block)?;
        }
        Ok(Self { columns: columns.into_iter() })
    }

    /// Take the next column, a float32 one of this name.
    pub(super) fn float32(&mut self, name: &str) -> Result<Vec<f32>, String> {
        match self.columns.next() {
            Some((found, Values::Float32(values))) if found == name => Ok(values),
            other => Err(expected(&format!("the float32 column {name:?}"), other)),
        }
    }

    /// Take the next column, a boolean one of this name.
    pub(super) fn boolean(&mut self, name: &str) -> Result<Vec<bool>, String> {
        match self.columns.next() {
            Some((found, Values::Boolean(values))) if found == name => Ok(values),
            other => Err(expected(&format!("the boolean column {name:?}"), other)),
        }
    }

    /// Refuse columns that were not taken.
    pub(super) fn finish(mut self) -> Result<(), String> {
        self.columns.next().map_or(Ok(()), |column| Err(expected("no further column", Some(column))))
    }
}

fn expected(what: &str, found: Option<(String, Values)>) -> String {
    match found {
        None => format!("expected {what}, found no further column"),
        Some((name, Values::Float32(_))) => format!("expected {what}, found the float32 column {name:?}"),
        Some((name, Values::Boolean(_))) => format!("expected {what}, found the boolean column {name:?}"),
    }
}

fn footer_bytes(file: &[u8]) -> Result<&[u8], String> {
    let body = file.strip_suffix(MAGIC).filter(|_| file.starts_with(MAGIC)).ok_or("it is no Arrow IPC file")?;
    let (rest, length) = body.split_last_chunk().ok_or("it has no footer")?;
    let length = usize::try_from(i32::from_le_bytes(*length)).ok().filter(|length| *length <= rest.len());
    Ok(&rest[rest.len() - length.ok_or("its footer is longer than itself")?..])
}

/// The columns that a footer declares, empty.
fn declared(footer: &Footer<'_>) -> Result<Vec<(String, Values)>, String> {
    let schema = footer.schema().filter(|schema| schema.endianness() == Endianness::Little);
    let fields = schema.and_then(|schema| schema.fields()).ok_or("it has no schema that can be read")?;
    let column = |field: Field<'_>| {
        let name = field.name().unwrap_or_default().to_owned();
        let single = || field.type_as_floating_point().is_some_and(|float| float.precision() == Precision::SINGLE);
        let values = match field.type_type() {
            Type::FloatingPoint if single() => Values::Float32(Vec::new()),
            Type::Bool => Values::Boolean(Vec::new()),
            _ => return Err(format!("column {name:?} is neither float32 nor boolean")),
        };
        Ok((name, values))
    };
    fields.iter().map(column).collect()
}

/// Append the rows of a block to its columns.
fn append(columns: &mut [(String, Values)], file: &[u8], block: &Block) -> Result<(), String> {
    let outside = "a block lies outside the file";
    let metadata = part(file, block.offset(), i64::from(block.metaDataLength())).ok_or(outside)?;
    let body = part(file, metadata.end as i64, block.bodyLength()).ok_or(outside)?;
    let message = file[metadata].strip_prefix(&CONTINUATION).and_then(|rest| rest.get(4..));
    let message = root_as_message(message.ok_or("a block has no message")?)
        .map_err(|error| format!("a message is damaged: {error}"))?;
    let batch = message.header_as_record_batch().ok_or("a block holds something other than rows")?;
    if batch.compression().is_some() {
        return Err("it is compressed; write it without compression".to_owned());
    }
    let rows = usize::try_from(batch.length()).map_err(|_| "a block has less than no rows")?;
    for (place, (name, values)) in columns.iter_mut().enumerate() {
        let bytes =
            values_of(&batch, place, &file[body.clone()]).map_err(|problem| format!("column {name:?} {problem}"))?;
        match values {
            Values::Float32(values) => {
                let bytes =
                    rows.checked_mul(4).and_then(|length| bytes.get(..length)).ok_or("a column is cut short")?;
                values.extend(bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)));
            }
            Values::Boolean(values) => {
                let bytes = bytes.get(..rows.div_ceil(8)).ok_or("a column is cut short")?;
                values.extend((0..rows).map(|row| bytes[row / 8] >> (row % 8) & 1 == 1));
            }
        }
    }
    Ok(())
}

/// The bytes of a column's values in a block; each column has a buffer of missing marks and one of values.
fn values_of<'f>(batch: &RecordBatch<'_>, place: usize, body: &'f [u8]) -> Result<&'f [u8], &'static str> {
    let node = batch
        .nodes()
        .filter(|nodes| place < nodes.len())
        .map(|nodes| *nodes.get(place))
        .ok_or("is not in every block")?;
    if node.null_count() != 0 || node.length() != batch.length() {
        return Err("has missing values or another length");
    }
    let place = 2 * place + 1;
    let buffer = batch.buffers().filter(|buffers| place < buffers.len()).map(|buffers| *buffers.get(place));
    let range = buffer.and_then(|buffer| part(body, buffer.offset(), buffer.length()));
    Ok(&body[range.ok_or("lies outside its block")?])
}

/// A range of bytes, if it lies inside.
fn part(bytes: &[u8], start: i64, length: i64) -> Option<Range<usize>> {
    let (start, length) = (usize::try_from(start).ok()?, usize::try_from(length).ok()?);
    let end = start.checked_add(length).filter(|end| *end <= bytes.len())?;
    Some(start..end)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::path::Path;

    use super::*;

    fn file(name: &str) -> Vec<u8> {
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/buys_again").join(name)).unwrap()
    }

    #[test]
    fn columns_are_taken_in_order_by_name_and_type() {
        let mut table = Table::read(&file("test.arrow")).unwrap();
        let message = table.float32("label").unwrap_err();
        assert_eq!(message, r#"expected the float32 column "label", found the float32 column "score""#);
        let ranks = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/ranks.json")).unwrap();
        let ranks: serde_json::Value = serde_json::from_slice(&ranks).unwrap();
        let labels = table.boolean("label").unwrap();
        assert_eq!((labels.len(), serde_json::json!(labels[..40])), (500, ranks["test_labels"].clone()));
        assert_eq!(
            table.boolean("label").unwrap_err(),
            r#"expected the boolean column "label", found no further column"#
        );
        assert!(Table::read(&file("test.arrow")).unwrap().finish().unwrap_err().contains("\"score\""));
    }

    #[test]
    fn a_part_lies_inside() {
        let cases = [(2, 2), (4, 0), (0, 0), (2, 3), (5, 0), (-1, 2), (1, -1), (i64::MAX, i64::MAX)];
        let found = cases.map(|(start, length)| part(&[0; 4], start, length));
        assert_eq!(found, [Some(2..4), Some(4..4), Some(0..0), None, None, None, None, None]);
    }

    #[test]
    fn every_cut_and_flip_of_a_file_is_survived() {
        for name in ["test.arrow", "checks.arrow"] {
            let whole = file(name);
            for place in 0..whole.len() {
                drop(Table::read(&whole[..place]));
                for flip in [0x01, 0x80, 0xff] {
                    let mut damaged = whole.clone();
                    damaged[place] ^= flip;
                    let Ok(Table { columns }) = Table::read(&damaged) else { continue };
                    // What is read is in the file, so it cannot be much larger.
                    let values = |(_, values): (String, Values)| match values {
                        Values::Float32(values) => values.len() / 2,
                        Values::Boolean(values) => values.len() / 16,
                    };
                    assert!(columns.map(values).sum::<usize>() <= whole.len());
                }
            }
        }
    }
}
