//! A durable store of events and profiles: one folder, one writer, any number of readers.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use propense_core::events::ColumnKind;

use crate::batch::{EventBatch, ProfileBatch};
use crate::batch_error::BatchProblem;
use crate::disk::{Disk, LocalDisk};
use crate::error::StoreError;
use crate::maintenance::Job;
use crate::memory::Memory;
use crate::notes::journal::Notes;
use crate::observer::{NotesError, Observer, SharedObserver};
use crate::queue::{Queue, Request};
use crate::request::{Receipt, Reply, Write, WriteError};
use crate::snapshot::Snapshot;
use crate::source::SourceId;
use crate::store_manifest::wal_folder;
use crate::store_open;

/// How a store works.
#[derive(Clone)]
pub struct StoreOptions {
    /// Events and profile values in memory that are made into a part.
    pub seal_events: usize,
    /// The most events of a part that is made of others.
    pub merge_limit_events: usize,
    /// Rows that may wait to be written.
    pub queue_events: usize,
    /// What writes files; all is read from the machine's file system.
    pub disk: Arc<dyn Disk + Send + Sync>,
    /// Whether parts are made and merged by themselves; if not, only when asked for.
    pub background: bool,
    /// Bytes of an observer's notes after which a new file, and a checkpoint, begins.
    pub notes_bytes: usize,
    /// Files of notes that are kept, the newest ones; more if the newest checkpoint is older.
    pub keep_notes: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            seal_events: 500_000,
            merge_limit_events: 4_000_000,
            queue_events: 200_000,
            disk: Arc::new(LocalDisk),
            background: true,
            notes_bytes: 64 << 20,
            keep_notes: 16,
        }
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("seal_events", &self.seal_events)
            .field("merge_limit_events", &self.merge_limit_events)
            .field("queue_events", &self.queue_events)
            .field("background", &self.background)
            .field("notes_bytes", &self.notes_bytes)
            .field("keep_notes", &self.keep_notes)
            .finish_non_exhaustive()
    }
}

/// What a store holds and takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreStats {
    /// Events in parts; those of users who were just erased may still count.
    pub sealed_events: u64,
    /// Users of the parts; a user in several counts several times.
    pub sealed_users: u64,
    /// Events and profile values in the active memtable.
    pub active_events: u64,
    /// Sealed parts.
    pub parts: u64,
    /// Bytes of the parts' files that are mapped.
    pub mapped_bytes: u64,
    /// Bytes of memory that events take that are in no part.
    pub memtable_bytes: u64,
    /// Bytes of the write-ahead log.
    pub wal_bytes: u64,
    /// Rows that wait to be written.
    pub queued_rows: u64,
}

/// What the threads of a store share.
pub(crate) struct Shared {
    pub(crate) folder: PathBuf,
    pub(crate) disk: Arc<dyn Disk + Send + Sync>,
    pub(crate) options: StoreOptions,
    pub(crate) memory: Memory,
    pub(crate) queue: Queue,
    /// Memtables that are to be sealed, and for each the first segment that holds nothing of it.
    pub(crate) frozen: Mutex<Vec<(Option<SourceId>, u64)>>,
    /// Why the last attempt to seal failed, for writers whom nothing but a seal would help.
    pub(crate) seal_failure: Mutex<Option<WriteError>>,
    /// Sees what is written; asked by one thread at a time.
    pub(crate) observer: Option<SharedObserver>,
    pub(crate) notes: Notes,
    /// Users who are erased, but not yet out of all files: no part without them may be all that is left of them, as nobody
    /// would know then whose notes are to be cleaned.
    pub(crate) erasing: Mutex<BTreeSet<String>>,
    pub(crate) jobs: Sender<Job>,
    pub(crate) closing: AtomicBool,
}

impl Shared {
    pub(crate) fn frozen(&self) -> MutexGuard<'_, Vec<(Option<SourceId>, u64)>> {
        self.frozen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Users whose erasure is on its way; nobody unless notes are kept.
    pub(crate) fn erasing(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.erasing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn seal_failure(&self) -> MutexGuard<'_, Option<WriteError>> {
        self.seal_failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the maintenance thread do something; a job that it cannot take any more is dropped with its reply.
    pub(crate) fn order(&self, job: Job) {
        let _ = self.jobs.send(job);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}

/// A durable store, open for writing.
///
/// A write is acknowledged once it is on the disk; requests that come together share one commit. An event is identified
/// by its user, time, type and optional id, so that sending one again does no harm. Dropping the store closes it.
pub struct Store {
    shared: Arc<Shared>,
    committer: Option<JoinHandle<()>>,
    maintenance: Option<JoinHandle<()>>,
    /// Locked for as long as it is open.
    _lock: File,
}

impl Store {
    /// Opens a store, or makes one in a folder that is not there or empty.
    ///
    /// A record that was being written when the machine stopped is cut off; everything that was acknowledged is there.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::Occupied`] if something else is there, [`StoreError::Corrupt`] or
    /// [`StoreError::Damaged`] with the file, [`StoreError::Missing`], [`StoreError::Read`], [`StoreError::Write`].
    pub fn open(folder: impl AsRef<Path>, options: StoreOptions) -> Result<Self, StoreError> {
        Self::open_with(folder.as_ref(), options, None)
    }

    /// [`Self::open`] with an observer, who has replayed its notes when this returns.
    ///
    /// # Errors
    /// As there; also [`StoreError::Corrupt`] if the observer cannot make sense of a note.
    pub fn open_observed(
        folder: impl AsRef<Path>,
        options: StoreOptions,
        observer: Box<dyn Observer>,
    ) -> Result<Self, StoreError> {
        Self::open_with(folder.as_ref(), options, Some(observer))
    }

    fn open_with(
        folder: &Path,
        options: StoreOptions,
        observer: Option<Box<dyn Observer>>,
    ) -> Result<Self, StoreError> {
        let (jobs, to_do) = channel();
        let opened = store_open::open(folder, options, observer, jobs)?;
        let spawned = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let failed = |source| StoreError::Write { path: folder.to_owned(), source };
            thread::Builder::new().name(name.to_owned()).spawn(work).map_err(failed)
        };
        let (shared, committer, maintenance) = (opened.shared, opened.committer, opened.maintenance);
        let mut store = Self { shared, committer: None, maintenance: None, _lock: opened.lock };
        store.maintenance = Some(spawned("store-maintain", Box::new(move || maintenance.run(&to_do)))?);
        store.committer = Some(spawned("store-commit", Box::new(move || committer.run()))?);
        Ok(store)
    }

    /// Asks for a change and returns at once; `reply` is called with the answer.
    ///
    /// # Errors
    /// [`WriteError::Busy`], [`WriteError::Invalid`] or [`WriteError::Closed`]: `reply` is not called then. A reply that
    /// is dropped without a call means that the store broke down.
    pub fn submit(&self, write: Write, reply: Reply) -> Result<(), WriteError> {
        match &write {
            Write::Events(batch) => batch.validate()?,
            Write::Profiles(batch) => batch.validate()?,
            Write::Erase(_) | Write::Ask(_) => {}
        }
        self.shared.queue.push(Request::Write(Box::new(write), reply))
    }

    /// Whether the thread that writes is gone, so that no write will be taken on until the store is opened anew; what was
    /// acknowledged is on the disk and can be read.
    #[must_use]
    pub fn has_broken_down(&self) -> bool {
        self.shared.queue.is_closed()
    }

    /// Whether [`Self::submit`] would not find the queue full now.
    #[must_use]
    pub fn has_room(&self, write: &Write) -> bool {
        self.shared.queue.has_room(write.rows())
    }

    /// Adds events and waits until they are on the disk.
    ///
    /// # Errors
    /// [`WriteError`]; the events of the batch are then not acknowledged.
    pub fn ingest(&self, batch: EventBatch) -> Result<Receipt, WriteError> {
        self.write(Write::Events(batch))
    }

    /// Sets attributes and waits until they are on the disk.
    ///
    /// # Errors
    /// As [`Self::ingest`].
    pub fn put_profiles(&self, batch: ProfileBatch) -> Result<Receipt, WriteError> {
        self.write(Write::Profiles(batch))
    }

    /// Erases a user for ever, and waits until no file of the store holds anything of theirs.
    ///
    /// # Errors
    /// As [`Self::ingest`]; the user may be hidden nevertheless, and the files are cleaned as soon as the disk allows.
    pub fn erase(&self, user: &str) -> Result<Receipt, WriteError> {
        self.write(Write::Erase(user.to_owned()))
    }

    /// Sends the observer a message and waits for what follows to be on the disk.
    ///
    /// # Errors
    /// As [`Self::ingest`]; [`WriteError::Refused`] with the observer's reason, or if there is none.
    pub fn ask(&self, message: Box<dyn Any + Send>) -> Result<Receipt, WriteError> {
        self.write(Write::Ask(message))
    }

    /// The observer's notes whose position is greater, in order, with their positions; those on the disk only.
    ///
    /// At least one if there is any, then more up to so many bytes. Nobody waits for it, and any number of threads may ask.
    ///
    /// # Errors
    /// [`NotesError`].
    pub fn notes_after(&self, position: u64, max_bytes: usize) -> Result<Vec<(u64, Vec<u8>)>, NotesError> {
        self.shared.notes.after(position, max_bytes)
    }

    /// The position of the last note that [`Self::notes_after`] gives; 0 before the first.
    #[must_use]
    pub fn notes_position(&self) -> u64 {
        self.shared.notes.last().position
    }

    fn write(&self, write: Write) -> Result<Receipt, WriteError> {
        wait(|told| {
            let reply = move |answer| {
                let _ = told.send(answer);
            };
            self.submit(write, Box::new(reply))
        })
    }

    /// Makes a part of all that is in memory, and waits for it.
    ///
    /// # Errors
    /// [`WriteError::NoSpace`], [`WriteError::Failed`] or [`WriteError::Closed`]; nothing is lost.
    pub fn seal(&self) -> Result<(), WriteError> {
        wait(|told| {
            self.shared.order(Job::SealAll(told));
            Ok(())
        })
    }

    /// Makes a part of all that is in memory and merges parts as far as the limit allows, and waits for it.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub fn compact(&self) -> Result<(), WriteError> {
        wait(|told| {
            self.shared.order(Job::Compact(told));
            Ok(())
        })
    }

    /// The store as it is now; cheap, and nothing waits for it.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.memory.snapshot()
    }

    /// Adds columns that are read before any event has them; in memory only.
    ///
    /// # Errors
    /// [`BatchProblem::Kind`] names a column that has another kind already; nothing changes then.
    pub fn declare(
        &self,
        properties: &BTreeMap<String, ColumnKind>,
        attributes: &BTreeMap<String, ColumnKind>,
    ) -> Result<(), BatchProblem> {
        self.shared.memory.declare(properties, attributes)
    }

    /// What the store holds and takes.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let Shared { folder, memory, queue, .. } = &*self.shared;
        let parts = memory.parts();
        let segments = std::fs::read_dir(wal_folder(folder)).into_iter().flatten().flatten();
        StoreStats {
            sealed_events: parts.iter().map(|part| part.events).sum(),
            sealed_users: parts.iter().map(|part| part.users).sum(),
            active_events: memory.active_len() as u64,
            parts: parts.len() as u64,
            mapped_bytes: parts.iter().map(|part| part.mapped_bytes).sum(),
            memtable_bytes: memory.memtable_bytes() as u64,
            wal_bytes: segments.filter_map(|segment| segment.metadata().ok()).map(|segment| segment.len()).sum(),
            queued_rows: queue.rows() as u64,
        }
    }

    /// Finishes what waits and closes the store; what is in memory is read from the log when it is opened again.
    pub fn close(self) {
        // As dropping does.
    }
}

/// Asks for something and waits for the answer.
fn wait<T>(ask: impl FnOnce(SyncSender<Result<T, WriteError>>) -> Result<(), WriteError>) -> Result<T, WriteError> {
    let (told, answer) = sync_channel(1);
    ask(told)?;
    answer.recv().unwrap_or(Err(WriteError::Closed))
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.queue.close();
        // A thread that panicked has told those who waited.
        let _ = self.committer.take().map(JoinHandle::join);
        self.shared.closing.store(true, Ordering::Relaxed);
        self.shared.order(Job::Stop);
        let _ = self.maintenance.take().map(JoinHandle::join);
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("folder", &self.shared.folder).finish_non_exhaustive()
    }
}
