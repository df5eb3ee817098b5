//! The notes of an open store: what is in files, what is still in memory, and the way from here to there.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::Entry;
use super::file::{Header, file_path};
use crate::disk::{Disk, DiskFile};
use crate::error::StoreError;
use crate::lock::hold;
use crate::wal::record::Salt;

/// Bytes of notes in memory after which they are to be brought into a file.
const FLUSH_BYTES: usize = 4 << 20;
/// Bytes of notes in memory beyond which no more are taken: the files cannot be written.
const MOST_BYTES: usize = 256 << 20;
/// Bytes that are written and synced at once.
const RUN_BYTES: usize = 16 << 20;
/// Bytes of a file between two places that are remembered.
const PLACE_BYTES: u64 = 256 << 10;

/// The notes of a store.
pub(crate) struct Notes {
    pub(super) disk: Arc<dyn Disk + Send + Sync>,
    /// Where they are.
    pub(super) folder: PathBuf,
    pub(super) file_bytes: usize,
    pub(super) keep_files: usize,
    pub(super) state: Mutex<State>,
    /// Held by whoever writes files; taken before the state.
    pub(super) writer: Mutex<Writer>,
}

/// What readers see; also what is to be written.
#[derive(Default)]
pub(super) struct State {
    /// The last note that there is.
    pub(super) last: Last,
    /// The last note that is in a synced file.
    pub(super) flushed: Last,
    /// What is not, oldest first.
    pub(super) tail: VecDeque<Queued>,
    pub(super) tail_bytes: usize,
    /// The files, oldest first.
    pub(super) files: Vec<NotesFile>,
    /// Bytes of notes since the last file was asked for.
    pub(super) filled_bytes: usize,
    /// How long the last checkpoint was: files grow with it.
    pub(super) checkpoint_bytes: usize,
    /// Whether someone was told to flush and has not begun.
    pub(super) is_flush_due: bool,
}

/// What is known of the last note.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) number: u64,
    pub(crate) position: u64,
    /// 0 if it is not known.
    pub(crate) sequence: u64,
}

/// What is to be written.
#[derive(Clone)]
pub(super) enum Queued {
    Note(Arc<Entry>),
    /// A new file, with a checkpoint or none.
    File(Option<Arc<Entry>>),
}

/// A file, as far as it counts.
#[derive(Clone)]
pub(super) struct NotesFile {
    pub(super) header: Header,
    pub(super) has_checkpoint: bool,
    pub(super) valid_bytes: u64,
    /// The position before some places, ascending; none if it was not read yet.
    pub(super) places: Option<Vec<(u64, u64)>>,
}

/// The end of the last file.
pub(super) struct Writer {
    pub(super) has_folder: bool,
    /// None once anything failed, and before the first: the next note begins a file.
    pub(super) file: Option<Box<dyn DiskFile>>,
}

impl NotesFile {
    /// Remembers a place if the last one is far away.
    pub(super) fn remember(places: &mut Vec<(u64, u64)>, position: u64, offset: u64) {
        if places.last().is_none_or(|&(_, last)| offset - last >= PLACE_BYTES) {
            places.push((position, offset));
        }
    }
}

impl Notes {
    /// The number and the position of the last note, and the sequence of its commit.
    pub(crate) fn last(&self) -> Last {
        hold(&self.state).last
    }

    /// The number of the last note that no crash can take away.
    pub(crate) fn durable(&self) -> u64 {
        hold(&self.state).flushed.number
    }

    /// Whether there is a note, or was.
    pub(crate) fn is_empty(&self) -> bool {
        let state = hold(&self.state);
        state.last.number == 0 && state.files.is_empty()
    }

    /// Whether so much waits to be written that no more is taken.
    pub(crate) fn is_behind(&self) -> bool {
        hold(&self.state).tail_bytes > MOST_BYTES
    }

    /// Takes in a note whose commit is on the disk; says whether it is time to flush.
    pub(crate) fn push(&self, note: Entry) -> bool {
        let mut state = hold(&self.state);
        state.push(note);
        state.tail_bytes > FLUSH_BYTES && !std::mem::replace(&mut state.is_flush_due, true)
    }

    /// Whether a new file, with a checkpoint, is due.
    pub(crate) fn is_file_full(&self) -> bool {
        let state = hold(&self.state);
        state.filled_bytes >= self.file_bytes.max(state.checkpoint_bytes)
    }

    /// Lets later notes go to a new file, which begins with a checkpoint if there is one.
    pub(crate) fn begin_file(&self, checkpoint: Option<Vec<u8>>) {
        let mut state = hold(&self.state);
        let Last { number, position, sequence } = state.last;
        state.filled_bytes = 0;
        let checkpoint = checkpoint.map(|payload| {
            state.checkpoint_bytes = payload.len();
            state.tail_bytes += payload.len();
            Arc::new(Entry { number, sequence, position, payload })
        });
        state.tail.push_back(Queued::File(checkpoint));
        state.is_flush_due = true;
    }

    /// Brings all notes so far into files, and these to the disk.
    ///
    /// # Errors
    /// [`StoreError::Write`]; nothing is lost, and the next attempt begins a new file.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        self.flush_with(&mut hold(&self.writer))
    }

    pub(super) fn flush_with(&self, writer: &mut Writer) -> Result<(), StoreError> {
        hold(&self.state).is_flush_due = false;
        loop {
            let run = hold(&self.state).run();
            match run.split_first() {
                None => return Ok(()),
                Some((Queued::File(checkpoint), _)) => {
                    self.create_file(writer, checkpoint.as_deref())?;
                    hold(&self.state).written(1);
                    self.remove_old();
                }
                Some(_) => {
                    let notes: Vec<&Entry> = run.iter().filter_map(Queued::note).collect();
                    self.write(writer, &notes)?;
                    hold(&self.state).written(notes.len());
                }
            }
        }
    }

    /// Appends notes to the last file and syncs it.
    fn write(&self, writer: &mut Writer, notes: &[&Entry]) -> Result<(), StoreError> {
        if writer.file.is_none() {
            self.create_file(writer, None)?;
        }
        let Some((header, valid)) = hold(&self.state).files.last().map(|file| (file.header, file.valid_bytes)) else {
            return Ok(());
        };
        let path = file_path(&self.folder, header.file);
        let failed = |source| StoreError::Write { path: path.clone(), source };
        let mut bytes = Vec::new();
        let mut places = Vec::with_capacity(notes.len());
        for note in notes {
            places.push(valid + bytes.len() as u64);
            if !header.append(&mut bytes, note) {
                return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
            }
        }
        let Some(mut file) = writer.file.take() else {
            return Err(failed(std::io::ErrorKind::NotConnected.into()));
        };
        if let Err(source) = file.write_all(&bytes).and_then(|()| file.sync_data()) {
            drop(file);
            // Gives room back on a full disk; what stands there does not count, as the next file's header says.
            let _ = self.disk.truncate(&path, valid);
            return Err(failed(source));
        }
        writer.file = Some(file);
        let mut state = hold(&self.state);
        let State { files, flushed, .. } = &mut *state;
        if let Some(file) = files.last_mut() {
            file.valid_bytes += bytes.len() as u64;
            for (note, place) in notes.iter().zip(places) {
                if let Some(known) = &mut file.places {
                    NotesFile::remember(known, flushed.position, place);
                }
                *flushed = Last { number: note.number, position: note.position, sequence: note.sequence };
            }
        }
        Ok(())
    }

    /// Begins a file; the one before it is synced.
    fn create_file(&self, writer: &mut Writer, checkpoint: Option<&Entry>) -> Result<(), StoreError> {
        if !writer.has_folder {
            let failed = |source| StoreError::Write { path: self.folder.clone(), source };
            if !self.folder.exists() {
                self.disk.create_folder(&self.folder).map_err(failed)?;
            }
            self.disk.sync_folder(self.folder.parent().unwrap_or(Path::new("."))).map_err(failed)?;
            writer.has_folder = true;
        }
        let (last, flushed) = {
            let state = hold(&self.state);
            (state.files.last().map_or(0, |file| file.header.file), state.flushed)
        };
        // If the name is given but cannot be synced, the file before must not grow beyond what the new one says.
        writer.file = None;
        let header = Header {
            file: last + 1,
            previous: flushed.number,
            previous_position: flushed.position,
            salt: Salt::random(),
        };
        let mut records = Vec::new();
        let has_checkpoint = checkpoint.is_some_and(|checkpoint| header.append(&mut records, checkpoint));
        writer.file = Some(header.create(&*self.disk, &self.folder, &records)?);
        let valid_bytes = (super::file::HEADER + records.len()) as u64;
        let file = NotesFile { header, has_checkpoint, valid_bytes, places: Some(Vec::new()) };
        hold(&self.state).files.push(file);
        Ok(())
    }

    /// Removes the oldest files, one after the other, so that no crash leaves a gap; what fails is tried with the next file.
    fn remove_old(&self) {
        loop {
            let oldest = {
                let files = &hold(&self.state).files;
                let newest_checkpoint = files.iter().rposition(|file| file.has_checkpoint).unwrap_or(0);
                let is_old = newest_checkpoint > 0 && files.len() > self.keep_files.max(1);
                if is_old { files[0].header.file } else { return }
            };
            // That the file before is gone must be on the disk first.
            let synced = self.disk.sync_folder(&self.folder);
            if synced.and_then(|()| self.disk.remove_file(&file_path(&self.folder, oldest))).is_err() {
                return;
            }
            hold(&self.state).files.remove(0);
        }
    }
}

impl State {
    pub(super) fn push(&mut self, note: Entry) {
        self.last = Last { number: note.number, position: note.position, sequence: note.sequence };
        self.tail_bytes += note.payload.len();
        self.filled_bytes += note.payload.len();
        self.tail.push_back(Queued::Note(Arc::new(note)));
    }

    /// What is to be written next: a new file, or notes.
    fn run(&self) -> Vec<Queued> {
        if let Some(file @ Queued::File(_)) = self.tail.front() {
            return vec![file.clone()];
        }
        let mut bytes = 0;
        let notes = self.tail.iter().take_while(|queued| {
            let fits = matches!(queued, Queued::Note(_)) && bytes < RUN_BYTES;
            bytes += queued.bytes();
            fits
        });
        notes.cloned().collect()
    }

    /// Forgets what is in a file now.
    fn written(&mut self, count: usize) {
        for queued in self.tail.drain(..count) {
            self.tail_bytes -= queued.bytes();
        }
    }
}

impl Queued {
    pub(super) fn note(&self) -> Option<&Entry> {
        match self {
            Self::Note(note) => Some(note),
            Self::File(_) => None,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Note(note) | Self::File(Some(note)) => note.payload.len(),
            Self::File(None) => 0,
        }
    }
}
