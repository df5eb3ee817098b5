//! Notes for those who follow: from memory as long as they are there, else from the files.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use super::Entry;
use super::file::{HEADER, Header, file_path, note_at};
use super::journal::{Notes, NotesFile, State};
use crate::error::StoreError;
use crate::lock::hold;
use crate::observer::NotesError;

/// The least that is read of a file at once.
const WINDOW_BYTES: usize = 64 << 10;

/// Where the notes after a position are.
enum Place {
    /// There are none.
    Nowhere,
    /// No longer kept; the position from which on they are.
    Gone(u64),
    Memory(Vec<Arc<Entry>>),
    File(Section),
}

/// Some of a file.
struct Section {
    header: Header,
    /// The number of the last note that counts.
    last: u64,
    /// Where to begin, and the position before.
    start: u64,
    position: u64,
    end: u64,
    /// Whether the places of the file are known.
    is_indexed: bool,
}

impl State {
    fn place(&self, position: u64, max_bytes: usize) -> Place {
        if position >= self.last.position {
            return Place::Nowhere;
        }
        let first = self.files.first().map_or(0, |file| file.header.previous_position);
        if position < first {
            return Place::Gone(first);
        }
        if position >= self.flushed.position {
            let (mut known, mut bytes) = (position, 0);
            let rising = self.tail.iter().filter_map(|queued| match queued {
                super::journal::Queued::Note(note) => Some(note),
                super::journal::Queued::File(_) => None,
            });
            let rising = rising.filter(|note| {
                let before = known;
                known = known.max(note.position);
                note.position > before
            });
            let some = rising.take_while(|note| {
                let is_room = bytes < max_bytes || bytes == 0;
                bytes += note.payload.len().max(1);
                is_room
            });
            return Place::Memory(some.cloned().collect());
        }
        let at = self.files.partition_point(|file| file.header.previous_position <= position);
        let Some(file) = self.files.get(at.wrapping_sub(1)) else { return Place::Gone(first) };
        let last = self.files.get(at).map_or(self.flushed.number, |next| next.header.previous);
        let places = file.places.as_deref().unwrap_or_default();
        let before = places.partition_point(|&(known, _)| known <= position);
        let begin = (file.header.previous_position, HEADER as u64);
        let (known, start) = places.get(before.wrapping_sub(1)).copied().unwrap_or(begin);
        let is_indexed = file.places.is_some();
        Place::File(Section { header: file.header, last, start, position: known, end: file.valid_bytes, is_indexed })
    }
}

impl Notes {
    /// The notes whose position is greater: at least one if there is any, then more up to so many bytes.
    ///
    /// # Errors
    /// [`NotesError`].
    pub(crate) fn after(&self, position: u64, max_bytes: usize) -> Result<Vec<(u64, Vec<u8>)>, NotesError> {
        let (mut found, mut bytes, mut position) = (Vec::new(), 0, position);
        while found.is_empty() || bytes < max_bytes {
            let place = hold(&self.state).place(position, max_bytes - bytes.min(max_bytes));
            let before = found.len();
            match place {
                Place::Nowhere => break,
                // Those found before were there in time.
                Place::Gone(_) if !found.is_empty() => break,
                Place::Gone(first) => return Err(NotesError::Gone { first }),
                Place::Memory(notes) => {
                    found.extend(notes.iter().map(|note| (note.position, note.payload.clone())));
                }
                Place::File(section) => match self.section(&section, position, max_bytes) {
                    Ok(notes) => found.extend(notes),
                    Err(_) => found.extend(self.section_while_nobody_writes(position, max_bytes)?),
                },
            }
            bytes += found[before..].iter().map(|(_, payload): &(u64, Vec<u8>)| payload.len().max(1)).sum::<usize>();
            position = found.last().map_or(position, |&(position, _)| position);
        }
        Ok(found)
    }

    /// [`Self::section`] again: the file may have been removed, or written anew without an erased user.
    fn section_while_nobody_writes(&self, position: u64, max_bytes: usize) -> Result<Vec<(u64, Vec<u8>)>, NotesError> {
        let _writer = hold(&self.writer);
        let place = hold(&self.state).place(position, max_bytes);
        match place {
            Place::File(section) => Ok(self.section(&section, position, max_bytes)?),
            Place::Gone(first) => Err(NotesError::Gone { first }),
            Place::Nowhere | Place::Memory(_) => Ok(Vec::new()),
        }
    }

    /// Notes of a file, with their positions.
    fn section(&self, section: &Section, after: u64, max_bytes: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let Section { header, last, start, mut position, end, is_indexed } = *section;
        let path = file_path(&self.folder, header.file);
        let unreadable = |source| StoreError::Read { path: path.clone(), source };
        let mut window = if is_indexed { max_bytes.saturating_add(WINDOW_BYTES) } else { usize::MAX };
        let mut bytes = read(&path, start, window.min((end - start) as usize)).map_err(unreadable)?;
        let (mut place, mut found, mut places, mut taken) = (0, Vec::new(), Vec::new(), 0);
        loop {
            let Some(note) = note_at(&bytes, place, header.salt) else {
                if found.is_empty() && start + (bytes.len() as u64) < end {
                    window = window.saturating_mul(4);
                    bytes = read(&path, start, window.min((end - start) as usize)).map_err(unreadable)?;
                    continue;
                }
                if found.is_empty() {
                    let problem = "a note fails its checksum";
                    return Err(StoreError::corrupt(&path, start + place as u64, problem));
                }
                break;
            };
            let is_checkpoint = note.number == header.previous;
            if !is_checkpoint && note.number > last {
                break;
            }
            if !is_checkpoint {
                NotesFile::remember(&mut places, position, start + place as u64);
                let is_wanted = note.position > position && note.position > after;
                if is_wanted && (taken < max_bytes || found.is_empty()) {
                    found.push((note.position, note.payload.to_vec()));
                    taken += note.payload.len().max(1);
                } else if is_wanted && is_indexed {
                    break;
                }
            }
            position = position.max(note.position);
            place = note.end;
        }
        if found.is_empty() {
            return Err(StoreError::corrupt(&path, start + place as u64, "notes that were there are missing"));
        }
        if !is_indexed {
            let mut state = hold(&self.state);
            let file = state.files.iter_mut().find(|file| file.header == header);
            if let Some(file) = file {
                file.places = Some(places);
            }
        }
        Ok(found)
    }
}

fn read(path: &std::path::Path, start: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut read = Vec::new();
    file.take(bytes as u64).read_to_end(&mut read)?;
    Ok(read)
}
