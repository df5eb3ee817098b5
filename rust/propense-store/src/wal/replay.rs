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

/// Told the sequence and the payload of a record; says what is wrong with it.
pub(crate) type Each<'a> = dyn FnMut(u64, &[u8]) -> Result<(), String> + 'a;

/// Gives each record's sequence and payload, in order, from the segment `first` on; changes nothing.
///
/// # Errors
/// [`StoreError::Missing`] if a segment is not there, [`StoreError::Corrupt`] with file and offset for whatever is neither
/// whole nor a torn end; also if `each` cannot make sense of a record.
pub(crate) fn replay(folder: &Path, first: u64, each: &mut Each<'_>) -> Result<Replayed, StoreError> {
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
            return Ok(Replayed {
                last,
                valid_bytes,
                torn_bytes,
                next_sequence: sequence,
                records,
                bytes: total,
                leftovers,
            });
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::disk::LocalDisk;
    use crate::wal::record::{FRAME, RecordBuffer};
    use crate::wal::writer::WalWriter;

    type Records = Vec<(u64, Vec<u8>)>;

    /// In memory if the machine has some that looks like a disk: the tests write very many files.
    fn folder() -> tempfile::TempDir {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
    }

    /// A log of four segments, 76 KiB in all, and where each record begins: (segment, offset).
    fn some_log(folder: &Path) -> (Records, Vec<(u64, usize)>) {
        let mut writer = WalWriter::create(Arc::new(LocalDisk), folder.to_owned(), 4, 1).unwrap();
        let (mut records, mut places) = (Vec::new(), Vec::new());
        for sequence in 1..=72_u64 {
            if sequence % 20 == 0 {
                writer.rotate().unwrap();
            }
            places.push((writer.segment(), writer.segment_bytes() as usize));
            let mut record = RecordBuffer::new();
            let bytes = (sequence as usize * 631) % 2_170;
            record.payload().extend((0..bytes).map(|place| (place as u64 * sequence) as u8));
            records.push((sequence, record.payload()[FRAME..].to_vec()));
            assert_eq!(writer.append(&mut record).unwrap(), sequence);
        }
        (records, places)
    }

    fn read_back(folder: &Path, first: u64) -> Result<(Records, Replayed), StoreError> {
        let mut records = Vec::new();
        let replayed = replay(folder, first, &mut |sequence, payload| {
            records.push((sequence, payload.to_vec()));
            Ok(())
        })?;
        Ok((records, replayed))
    }

    #[test]
    fn what_was_appended_is_replayed_and_goes_on() {
        let folder = folder();
        let (mut records, _) = some_log(folder.path());
        let (found, replayed) = read_back(folder.path(), 4).unwrap();
        assert_eq!((found, replayed.torn_bytes, replayed.next_sequence), (records.clone(), 0, 73));
        let Replayed { last, valid_bytes, .. } = replayed;
        let disk = Arc::new(LocalDisk);
        let mut writer = WalWriter::resume(disk, folder.path().to_owned(), last, valid_bytes, 0, 73).unwrap();
        let mut record = RecordBuffer::new();
        record.payload().extend_from_slice(b"more");
        assert_eq!(writer.append(&mut record).unwrap(), 73);
        records.push((73, b"more".to_vec()));
        assert_eq!(read_back(folder.path(), 4).unwrap().0, records);
    }

    /// Where a byte stands: the record's number in the whole log and its offset; none in a header.
    fn record_of(places: &[(u64, usize)], segment: u64, byte: usize) -> Option<(usize, usize)> {
        let begins = |&(_, &(of, start)): &(usize, &(u64, usize))| of == segment && start <= byte;
        places.iter().enumerate().rfind(begins).map(|(number, &(_, start))| (number, start))
    }

    #[test]
    fn every_flipped_byte_is_refused_with_its_place_or_is_a_torn_end() {
        let folder = folder();
        let (records, places) = some_log(folder.path());
        let mut flips = 0;
        for segment in 4..=7 {
            let path = segment_path(folder.path(), segment);
            let first = places.iter().position(|&(of, _)| of == segment).unwrap();
            let whole = fs::read(&path).unwrap();
            for byte in 0..whole.len() {
                let mut bytes = whole.clone();
                bytes[byte] ^= 1 << (byte % 8);
                fs::write(&path, &bytes).unwrap();
                flips += 1;
                let place = record_of(&places, segment, byte);
                // The segments before are as they were.
                let outcome = read_back(folder.path(), segment);
                if place.is_some_and(|(number, _)| number + 1 == records.len()) {
                    let (found, replayed) = outcome.unwrap();
                    assert_eq!(found, records[first..records.len() - 1]);
                    assert_eq!(replayed.torn_bytes as usize, whole.len() - places[records.len() - 1].1);
                    continue;
                }
                let Err(StoreError::Corrupt { path: named, offset, .. }) = outcome else {
                    panic!("byte {byte} of segment {segment}: {outcome:?}");
                };
                assert_eq!(
                    (named, offset as usize),
                    (path.clone(), place.map_or(0, |(_, start)| start)),
                    "byte {byte}"
                );
            }
            fs::write(&path, &whole).unwrap();
        }
        println!("{flips} bytes flipped");
        assert!(flips > 60_000);
    }

    #[test]
    fn every_cut_is_refused_or_recovers_to_the_last_whole_record() {
        let folder = folder();
        let (records, places) = some_log(folder.path());
        let mut cuts = 0;
        for segment in 4..=7 {
            let path = segment_path(folder.path(), segment);
            let first = places.iter().position(|&(of, _)| of == segment).unwrap();
            let whole = fs::read(&path).unwrap();
            for length in 0..whole.len() {
                fs::write(&path, &whole[..length]).unwrap();
                cuts += 1;
                // The segments before are as they were.
                let outcome = read_back(folder.path(), segment);
                if segment < 7 || length < HEADER {
                    assert!(
                        matches!(outcome, Err(StoreError::Corrupt { .. })),
                        "{segment} cut to {length}: {outcome:?}"
                    );
                    continue;
                }
                let (found, replayed) = outcome.unwrap();
                let cut_record = record_of(&places, segment, length).unwrap();
                assert_eq!(found, records[first..cut_record.0]);
                assert_eq!(replayed.torn_bytes as usize, length - cut_record.1);
            }
            fs::remove_file(&path).unwrap();
            let gone = read_back(folder.path(), segment);
            // A log without its last segment is one that had none yet, which only the store can tell.
            assert!(segment == 7 || matches!(gone, Err(StoreError::Missing { .. })), "{gone:?}");
            fs::write(&path, &whole).unwrap();
        }
        println!("{cuts} lengths cut");
        assert!(cuts > 60_000);
    }
}
