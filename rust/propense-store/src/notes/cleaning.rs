//! Notes without what they say of erased users.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use super::Entry;
use super::file::{HEADER, Header, file_path, note_at};
use super::journal::{Last, Notes, NotesFile, Queued, State, Writer};
use crate::error::StoreError;
use crate::lock::hold;
use crate::observer::SharedObserver;
use crate::wal::record::Salt;

/// A file as it is to be.
struct Cleaned {
    header: Header,
    records: Vec<u8>,
    places: Vec<(u64, u64)>,
}

impl Notes {
    /// Leaves nothing of users in any note, in memory or in a file; it is so on the disk when this returns.
    ///
    /// The write-ahead log is the caller's matter. What the observer says from now on must not name them any more.
    ///
    /// # Errors
    /// [`StoreError`]; some may be cleaned and others not.
    pub(crate) fn clean(&self, observer: &SharedObserver, users: &BTreeSet<String>) -> Result<(), StoreError> {
        let mut writer = hold(&self.writer);
        // Oldest first: as long as anything is said of a user, it is also said that they are erased.
        let count = hold(&self.state).files.len();
        for at in 0..count {
            self.clean_file(at, &mut writer, observer, users)?;
        }
        self.clean_tail(observer, users);
        self.flush_with(&mut writer)
    }

    fn clean_tail(&self, observer: &SharedObserver, users: &BTreeSet<String>) {
        let tail: Vec<Queued> = hold(&self.state).tail.iter().cloned().collect();
        for (at, queued) in tail.iter().enumerate() {
            let (Queued::Note(note) | Queued::File(Some(note))) = queued else { continue };
            let Some(payload) = without(observer, users, &note.payload) else { continue };
            let note = Arc::new(Entry { payload, ..note.as_ref().clone() });
            let State { tail, tail_bytes, .. } = &mut *hold(&self.state);
            // Whoever writes waits for this, so that the notes have not moved; more may have come behind them.
            let cleaned = if let Queued::Note(_) = queued { Queued::Note(note) } else { Queued::File(Some(note)) };
            *tail_bytes = *tail_bytes + cleaned.bytes() - queued.bytes();
            tail[at] = cleaned;
        }
    }

    /// Writes a file anew, in the place of the old one, if it holds anything of the users.
    fn clean_file(
        &self,
        at: usize,
        writer: &mut Writer,
        observer: &SharedObserver,
        users: &BTreeSet<String>,
    ) -> Result<(), StoreError> {
        let (file, last, is_last) = {
            let state = hold(&self.state);
            let last = state.files.get(at + 1).map_or(state.flushed.number, |next| next.header.previous);
            (state.files[at].clone(), last, at + 1 == state.files.len())
        };
        let Some(cleaned) = self.cleaned(&file, last, observer, users)? else { return Ok(()) };
        let Cleaned { header, records, places } = cleaned;
        if is_last {
            writer.file = None;
        }
        let handle = header.create(&*self.disk, &self.folder, &records)?;
        if is_last {
            writer.file = Some(handle);
        }
        let file = &mut hold(&self.state).files[at];
        file.valid_bytes = (HEADER + records.len()) as u64;
        (file.header, file.places) = (header, Some(places));
        Ok(())
    }

    fn cleaned(
        &self,
        file: &NotesFile,
        last: u64,
        observer: &SharedObserver,
        users: &BTreeSet<String>,
    ) -> Result<Option<Cleaned>, StoreError> {
        let path = file_path(&self.folder, file.header.file);
        let bytes = fs::read(&path).map_err(|source| StoreError::Read { path: path.clone(), source })?;
        let old = Header::decode(&bytes, file.header.file, &path)?;
        let header = Header { salt: Salt::random(), ..old };
        let (mut records, mut places, mut is_changed) = (Vec::new(), Vec::new(), false);
        let mut known = Last { number: old.previous, position: old.previous_position, sequence: 0 };
        let mut place = HEADER;
        // A checkpoint has the number of the note before.
        while known.number < last || place == HEADER {
            let note = note_at(&bytes, place, old.salt);
            if known.number == last && note.is_none_or(|note| note.number != old.previous) {
                break;
            }
            let Some(note) = note else {
                return Err(StoreError::corrupt(&path, place as u64, "a note fails its checksum"));
            };
            let mut entry = note.to_entry();
            if let Some(payload) = without(observer, users, &entry.payload) {
                (entry.payload, is_changed) = (payload, true);
            }
            if note.number != old.previous {
                NotesFile::remember(&mut places, known.position, (HEADER + records.len()) as u64);
            }
            header.append(&mut records, &entry);
            known = Last { number: note.number, position: note.position, sequence: note.sequence };
            place = note.end;
        }
        // What was written and could not be synced does not count, but it is there.
        is_changed |= place < bytes.len();
        // An attempt before came as far as the name.
        is_changed |= old != file.header;
        Ok(is_changed.then_some(Cleaned { header, records, places }))
    }
}

/// A payload without all of the users; none if it has nothing of them.
fn without(observer: &SharedObserver, users: &BTreeSet<String>, payload: &[u8]) -> Option<Vec<u8>> {
    let mut cleaned = None;
    for user in users {
        let shorter = hold(observer).without(user, cleaned.as_deref().unwrap_or(payload));
        cleaned = shorter.or(cleaned);
    }
    cleaned
}
