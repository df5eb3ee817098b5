//! Reading the files of notes: all of them, or from the newest checkpoint on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::Entry;
use super::file::{HEADER, Header, Placed, file_path, files_in, note_at, notes_folder};
use super::journal::{Last, Notes, NotesFile, State, Writer};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::store::StoreOptions;

/// What is told each note; says what is wrong with it.
pub(crate) type Each<'a> = dyn FnMut(Placed<'_>) -> Result<(), String> + 'a;

/// Which files are read to their ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    First,
    NewestCheckpoint,
    Last,
}

/// What stands in the files.
pub(crate) struct Found {
    pub(super) files: Vec<NotesFile>,
    pub(crate) last: Last,
    /// Bytes of the last file that were being written when the machine stopped.
    pub(crate) torn_bytes: u64,
    /// How long the newest checkpoint is.
    checkpoint_bytes: usize,
    leftovers: Vec<PathBuf>,
}

impl Last {
    /// Goes on to a note that stands in the write-ahead log, unless it is in the files.
    ///
    /// # Errors
    /// A note before it is in neither.
    pub(crate) fn follow(&mut self, number: u64) -> Result<(), String> {
        if number > self.number + 1 {
            return Err(format!("note {number} follows, but the last one that is whole is {}", self.number));
        }
        self.number = self.number.max(number);
        Ok(())
    }
}

impl Found {
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.valid_bytes).sum()
    }
}

/// Gives the checkpoint, and each note, in order; changes nothing. `durable` notes are known to be there.
///
/// # Errors
/// [`StoreError::Missing`], [`StoreError::Read`], [`StoreError::Corrupt`] with file and offset; also if `each` cannot make
/// sense of a note.
pub(crate) fn read(store: &Path, durable: u64, from: From, each: &mut Each<'_>) -> Result<Found, StoreError> {
    let folder = notes_folder(store);
    let (numbers, leftovers) = files_in(&folder)?;
    let missing = |file| StoreError::Missing { path: file_path(&folder, file), expected: "a file of notes" };
    if let Some(gap) = numbers.windows(2).find(|pair| pair[1] != pair[0] + 1) {
        return Err(missing(gap[0] + 1));
    }
    let mut contents = Vec::new();
    for &number in numbers.iter().rev() {
        let bytes = load(&folder, number)?;
        let header = Header::decode(&bytes, number, &file_path(&folder, number))?;
        let has_checkpoint = note_at(&bytes, HEADER, header.salt).is_some_and(|first| first.number == header.previous);
        contents.push((header, bytes));
        if from == From::Last || from == From::NewestCheckpoint && has_checkpoint {
            break;
        }
    }
    let mut found = Found { files: Vec::new(), last: Last::default(), torn_bytes: 0, checkpoint_bytes: 0, leftovers };
    for &number in &numbers[..numbers.len() - contents.len()] {
        let (header, has_checkpoint, valid_bytes) = peek(&folder, number)?;
        found.files.push(NotesFile { header, has_checkpoint, valid_bytes, places: None });
    }
    while let Some((header, bytes)) = contents.pop() {
        let end = contents.last().map(|(next, _)| *next);
        found.scan(&folder, header, &bytes, end, each)?;
    }
    if found.last.number < durable {
        let Some(file) = found.files.last() else { return Err(missing(1)) };
        let problem = format!("note {} of {durable} is the last that is whole", found.last.number);
        return Err(StoreError::corrupt(file_path(&folder, file.header.file), file.valid_bytes, problem));
    }
    Ok(found)
}

impl Found {
    /// Reads one file, up to the note that the next one says is its last.
    fn scan(
        &mut self,
        folder: &Path,
        header: Header,
        bytes: &[u8],
        next: Option<Header>,
        each: &mut Each<'_>,
    ) -> Result<(), StoreError> {
        let path = file_path(folder, header.file);
        let corrupt = |place: usize, problem: &str| StoreError::corrupt(&path, place as u64, problem);
        let is_first = self.files.last().is_none_or(|file| file.places.is_none());
        let Last { number, position, .. } = self.last;
        if !is_first && (number, position) != (header.previous, header.previous_position) {
            return Err(corrupt(0, "the file of notes does not go on where the one before ends"));
        }
        self.last = Last { number: header.previous, position: header.previous_position, sequence: self.last.sequence };
        let (mut place, mut has_checkpoint, mut places) = (HEADER, false, Vec::new());
        while let Some(note) = note_at(bytes, place, header.salt) {
            let is_checkpoint = place == HEADER && note.number == header.previous;
            if !is_checkpoint && next.is_some_and(|next| self.last.number >= next.previous) {
                break;
            }
            if !is_checkpoint && (note.number != self.last.number + 1 || note.position < self.last.position) {
                return Err(corrupt(place, "a note is not the one expected"));
            }
            each(note).map_err(|problem| corrupt(place, &problem))?;
            if is_checkpoint {
                (has_checkpoint, self.checkpoint_bytes) = (true, note.payload.len());
            } else {
                NotesFile::remember(&mut places, self.last.position, place as u64);
            }
            self.last = Last { number: note.number, position: note.position, sequence: note.sequence };
            place = note.end;
        }
        match next {
            Some(next) if self.last.number != next.previous => {
                return Err(corrupt(place, "a note fails its checksum"));
            }
            Some(_) => {}
            None => self.torn_bytes = (bytes.len() - place) as u64,
        }
        let places = Some(places);
        self.files.push(NotesFile { header, has_checkpoint, valid_bytes: place as u64, places });
        Ok(())
    }
}

fn load(folder: &Path, number: u64) -> Result<Vec<u8>, StoreError> {
    let path = file_path(folder, number);
    fs::read(&path).map_err(|source| StoreError::Read { path, source })
}

/// The header of an older file, whether it begins with a checkpoint, and its length.
fn peek(folder: &Path, number: u64) -> Result<(Header, bool, u64), StoreError> {
    use std::io::Read;
    let path = file_path(folder, number);
    let peeked = || -> io::Result<(Vec<u8>, u64)> {
        let (mut file, mut bytes) = (fs::File::open(&path)?, vec![0; HEADER]);
        file.read_exact(&mut bytes)?;
        Ok((bytes, file.metadata()?.len()))
    };
    let (bytes, length) = match peeked() {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => (Vec::new(), 0),
        peeked => peeked.map_err(|source| StoreError::Read { path: path.clone(), source })?,
    };
    // Whether it has a checkpoint only matters for what may be removed, and newer files have one.
    Ok((Header::decode(&bytes, number, &path)?, false, length))
}

/// Opens the notes of a store: gives the checkpoint and each note in the files to `each`, cuts off a torn end, and brings
/// what was read to the disk.
///
/// # Errors
/// As [`read`], and [`StoreError::Write`].
pub(crate) fn recover(
    disk: &Arc<dyn Disk + Send + Sync>,
    store: &Path,
    durable: u64,
    options: &StoreOptions,
    each: Option<&mut Each<'_>>,
) -> Result<Notes, StoreError> {
    let folder = notes_folder(store);
    let has_folder = folder.exists();
    if has_folder {
        disk.sync_folder(&folder).map_err(|source| StoreError::Write { path: folder.clone(), source })?;
    }
    let found = match each {
        Some(each) => read(store, durable, From::NewestCheckpoint, each)?,
        None => read(store, durable, From::Last, &mut |_| Ok(()))?,
    };
    for path in &found.leftovers {
        disk.remove_file(path).map_err(|source| StoreError::Write { path: path.clone(), source })?;
    }
    let file = found.files.last().map(|file| {
        let path = file_path(&folder, file.header.file);
        let opened = || {
            if found.torn_bytes > 0 {
                disk.truncate(&path, file.valid_bytes)?;
            }
            let mut file = disk.append_file(&path)?;
            file.sync()?;
            Ok(file)
        };
        opened().map_err(|source| StoreError::Write { path: path.clone(), source })
    });
    let file = file.transpose()?;
    let filled_bytes = found.files.last().map_or(0, |file| file.valid_bytes as usize - HEADER);
    let state = State {
        last: found.last,
        flushed: found.last,
        files: found.files,
        filled_bytes: filled_bytes.saturating_sub(found.checkpoint_bytes),
        checkpoint_bytes: found.checkpoint_bytes,
        ..State::default()
    };
    Ok(Notes {
        disk: Arc::clone(disk),
        folder,
        file_bytes: options.notes_bytes,
        keep_files: options.keep_notes,
        state: Mutex::new(state),
        writer: Mutex::new(Writer { has_folder, file }),
    })
}

impl Notes {
    /// Takes in a note that stands in the write-ahead log; says whether it was not in the files.
    ///
    /// # Errors
    /// A note before it is in neither.
    pub(crate) fn refill(&self, note: Entry) -> Result<bool, String> {
        let mut state = crate::lock::hold(&self.state);
        let before = state.last;
        state.last.follow(note.number)?;
        let is_new = state.last != before;
        if is_new {
            state.push(note);
        }
        Ok(is_new)
    }
}
