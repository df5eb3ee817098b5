//! Reading the write-ahead log from its first live segment to its end.

use std::fs;
use std::path::{Path, PathBuf};

use super::record::{next_record, record_at};
use super::segment::{HEADER, Segment, segment_path, segments_in};
use crate::error::StoreError;

/// What stands in the log.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// The last segment, which goes on.
    pub(crate) last: Segment,
    /// How many of its bytes are valid.
    pub(crate) valid_bytes: u64,
    /// How many bytes after them were being written when the machine stopped.
    pub(crate) torn_bytes: u64,
    pub(crate) next_sequence: u64,
    pub(crate) records: u64,
    /// Bytes of all live segments.
    pub(crate) bytes: u64,
    /// Files of the folder that count no more: older segments and those that never got their name.
    pub(crate) leftovers: Vec<PathBuf>,
}

/// Gives each record's sequence and payload, in order, from the segment `first` on; changes nothing.
///
/// # Errors
/// [`StoreError::Missing`] if a segment is not there, [`StoreError::Corrupt`] with file and offset for whatever is neither
/// whole nor a torn end; also if `each` cannot make sense of a record.
pub(crate) fn replay(
    folder: &Path,
    first: u64,
    each: &mut dyn FnMut(u64, &[u8]) -> Result<(), String>,
) -> Result<Replayed, StoreError> {
    let (numbers, mut leftovers) = segments_in(folder)?;
    leftovers.extend(numbers.iter().filter(|&&number| number < first).map(|&number| segment_path(folder, number)));
    let last = numbers.last().copied().unwrap_or(0).max(first);
    let mut expected = None;
    let (mut records, mut total) = (0, 0);
    let mut number = first;
    let (mut segment, mut bytes) = read(folder, number)?;
    loop {
        let path = segment_path(folder, number);
        if expected.is_some_and(|sequence| sequence != segment.first_sequence) {
            let problem = format!("the segment begins with record {}, not the one expected", segment.first_sequence);
            return Err(StoreError::corrupt(&path, 0, problem));
        }
        let following = if number < last { Some(read(folder, number + 1)?) } else { None };
        let whole = match &following {
            Some((next, _)) => usize::try_from(next.previous_bytes).ok().and_then(|end| bytes.get(..end)),
            None => Some(&bytes[..]),
        };
        let Some(whole) = whole else {
            let problem = "the segment is shorter than the next one says";
            return Err(StoreError::corrupt(&path, bytes.len() as u64, problem));
        };
        let mut sequence = segment.first_sequence;
        let mut place = HEADER;
        while let Some(record) = record_at(whole, place, segment.salt) {
            if record.sequence != sequence {
                let problem = format!("record {} stands where {sequence} was expected", record.sequence);
                return Err(StoreError::corrupt(&path, place as u64, problem));
            }
            each(sequence, record.payload).map_err(|problem| StoreError::corrupt(&path, place as u64, problem))?;
            sequence += 1;
            place = record.end;
        }
        records += sequence - segment.first_sequence;
        total += place as u64;
        let Some(next) = following else {
            if let Some(later) = next_record(whole, place, segment.salt) {
                let problem = format!("a record fails its checksum, and one at offset {later} is whole");
                return Err(StoreError::corrupt(&path, place as u64, problem));
            }
            let torn_bytes = (whole.len() - place) as u64;
            let (last, valid_bytes) = (segment, place as u64);
            return Ok(Replayed { last, valid_bytes, torn_bytes, next_sequence: sequence, records, bytes: total, leftovers });
        };
        if place != whole.len() {
            return Err(StoreError::corrupt(&path, place as u64, "a record fails its checksum"));
        }
        expected = Some(sequence);
        (segment, bytes) = next;
        number += 1;
    }
}

fn read(folder: &Path, number: u64) -> Result<(Segment, Vec<u8>), StoreError> {
    let path = segment_path(folder, number);
    let bytes = fs::read(&path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => {
            StoreError::Missing { path: path.clone(), expected: "a segment of the write-ahead log" }
        }
        _ => StoreError::Read { path: path.clone(), source },
    })?;
    Ok((Segment::decode(&bytes, number, &path)?, bytes))
}
