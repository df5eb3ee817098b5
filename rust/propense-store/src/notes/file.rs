//! A file of notes: a header, a checkpoint or none, and then notes.
//!
//! ```text
//! magic 8 bytes | version u32 | CRC-32C of the rest u32 | number of the file u64 | number of the last note before it u64
//!     | the position then u64 | salt u64
//! ```
//!
//! The rest are [records](crate::wal::record) with the note's number in place of a sequence, and this payload:
//!
//! ```text
//! sequence of the commit u64 | position u64 | payload
//! ```
//!
//! A checkpoint has the number of the last note before the file. The next file's header says which note is a file's last;
//! whatever stands behind that one was never relied on.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Entry;
use crate::disk::{Disk, DiskFile};
use crate::error::StoreError;
use crate::wal::record::{RecordBuffer, Salt, array, record_at};

const MAGIC: [u8; 8] = *b"PPNOTES\0";
const VERSION: u32 = 1;
/// Bytes before the first record.
pub(crate) const HEADER: usize = 48;
/// Sequence and position.
const HEAD: usize = 16;
const EXTENSION: &str = "notes";
/// The extension of a file that does not count yet.
const ASIDE: &str = "new";

/// What a file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Counts from 1; also its name.
    pub(crate) file: u64,
    /// The number of the last note before it.
    pub(crate) previous: u64,
    /// Its position.
    pub(crate) previous_position: u64,
    pub(crate) salt: Salt,
}

impl Header {
    fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        for (place, field) in [self.file, self.previous, self.previous_position, self.salt.0].into_iter().enumerate() {
            bytes[16 + place * 8..24 + place * 8].copy_from_slice(&field.to_le_bytes());
        }
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the header of the file with this number.
    pub(crate) fn decode(bytes: &[u8], file: u64, path: &Path) -> Result<Self, StoreError> {
        let corrupt = |problem: &str| StoreError::corrupt(path, 0, problem);
        let header = bytes.get(..HEADER).ok_or_else(|| corrupt("the header of the file of notes is cut short"))?;
        if header[..8] != MAGIC {
            return Err(corrupt("this is no file of notes"));
        }
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&header[..12]), &header[16..]);
        if u32::from_le_bytes(array(&header[12..16])) != checksum {
            return Err(corrupt("the header of the file of notes fails its checksum"));
        }
        if u32::from_le_bytes(array(&header[8..12])) != VERSION {
            return Err(corrupt("the file of notes is of another version"));
        }
        let field = |place: usize| u64::from_le_bytes(array(&header[16 + place * 8..24 + place * 8]));
        if field(0) != file {
            return Err(corrupt("the header of the file of notes is of another number than its name"));
        }
        Ok(Self { file, previous: field(1), previous_position: field(2), salt: Salt(field(3)) })
    }

    /// Makes the file with what it begins with: aside, synced, then given its name, and the name synced.
    ///
    /// A file that has the name is replaced.
    pub(crate) fn create(
        &self,
        disk: &dyn Disk,
        folder: &Path,
        records: &[u8],
    ) -> Result<Box<dyn DiskFile>, StoreError> {
        let path = file_path(folder, self.file);
        let failed = |source: io::Error| StoreError::Write { path: path.clone(), source };
        let aside = path.with_extension(ASIDE);
        if aside.exists() {
            disk.remove_file(&aside).map_err(failed)?;
        }
        let mut file = disk.create_file(&aside).map_err(failed)?;
        let mut write = |bytes: &[u8]| file.write_all(bytes);
        write(&self.encode()).and_then(|()| write(records)).and_then(|()| file.sync()).map_err(failed)?;
        disk.rename(&aside, &path).and_then(|()| disk.sync_folder(folder)).map_err(failed)?;
        Ok(file)
    }

    /// Appends a note, or a checkpoint, as it stands in the file; nothing and false if it is too long.
    pub(crate) fn append(&self, into: &mut Vec<u8>, note: &Entry) -> bool {
        let mut record = RecordBuffer::new();
        let payload = record.payload();
        payload.reserve(HEAD + note.payload.len());
        payload.extend_from_slice(&note.sequence.to_le_bytes());
        payload.extend_from_slice(&note.position.to_le_bytes());
        payload.extend_from_slice(&note.payload);
        let Some(bytes) = record.seal(self.salt, note.number) else { return false };
        into.extend_from_slice(bytes);
        true
    }
}

/// A note as it stands in its file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed<'a> {
    pub(crate) number: u64,
    pub(crate) sequence: u64,
    pub(crate) position: u64,
    pub(crate) payload: &'a [u8],
    /// Where the next one begins.
    pub(crate) end: usize,
}

impl Placed<'_> {
    pub(crate) fn to_entry(self) -> Entry {
        let Self { number, sequence, position, payload, .. } = self;
        Entry { number, sequence, position, payload: payload.to_vec() }
    }
}

/// The note at a place of a file, if one stands there whole.
pub(crate) fn note_at(bytes: &[u8], place: usize, salt: Salt) -> Option<Placed<'_>> {
    let record = record_at(bytes, place, salt)?;
    let (head, payload) = record.payload.split_at_checked(HEAD)?;
    let field = |start: usize| u64::from_le_bytes(array(&head[start..start + 8]));
    Some(Placed { number: record.sequence, sequence: field(0), position: field(8), payload, end: record.end })
}

/// Where the notes of a store are.
pub(crate) fn notes_folder(folder: &Path) -> PathBuf {
    folder.join("notes")
}

/// Where a file of notes is.
pub(crate) fn file_path(folder: &Path, file: u64) -> PathBuf {
    folder.join(format!("{file:06}.{EXTENSION}"))
}

/// The numbers of the files in the folder of notes, ascending, and files that never got their name; none without one.
pub(crate) fn files_in(folder: &Path) -> Result<(Vec<u64>, Vec<PathBuf>), StoreError> {
    let unreadable = |source| StoreError::Read { path: folder.to_owned(), source };
    let (mut numbers, mut leftovers) = (Vec::new(), Vec::new());
    if !fs::exists(folder).map_err(unreadable)? {
        return Ok((numbers, leftovers));
    }
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        match stem.parse().ok().filter(|&number| file_path(folder, number) == path) {
            Some(number) => numbers.push(number),
            None if path.extension().is_some_and(|extension| extension == ASIDE) => leftovers.push(path),
            None => {}
        }
    }
    numbers.sort_unstable();
    Ok((numbers, leftovers))
}
