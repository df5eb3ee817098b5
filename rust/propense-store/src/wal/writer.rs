//! Appending records to the last segment, and going on in a new one when a file cannot be trusted any more.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use super::record::{RecordBuffer, Salt};
use super::segment::{HEADER, Segment, segment_path};
use crate::disk::{Disk, DiskFile};
use crate::error::StoreError;

/// The end of the write-ahead log.
pub(crate) struct WalWriter {
    disk: Arc<dyn Disk + Send + Sync>,
    folder: PathBuf,
    segment: Segment,
    /// How many bytes of the segment hold what was acknowledged.
    valid_bytes: u64,
    next_sequence: u64,
    /// None once anything failed: the next record begins a segment.
    file: Option<Box<dyn DiskFile>>,
}

impl WalWriter {
    /// Begins the log of a new store with the segment of this number.
    pub(crate) fn create(
        disk: Arc<dyn Disk + Send + Sync>,
        folder: PathBuf,
        number: u64,
        first_sequence: u64,
    ) -> Result<Self, StoreError> {
        let segment = Segment { number, previous_bytes: 0, first_sequence, salt: Salt::random() };
        let file = segment.create(&*disk, &folder)?;
        Ok(Self { disk, folder, segment, valid_bytes: HEADER as u64, next_sequence: first_sequence, file: Some(file) })
    }

    /// Goes on at the end of a segment.
    ///
    /// What stands in it may have been written by a process that was killed before it could sync; it is synced here, so
    /// that whatever was replayed is on the disk.
    pub(crate) fn resume(
        disk: Arc<dyn Disk + Send + Sync>,
        folder: PathBuf,
        segment: Segment,
        valid_bytes: u64,
        torn_bytes: u64,
        next_sequence: u64,
    ) -> Result<Self, StoreError> {
        let path = segment_path(&folder, segment.number);
        let resumed = || -> io::Result<Box<dyn DiskFile>> {
            if torn_bytes > 0 {
                disk.truncate(&path, valid_bytes)?;
            }
            let mut file = disk.append_file(&path)?;
            file.sync()?;
            disk.sync_folder(&folder)?;
            Ok(file)
        };
        let file = resumed().map_err(|source| StoreError::Write { path: path.clone(), source })?;
        Ok(Self { disk, folder, segment, valid_bytes, next_sequence, file: Some(file) })
    }

    /// Appends a record and returns its sequence once it is on the disk.
    ///
    /// # Errors
    /// The record is not acknowledged; it may or may not be there after a crash. The next one begins a new segment.
    pub(crate) fn append(&mut self, record: &mut RecordBuffer) -> Result<u64, StoreError> {
        if self.file.is_none() {
            self.begin_segment()?;
        }
        let path = segment_path(&self.folder, self.segment.number);
        let failed = |source| StoreError::Write { path: path.clone(), source };
        let sequence = self.next_sequence;
        let too_long = || failed(io::ErrorKind::FileTooLarge.into());
        let bytes = record.seal(self.segment.salt, sequence).ok_or_else(too_long)?;
        let Some(mut file) = self.file.take() else { return Err(failed(io::ErrorKind::NotConnected.into())) };
        if let Err(source) = file.write_all(bytes).and_then(|()| file.sync_data()) {
            drop(file);
            // Gives room back on a full disk, and takes away what was not acknowledged; that it is not valid is what
            // the next segment's header says.
            let _ = self.disk.truncate(&path, self.valid_bytes);
            return Err(failed(source));
        }
        self.file = Some(file);
        self.valid_bytes += bytes.len() as u64;
        self.next_sequence += 1;
        Ok(sequence)
    }

    /// Begins a new segment and returns its number; later records are in it or after it.
    ///
    /// # Errors
    /// The next record begins the segment then.
    pub(crate) fn rotate(&mut self) -> Result<u64, StoreError> {
        // If the name was given but could not be synced, the old segment must not grow beyond what the new one's header says.
        self.file = None;
        self.begin_segment()?;
        Ok(self.segment.number)
    }

    fn begin_segment(&mut self) -> Result<(), StoreError> {
        let segment = Segment {
            number: self.segment.number + 1,
            previous_bytes: self.valid_bytes,
            first_sequence: self.next_sequence,
            salt: Salt::random(),
        };
        self.file = Some(segment.create(&*self.disk, &self.folder)?);
        self.segment = segment;
        self.valid_bytes = HEADER as u64;
        Ok(())
    }

    /// The number of the segment that records go to.
    pub(crate) fn segment(&self) -> u64 {
        self.segment.number
    }

    /// How many bytes of the segment hold what was acknowledged.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.valid_bytes
    }

    /// Whether the segment has no record.
    pub(crate) fn segment_is_empty(&self) -> bool {
        self.segment.first_sequence == self.next_sequence && self.file.is_some()
    }

    /// The sequence of the last record that was acknowledged; 0 before the first.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.next_sequence - 1
    }
}
