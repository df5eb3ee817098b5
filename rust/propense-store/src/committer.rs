//! The one thread that writes: groups what waits into one record, syncs once, puts it into memory, and answers.

use std::sync::Arc;

use crate::catalog::NewKinds;
use crate::commit::Batch;
use crate::erasure::ErasedLog;
use crate::error::StoreError;
use crate::maintenance::Job;
use crate::queue::Request;
use crate::request::{Receipt, Reply, Write, WriteError};
use crate::store::Shared;
use crate::wal::record::RecordBuffer;
use crate::wal::writer::WalWriter;
use crate::without_erased;

/// A commit groups requests until it has so many rows.
const MOST_ROWS: usize = 65_536;
/// Or so many bytes.
const MOST_BYTES: usize = 8 << 20;
/// A segment that is this long is followed by another.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Frozen memtables that may wait to be sealed before writes are turned away.
const MOST_FROZEN: usize = 3;

/// What the thread owns.
pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) wal: WalWriter,
    pub(crate) erased: ErasedLog,
    /// Users who are erased, and of whom the observer could not note it yet.
    pub(crate) owed: Vec<String>,
    /// Bytes of notes in the segments since memory was frozen.
    pub(crate) noted_bytes: usize,
}

/// A request that is in the record.
pub(crate) struct Admitted {
    pub(crate) batch: Batch,
    pub(crate) erased: u64,
    pub(crate) reply: Reply,
}

impl Committer {
    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        /// If this thread panics, those who wait must learn of it.
        struct Abandon(Arc<Shared>);
        impl Drop for Abandon {
            fn drop(&mut self) {
                self.0.queue.abandon();
            }
        }
        let shared = Arc::clone(&self.shared);
        let abandon = Abandon(Arc::clone(&shared));
        while let Some(request) = shared.queue.next() {
            self.settle_owed();
            match request {
                Request::Freeze(told) => {
                    // Whoever asked may be gone.
                    let _ = told.send(self.freeze());
                }
                Request::Write(write, reply) => match *write {
                    Write::Erase(user) => self.erase(&user, reply),
                    Write::Ask(message) => self.ask(message, reply),
                    write => self.commit(write, reply),
                },
            }
            self.begin_notes_if_full();
            self.freeze_if_full();
        }
        drop(abandon);
    }

    /// Commits a request and those that wait behind it.
    fn commit(&mut self, write: Write, reply: Reply) {
        let shared = Arc::clone(&self.shared);
        let (mut record, mut kinds, mut admitted) = (RecordBuffer::new(), NewKinds::default(), Vec::new());
        let mut rows = 0;
        let mut next = Some(Request::Write(Box::new(write), reply));
        while let Some(Request::Write(write, reply)) = next {
            match self.admit(*write, &mut record, &mut kinds) {
                Ok((batch, erased)) => {
                    rows += batch.rows();
                    admitted.push(Admitted { batch, erased, reply });
                }
                Err(error) => reply(Err(error)),
            }
            next = if rows < MOST_ROWS && record.payload_bytes() < MOST_BYTES {
                let is_batch = |request: &Request| matches!(request, Request::Write(write, _) if matches!(**write, Write::Events(_) | Write::Profiles(_)));
                shared.queue.next_if(is_batch)
            } else {
                None
            };
        }
        if let Some(observer) = &shared.observer {
            return self.commit_observed(observer, record, admitted);
        }
        // Rows of erased users alone leave nothing to write.
        let written =
            if record.payload_bytes() == 0 { Ok(self.wal.last_sequence()) } else { self.wal.append(&mut record) };
        match written {
            Ok(sequence) => self.apply(admitted, sequence),
            Err(error) => {
                let error = WriteError::from(error);
                for request in admitted {
                    (request.reply)(Err(error.clone()));
                }
            }
        }
    }

    /// Checks a request against the store and what is in the record, and adds it.
    fn admit(&self, write: Write, record: &mut RecordBuffer, kinds: &mut NewKinds) -> Result<(Batch, u64), WriteError> {
        let shared = &self.shared;
        if shared.notes.is_behind() {
            return Err(shared.seal_failure().clone().unwrap_or(WriteError::Busy));
        }
        if shared.frozen().len() >= MOST_FROZEN && shared.memory.active_len() >= shared.options.seal_events {
            return Err(shared.seal_failure().clone().unwrap_or(WriteError::Busy));
        }
        let (batch, erased) = match write {
            Write::Events(batch) => {
                let (batch, erased) = without_erased::events(batch, self.erased.users())?;
                shared.memory.check_events(&batch, kinds)?;
                (Batch::Events(batch), erased)
            }
            Write::Profiles(batch) => {
                let (batch, erased) = without_erased::profiles(batch, self.erased.users())?;
                shared.memory.check_profiles(&batch, kinds)?;
                (Batch::Profiles(batch), erased)
            }
            Write::Erase(_) | Write::Ask(_) => return Err(WriteError::Closed),
        };
        if batch.rows() > 0 {
            batch.encode(record)?;
        }
        Ok((batch, erased))
    }

    /// Puts what is on the disk into memory, then answers.
    fn apply(&self, admitted: Vec<Admitted>, sequence: u64) {
        for Admitted { batch, erased, reply } in admitted {
            let applied = batch.apply(&self.shared.memory);
            reply(applied.map_err(WriteError::from).map(|applied| Receipt {
                sequence,
                accepted: applied.accepted,
                duplicates: applied.duplicates,
                erased: applied.erased + erased,
            }));
        }
    }

    /// Begins a new segment and a new memtable, so that what is in the old ones can be sealed.
    pub(crate) fn freeze(&mut self) -> Result<(), StoreError> {
        if !self.wal.segment_is_empty() {
            self.wal.rotate()?;
        }
        let frozen = self.shared.memory.freeze();
        self.shared.frozen().push((frozen, self.wal.segment()));
        self.noted_bytes = 0;
        Ok(())
    }

    fn freeze_if_full(&mut self) {
        let shared = Arc::clone(&self.shared);
        let is_full =
            shared.memory.active_len() >= shared.options.seal_events || self.noted_bytes >= shared.options.notes_bytes;
        if is_full && shared.options.background && shared.frozen().len() < MOST_FROZEN {
            // If there is no room for a segment, the next commit says so.
            if self.freeze().is_ok() {
                shared.order(Job::Seal);
            }
        } else if self.wal.segment_bytes() > SEGMENT_BYTES {
            let _ = self.wal.rotate();
        }
    }
}
