//! The thread that seals memtables, merges parts and cleans erased users out of the files.

use std::collections::BTreeSet;
use std::fs;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use crate::error::StoreError;
use crate::parts::PartInfo;
use crate::queue::Request;
use crate::request::{Receipt, Reply, WriteError};
use crate::source::SourceId;
use crate::store::Shared;
use crate::store_manifest::{StoreManifest, part_path, parts_folder, wal_folder};
use crate::wal::segment::{segment_path, segments_in};

/// How long after a failure the work is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How many parts of a size are merged into one.
const MERGED: usize = 4;

/// Something for the thread to do.
pub(crate) enum Job {
    /// Seal what is frozen, then merge parts of a size.
    Seal,
    /// Bring the observer's notes into their files.
    Notes,
    /// Seal everything.
    SealAll(SyncSender<Result<(), WriteError>>),
    /// Seal everything and merge as far as the limit allows.
    Compact(SyncSender<Result<(), WriteError>>),
    /// Leave nothing of erased users in any file, then answer.
    Purge(Reply, Receipt),
    /// End.
    Stop,
}

/// What the thread owns.
pub(crate) struct Maintenance {
    pub(crate) shared: Arc<Shared>,
    /// What the store consists of; the one on the disk may be older.
    pub(crate) manifest: StoreManifest,
    /// Whether the one on the disk is older, or may be.
    pub(crate) is_dirty: bool,
    /// Parts that are in no manifest any more, once the one on the disk is new.
    garbage: BTreeSet<u64>,
}

impl Maintenance {
    pub(crate) fn new(shared: Arc<Shared>, manifest: StoreManifest) -> Self {
        Self { shared, manifest, is_dirty: false, garbage: BTreeSet::new() }
    }

    /// Works until it is told to stop.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        let (mut seal_again, mut purge_again, mut flush_again) = (false, false, false);
        loop {
            let job = if seal_again || purge_again || flush_again {
                jobs.recv_timeout(AGAIN)
            } else {
                Ok(jobs.recv().unwrap_or(Job::Stop))
            };
            match job {
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Job::SealAll(told)) => {
                    let sealed = self.seal_all();
                    // What was frozen waits, and would hold up writes, until it is sealed.
                    seal_again |= sealed.is_err();
                    // Whoever asked may be gone.
                    let _ = told.send(sealed);
                }
                Ok(Job::Compact(told)) => {
                    let compacted = self.compact();
                    seal_again |= compacted.is_err();
                    let _ = told.send(compacted);
                }
                Ok(Job::Notes) => flush_again = self.shared.notes.flush().is_err(),
                Err(RecvTimeoutError::Timeout) if flush_again => flush_again = self.shared.notes.flush().is_err(),
                Ok(Job::Purge(reply, receipt)) => {
                    let purged = self.purge_all();
                    purge_again = purged.is_err();
                    reply(purged.map(|()| receipt));
                    // Each purge makes a part, however small.
                    seal_again |= !purge_again && self.merge().is_err();
                }
                Err(RecvTimeoutError::Timeout) if purge_again => {
                    purge_again = self.purge_all().is_err();
                }
                Ok(Job::Seal) | Err(RecvTimeoutError::Timeout) => seal_again = !self.seal_and_merge(),
            }
        }
    }

    /// Has the committer begin a new memtable.
    pub(crate) fn freeze(&self) -> Result<(), WriteError> {
        let (told, frozen) = sync_channel(1);
        self.shared.queue.push(Request::Freeze(told))?;
        Ok(frozen.recv().map_err(|_| WriteError::Closed)??)
    }

    /// Says whether all went well; if not, writers are told once they cannot go on.
    fn seal_and_merge(&mut self) -> bool {
        let failure = self.seal().and_then(|()| self.merge()).err().map(WriteError::from);
        let is_well = failure.is_none();
        *self.shared.seal_failure() = failure;
        is_well
    }

    fn seal_all(&mut self) -> Result<(), WriteError> {
        self.freeze()?;
        Ok(self.seal()?)
    }

    fn compact(&mut self) -> Result<(), WriteError> {
        self.seal_all()?;
        while let Some(run) = compactable(&self.shared.memory.parts(), self.shared.options.merge_limit_events) {
            self.rewrite(run)?;
            self.publish()?;
        }
        Ok(())
    }

    /// Makes a part of what is frozen; the segments that held it are removed.
    pub(crate) fn seal(&mut self) -> Result<(), StoreError> {
        let frozen = self.shared.frozen().clone();
        if let Some(&(_, first_segment)) = frozen.last() {
            let sources: Vec<SourceId> = frozen.iter().filter_map(|(source, _)| *source).collect();
            self.write(&sources)?;
            self.is_dirty |= self.manifest.first_segment != first_segment;
            self.manifest.first_segment = first_segment;
            self.shared.frozen().drain(..frozen.len());
        }
        self.publish().map(drop)
    }

    /// Merges parts of a size for as long as there are enough.
    fn merge(&mut self) -> Result<(), StoreError> {
        while let Some(run) = mergeable(&self.shared.memory.parts(), self.shared.options.merge_limit_events) {
            self.rewrite(run)?;
            self.publish()?;
        }
        Ok(())
    }

    /// Makes one part of some that lie side by side.
    pub(crate) fn rewrite(&mut self, run: Range<usize>) -> Result<(), StoreError> {
        let sources: Vec<SourceId> = self.shared.memory.parts()[run].iter().map(|part| part.id).collect();
        self.write(&sources)
    }

    /// Puts a new part in the place of its sources, in memory; [`Self::publish`] makes it so on the disk.
    fn write(&mut self, sources: &[SourceId]) -> Result<(), StoreError> {
        if sources.is_empty() {
            return Ok(());
        }
        let shared = &self.shared;
        let number = self.manifest.next_part;
        self.manifest.next_part += 1;
        let path = part_path(&shared.folder, number);
        let advance = &mut |_| if shared.is_closing() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let is_written = shared.memory.write_part(sources, &*shared.disk, &path, advance)?;
        let name = number.to_string();
        let replaced = shared.memory.replace(sources, is_written.then_some((name.as_str(), path.as_path())));
        if replaced.is_err() {
            // No manifest names it; if it cannot be removed now, it is when the store is opened.
            let _ = shared.disk.remove_folder(&path);
        }
        replaced?;
        let parts: Vec<u64> = shared.memory.parts().iter().filter_map(|part| part.name.parse().ok()).collect();
        self.garbage.extend(self.manifest.parts.iter().filter(|part| !parts.contains(part)));
        self.manifest.parts = parts;
        self.is_dirty = true;
        Ok(())
    }

    /// Brings the manifest to the disk, then removes what it names no more; says whether that was done. It is not as long
    /// as the notes of an erased user are not clean: a purge is on its way, and does it.
    pub(crate) fn publish(&mut self) -> Result<bool, StoreError> {
        let shared = Arc::clone(&self.shared);
        if !shared.erasing().is_empty() {
            return Ok(false);
        }
        // Segments are removed below that hold what is not yet in files of notes.
        shared.notes.flush()?;
        if self.is_dirty {
            self.manifest.notes = shared.notes.durable();
            self.manifest.write(&*shared.disk, &shared.folder)?;
            self.is_dirty = false;
        }
        let parts = parts_folder(&shared.folder);
        let had_garbage = !self.garbage.is_empty();
        while let Some(&part) = self.garbage.first() {
            let path = part_path(&shared.folder, part);
            removed(fs::exists(&path).unwrap_or(true), || shared.disk.remove_folder(&path))
                .map_err(|source| StoreError::Write { path, source })?;
            self.garbage.pop_first();
        }
        if had_garbage {
            shared.disk.sync_folder(&parts).map_err(|source| StoreError::Write { path: parts, source })?;
        }
        let wal = wal_folder(&shared.folder);
        let (segments, _) = segments_in(&wal)?;
        let old: Vec<u64> = segments.into_iter().filter(|&segment| segment < self.manifest.first_segment).collect();
        for &segment in &old {
            let path = segment_path(&wal, segment);
            shared.disk.remove_file(&path).map_err(|source| StoreError::Write { path, source })?;
        }
        if !old.is_empty() {
            shared.disk.sync_folder(&wal).map_err(|source| StoreError::Write { path: wal, source })?;
        }
        Ok(true)
    }
}

fn removed(exists: bool, remove: impl FnOnce() -> std::io::Result<()>) -> std::io::Result<()> {
    if exists { remove() } else { Ok(()) }
}

/// A size such that a part of the next one has about four times as many events.
fn tier(part: &PartInfo) -> u32 {
    part.events.max(1).ilog(MERGED as u64)
}

/// The oldest parts of a size that lie side by side and are many enough to be merged.
fn mergeable(parts: &[PartInfo], limit_events: usize) -> Option<Range<usize>> {
    (0..parts.len()).find_map(|start| {
        let of_size = parts[start..].iter().take_while(|part| tier(part) == tier(&parts[start])).count();
        let events: u64 = parts[start..].iter().take(MERGED).map(|part| part.events).sum();
        (of_size >= MERGED && events <= limit_events as u64).then_some(start..start + MERGED)
    })
}

/// The first parts that lie side by side and fit into one; or one that holds erased users.
fn compactable(parts: &[PartInfo], limit_events: usize) -> Option<Range<usize>> {
    (0..parts.len()).find_map(|start| {
        let mut events = 0;
        let fits = parts[start..].iter().take_while(|part| {
            events += part.events;
            events <= limit_events as u64
        });
        let count = fits.count().max(1);
        (count > 1 || parts[start].erased_users > 0).then_some(start..start + count)
    })
}
