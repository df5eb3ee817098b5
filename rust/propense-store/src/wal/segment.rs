//! A segment: one file of the write-ahead log, and its header.
//!
//! ```text
//! magic 8 bytes | version u32 | CRC-32C of the rest u32 | number u64 | valid bytes of the segment before u64
//!     | sequence of the first record u64 | salt u64
//! ```

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::record::{Salt, array};
use crate::disk::{Disk, DiskFile};
use crate::error::StoreError;

const MAGIC: [u8; 8] = *b"PPWALSEG";
const VERSION: u32 = 1;
/// Bytes before the first record.
pub(crate) const HEADER: usize = 48;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Counts from 1; also its name.
    pub(crate) number: u64,
    /// How many bytes of the segment before hold what was acknowledged; 0 if there was none.
    pub(crate) previous_bytes: u64,
    pub(crate) first_sequence: u64,
    pub(crate) salt: Salt,
}

impl Segment {
    fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.previous_bytes.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.salt.0.to_le_bytes());
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the header of the segment with this number.
    pub(crate) fn decode(bytes: &[u8], number: u64, path: &Path) -> Result<Self, StoreError> {
        let corrupt = |problem: &str| StoreError::corrupt(path, 0, problem);
        let header = bytes.get(..HEADER).ok_or_else(|| corrupt("the header of the segment is cut short"))?;
        if header[..8] != MAGIC {
            return Err(corrupt("this is no segment of a write-ahead log"));
        }
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&header[..12]), &header[16..]);
        if u32::from_le_bytes(array(&header[12..16])) != checksum {
            return Err(corrupt("the header of the segment fails its checksum"));
        }
        if u32::from_le_bytes(array(&header[8..12])) != VERSION {
            return Err(corrupt("the segment is of another version"));
        }
        let field = |start: usize| u64::from_le_bytes(array(&header[start..start + 8]));
        if field(16) != number {
            return Err(corrupt("the header of the segment is of another number than its name"));
        }
        Ok(Self { number, previous_bytes: field(24), first_sequence: field(32), salt: Salt(field(40)) })
    }

    /// Makes the segment's file: aside, synced, then given its name, and the name synced.
    ///
    /// A file that has the name, from an attempt that failed, is replaced.
    pub(crate) fn create(&self, disk: &dyn Disk, folder: &Path) -> Result<Box<dyn DiskFile>, StoreError> {
        let path = segment_path(folder, self.number);
        let failed = |source: io::Error| StoreError::Write { path: path.clone(), source };
        let aside = path.with_extension(ASIDE);
        if aside.exists() {
            disk.remove_file(&aside).map_err(failed)?;
        }
        let mut file = disk.create_file(&aside).map_err(failed)?;
        file.write_all(&self.encode()).and_then(|()| file.sync()).map_err(failed)?;
        disk.rename(&aside, &path).and_then(|()| disk.sync_folder(folder)).map_err(failed)?;
        Ok(file)
    }
}

/// The extension of a segment's file.
const EXTENSION: &str = "wal";
/// The extension of a segment that does not count yet.
const ASIDE: &str = "new";

/// Where a segment is.
pub(crate) fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:06}.{EXTENSION}"))
}

/// The numbers of the segments that a folder has, ascending, and files that are none.
pub(crate) fn segments_in(folder: &Path) -> Result<(Vec<u64>, Vec<PathBuf>), StoreError> {
    let unreadable = |source| StoreError::Read { path: folder.to_owned(), source };
    let (mut numbers, mut others) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        match stem.parse().ok().filter(|&number| segment_path(folder, number) == path) {
            Some(number) => numbers.push(number),
            None => others.push(path),
        }
    }
    numbers.sort_unstable();
    Ok((numbers, others))
}
