//! What can still be read of notes that are damaged, and beginning anew with that.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Entry;
use super::file::{HEADER, Header, file_path, files_in, note_at, notes_folder};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::wal::record::{Salt, next_record};

/// The newest checkpoint, and notes by the sequence of their commit, of which each has one at most.
#[derive(Default)]
pub(crate) struct Salvaged {
    checkpoint: Option<Entry>,
    notes: BTreeMap<u64, Entry>,
    /// The files that were read.
    pub(crate) files: Vec<PathBuf>,
    last_file: u64,
}

/// Reads each whole note, wherever it stands; changes nothing. A file whose header is damaged is lost whole.
///
/// # Errors
/// [`StoreError::Read`].
pub(crate) fn salvage(store: &Path) -> Result<Salvaged, StoreError> {
    let folder = notes_folder(store);
    let mut salvaged = Salvaged::default();
    for number in files_in(&folder)?.0 {
        let path = file_path(&folder, number);
        let bytes = fs::read(&path).map_err(|source| StoreError::Read { path: path.clone(), source })?;
        let header = Header::decode(&bytes, number, &path);
        salvaged.files.push(path);
        salvaged.last_file = number;
        let Ok(Header { previous, salt, .. }) = header else { continue };
        let mut at = HEADER;
        while let Some(found) = next_record(&bytes, at, salt) {
            let Some(note) = note_at(&bytes, found, salt) else { break };
            if found == HEADER && note.number == previous {
                salvaged.checkpoint = Some(note.to_entry());
            } else {
                salvaged.notes.insert(note.sequence, note.to_entry());
            }
            at = note.end;
        }
    }
    Ok(salvaged)
}

impl Salvaged {
    /// Adds a note that stands in the write-ahead log.
    pub(crate) fn add(&mut self, note: Entry) {
        // A file's may have been cleaned of an erased user.
        self.notes.entry(note.sequence).or_insert(note);
    }

    /// The sequence of the last commit that there is a note of; 0 without any.
    pub(crate) fn last_sequence(&self) -> u64 {
        let checkpoint = self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.sequence);
        self.notes.last_key_value().map_or(checkpoint, |(&sequence, _)| sequence.max(checkpoint))
    }

    /// Writes a file that begins with the checkpoint and has all notes after it, as if none were missing; gives how many
    /// notes there are then.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    pub(crate) fn write(self, disk: &dyn Disk, store: &Path) -> Result<u64, StoreError> {
        let Self { checkpoint, mut notes, last_file, .. } = self;
        if let Some(checkpoint) = &checkpoint {
            notes = notes.split_off(&(checkpoint.sequence + 1));
        }
        let Some(last) = notes.values().chain(&checkpoint).map(|note| note.number).max() else { return Ok(0) };
        let last = last.max(notes.len() as u64);
        let first = notes.values().next();
        // Those who follow are not told that a note is the next one if that is not known.
        let before = first.filter(|first| first.number > 1).map_or(0, |first| first.position);
        let header = Header {
            file: last_file + 1,
            previous: last - notes.len() as u64,
            previous_position: checkpoint.as_ref().map_or(before, |checkpoint| checkpoint.position),
            salt: Salt::random(),
        };
        let (mut records, mut number, mut position) = (Vec::new(), header.previous, header.previous_position);
        if let Some(checkpoint) = checkpoint {
            header.append(&mut records, &Entry { number, ..checkpoint });
        }
        for note in notes.into_values() {
            number += 1;
            position = position.max(note.position);
            header.append(&mut records, &Entry { number, position, ..note });
        }
        let folder = notes_folder(store);
        if !folder.exists() {
            let made = disk.create_folder(&folder).and_then(|()| disk.sync_folder(store));
            made.map_err(|source| StoreError::Write { path: folder.clone(), source })?;
        }
        header.create(disk, &folder, &records)?;
        Ok(last)
    }
}
