//! Commits that an observer sees: what follows from the rows stands in their record.

use std::any::Any;
use std::sync::Arc;

use crate::commit::encode_note;
use crate::committer::{Admitted, Committer};
use crate::lock::hold;
use crate::maintenance::Job;
use crate::notes::Entry;
use crate::observer::{Note, SharedObserver};
use crate::request::{Receipt, Reply, WriteError};
use crate::wal::record::RecordBuffer;

const NO_OBSERVER: &str = "the store is open without an observer, so that nobody can be asked";
const UNCLEANED: &str =
    "what is noted of the user can only be cleaned by the store's observer, which it is open without";

impl Committer {
    /// Stages the rows, asks the observer what follows, writes both, and only then lets anyone see them.
    pub(crate) fn commit_observed(&mut self, observer: &SharedObserver, record: RecordBuffer, admitted: Vec<Admitted>) {
        let shared = Arc::clone(&self.shared);
        let mut staging = shared.memory.stage();
        let stage = |Admitted { batch, erased, reply }: Admitted| {
            (batch.stage(&shared.memory, &mut staging).map_err(WriteError::from), erased, reply)
        };
        let staged: Vec<_> = admitted.into_iter().map(stage).collect();
        let touched = staging.touched();
        let touched = touched.each();
        let note = if touched.is_empty() {
            None
        } else {
            hold(observer).staged(&shared.memory.staged_snapshot(&mut staging), &touched)
        };
        let written = self.write(record, note);
        match &written {
            Ok(_) => shared.memory.publish_staged(staging),
            Err(_) => staging.take_back(),
        }
        if !touched.is_empty() {
            hold(observer).settled(written.as_ref().ok().copied());
        }
        for (applied, erased, reply) in staged {
            let receipt = written.clone().and_then(|sequence| {
                let applied = applied?;
                let (accepted, duplicates) = (applied.accepted, applied.duplicates);
                Ok(Receipt { sequence, accepted, duplicates, erased: applied.erased + erased })
            });
            reply(receipt);
        }
    }

    /// Hands the observer a message and writes what follows.
    pub(crate) fn ask(&mut self, message: Box<dyn Any + Send>, reply: Reply) {
        let shared = Arc::clone(&self.shared);
        let Some(observer) = &shared.observer else { return reply(Err(WriteError::Refused(NO_OBSERVER.to_owned()))) };
        if shared.notes.is_behind() {
            return reply(Err(shared.seal_failure().clone().unwrap_or(WriteError::Busy)));
        }
        let asked = hold(observer).asked(&shared.memory.snapshot(), message).map_err(WriteError::Refused);
        let written = asked.and_then(|note| self.write(RecordBuffer::new(), note));
        hold(observer).settled(written.as_ref().ok().copied());
        reply(written.map(|sequence| Receipt { sequence, ..Receipt::default() }));
    }

    /// Writes a record with a note, if there is anything to write, and gives its sequence; the note can then be followed.
    pub(crate) fn write(&mut self, mut record: RecordBuffer, note: Option<Note>) -> Result<u64, WriteError> {
        let shared = &self.shared;
        let last = shared.notes.last();
        let number = last.number + 1;
        let note = note.map(|note| Note { position: note.position.max(last.position), ..note });
        if let Some(note) = &note {
            encode_note(&mut record, number, note)?;
        }
        if record.payload_bytes() == 0 {
            // Rows of erased users alone leave nothing to write.
            return Ok(self.wal.last_sequence());
        }
        let sequence = self.wal.append(&mut record)?;
        if let Some(Note { position, payload }) = note {
            self.noted_bytes += payload.len();
            if shared.notes.push(Entry { number, sequence, position, payload }) {
                shared.order(Job::Notes);
            }
        }
        Ok(sequence)
    }

    /// Begins a file of notes, with a checkpoint, if the last one is full.
    pub(crate) fn begin_notes_if_full(&self) {
        if let Some(observer) = &self.shared.observer
            && self.shared.notes.is_file_full()
        {
            self.shared.notes.begin_file(hold(observer).checkpoint());
            self.shared.order(Job::Notes);
        }
    }

    /// Erases a user: it is so once the list of erased users says it. The observer notes it, nobody sees the user any more,
    /// and the files are cleaned; that answers.
    pub(crate) fn erase(&mut self, user: &str, reply: Reply) {
        let shared = Arc::clone(&self.shared);
        let has_notes = shared.observer.is_some() || !shared.notes.is_empty();
        if shared.observer.is_none() && has_notes {
            return reply(Err(WriteError::Refused(UNCLEANED.to_owned())));
        }
        let is_new = has_notes && shared.erasing().insert(user.to_owned());
        if let Err(error) = self.erased.erase(user) {
            if is_new {
                shared.erasing().remove(user);
            }
            return reply(Err(error.into()));
        }
        // The note comes before the rows go: as long as these are there, a process that takes over knows whose notes are
        // to be cleaned.
        let written = self.note_erasure(user);
        let was_known = shared.memory.erase(user);
        if let Some(observer) = &shared.observer {
            hold(observer).settled(written.as_ref().ok().copied());
        }
        match written {
            Ok(sequence) => {
                let receipt = Receipt { sequence, erased: u64::from(was_known), ..Receipt::default() };
                shared.order(Job::Purge(reply, receipt));
            }
            Err(error) => {
                self.owed.push(user.to_owned());
                reply(Err(error));
            }
        }
    }

    /// Writes what the observer says of an erasure.
    pub(crate) fn note_erasure(&mut self, user: &str) -> Result<u64, WriteError> {
        let observer = self.shared.observer.clone();
        let note = observer.and_then(|observer| hold(&observer).erasing(user));
        self.write(RecordBuffer::new(), note)
    }

    /// Tries again to note the erasures that could not be.
    pub(crate) fn settle_owed(&mut self) {
        for user in std::mem::take(&mut self.owed) {
            self.erase(&user, Box::new(|_| {}));
        }
    }
}
