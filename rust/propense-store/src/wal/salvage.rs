//! What can still be read of a write-ahead log that is corrupt.

use std::fs;
use std::path::Path;

use super::record::{next_record, record_at};
use super::segment::{HEADER, Segment, segment_path, segments_in};
use crate::error::StoreError;

/// What was found and what was not.
#[derive(Debug, Default)]
pub(crate) struct Salvaged {
    /// Sequences and payloads in order.
    pub(crate) payloads: Vec<(u64, Vec<u8>)>,
    /// Bytes that are part of no whole record.
    pub(crate) lost_bytes: u64,
    /// The last segment that there is.
    pub(crate) last_segment: u64,
    /// One more than the greatest sequence.
    pub(crate) next_sequence: u64,
}

/// Reads each whole record from the segment `first` on, wherever it stands; changes nothing.
///
/// A segment whose header is damaged is lost whole, as what its records are known by is gone.
///
/// # Errors
/// [`StoreError::Read`].
pub(crate) fn salvage(folder: &Path, first: u64) -> Result<Salvaged, StoreError> {
    let (numbers, _) = segments_in(folder)?;
    let mut salvaged = Salvaged { last_segment: first, next_sequence: 1, ..Salvaged::default() };
    let mut segments = Vec::new();
    for number in numbers.into_iter().filter(|&number| number >= first) {
        let path = segment_path(folder, number);
        let bytes = fs::read(&path).map_err(|source| StoreError::Read { path: path.clone(), source })?;
        salvaged.last_segment = number;
        let segment = Segment::decode(&bytes, number, &path).ok();
        // A repair that was broken off began it: it follows none, and all that it holds is in the segments before.
        if number == first || segment.is_none_or(|segment| segment.previous_bytes > 0) {
            segments.push((segment, bytes));
        }
    }
    for place in 0..segments.len() {
        let (segment, bytes) = &segments[place];
        // What lies beyond was never acknowledged, and its writes may have been sent again.
        let valid = segments.get(place + 1).and_then(|(next, _)| *next).map_or(u64::MAX, |next| next.previous_bytes);
        let bytes = &bytes[..bytes.len().min(usize::try_from(valid).unwrap_or(usize::MAX))];
        let Some(segment) = segment else {
            salvaged.lost_bytes += bytes.len() as u64;
            continue;
        };
        let mut at = HEADER;
        while let Some(found) = next_record(bytes, at, segment.salt) {
            salvaged.lost_bytes += (found - at) as u64;
            let Some(record) = record_at(bytes, found, segment.salt) else { break };
            salvaged.payloads.push((record.sequence, record.payload.to_vec()));
            salvaged.next_sequence = record.sequence + 1;
            at = record.end;
        }
        salvaged.lost_bytes += bytes.len().saturating_sub(at) as u64;
    }
    Ok(salvaged)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::super::record::RecordBuffer;
    use super::super::writer::WalWriter;
    use super::*;
    use crate::disk::LocalDisk;

    fn written(folder: &Path, number: u64, payloads: &[&[u8]]) {
        let mut writer = WalWriter::create(Arc::new(LocalDisk), folder.to_owned(), number, 1).unwrap();
        for payload in payloads {
            let mut record = RecordBuffer::new();
            record.payload().extend_from_slice(payload);
            writer.append(&mut record).unwrap();
        }
    }

    #[test]
    fn what_a_repair_began_that_was_broken_off_hides_nothing() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), 4, &[b"one", b"two", b"three"]);
        written(folder.path(), 5, &[b"one"]);
        let salvaged = salvage(folder.path(), 4).unwrap();
        let payloads: Vec<&[u8]> = salvaged.payloads.iter().map(|(_, payload)| payload.as_slice()).collect();
        assert_eq!(payloads, [&b"one"[..], b"two", b"three"]);
        // The number is taken all the same.
        assert_eq!((salvaged.last_segment, salvaged.lost_bytes), (5, 0));
    }
}
