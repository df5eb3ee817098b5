//! Opening a store: lock, manifest, parts, then the write-ahead log over them; or making a new one.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use crate::commit::{Item, decode};
use crate::committer::Committer;
use crate::disk::Disk;
use crate::erasure::{ERASED, ErasedLog};
use crate::error::StoreError;
use crate::lock::hold;
use crate::maintenance::{Job, Maintenance};
use crate::memory::Memory;
use crate::notes::Entry;
use crate::notes::file::Placed;
use crate::notes::journal::{Last, Notes};
use crate::notes::recovery::recover;
use crate::observer::Observer;
use crate::queue::Queue;
use crate::request::WriteError;
use crate::store::{Shared, StoreOptions};
use crate::store_manifest::{STORE_MANIFEST, StoreManifest, part_path, parts_folder, wal_folder};
use crate::wal::record::RecordBuffer;
use crate::wal::replay::{Replayed, replay};
use crate::wal::segment::{HEADER, segment_path, segments_in};
use crate::wal::writer::WalWriter;

const LOCK: &str = "LOCK";

/// An open store whose threads do not run yet.
pub(crate) struct Opened {
    pub(crate) shared: Arc<Shared>,
    pub(crate) committer: Committer,
    pub(crate) maintenance: Maintenance,
    pub(crate) lock: File,
}

/// Opens a store or makes one.
pub(crate) fn open(
    folder: &Path,
    options: StoreOptions,
    mut observer: Option<Box<dyn Observer>>,
    jobs: Sender<Job>,
) -> Result<Opened, StoreError> {
    let disk = Arc::clone(&options.disk);
    let folder = make_folder(&*disk, folder)?;
    let lock = lock(&folder)?;
    let existing = StoreManifest::read(&folder)?;
    let contents = if let Some(manifest) = existing {
        Contents::read(&disk, &folder, manifest, &options, observer.as_mut())?
    } else {
        Contents::create(&disk, &folder, &options)?
    };
    let Contents { manifest, wal, memory, notes, erased, found_erased } = contents;
    let queue = Queue::new(options.queue_events);
    let (frozen, seal_failure, closing) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
    let observer = observer.map(|observer| Arc::new(Mutex::new(observer)));
    let mut found_erased = found_erased;
    found_erased.extend(memory.dropped_users());
    let erasing = if notes.is_empty() && observer.is_none() { BTreeSet::new() } else { found_erased.clone() };
    let erasing = Mutex::new(erasing);
    let shared = Arc::new(Shared {
        folder,
        disk,
        options,
        memory,
        queue,
        frozen,
        seal_failure,
        observer,
        notes,
        erasing,
        jobs,
        closing,
    });
    let committer = Committer { shared: Arc::clone(&shared), wal, erased, owed: Vec::new(), noted_bytes: 0 };
    let maintenance = Maintenance::new(Arc::clone(&shared), manifest);
    let mut opened = Opened { shared, committer, maintenance, lock };
    opened.begin(&found_erased)?;
    Ok(opened)
}

impl Opened {
    /// Finishes erasures that were not, and tells the observer that all is there.
    fn begin(&mut self, erased: &BTreeSet<String>) -> Result<(), StoreError> {
        let Self { shared, committer, maintenance, .. } = self;
        if let Some(observer) = shared.observer.clone() {
            for user in erased {
                let written = committer.note_erasure(user);
                hold(&observer).settled(written.as_ref().ok().copied());
                written.map_err(unwritten)?;
            }
            let snapshot = shared.memory.snapshot();
            let is_behind = !maintenance.manifest.is_observed && snapshot.user_count() > 0;
            let note = hold(&observer).opened(&snapshot, is_behind);
            let written = committer.write(RecordBuffer::new(), note);
            hold(&observer).settled(written.as_ref().ok().copied());
            written.map_err(unwritten)?;
        }
        if !erased.is_empty() && (shared.observer.is_some() || shared.notes.is_empty()) {
            committer.freeze()?;
            maintenance.purge(erased)?;
        }
        // From here on it sees everything, or else what it has seen is not everything.
        if maintenance.manifest.is_observed != shared.observer.is_some() {
            maintenance.manifest.is_observed = shared.observer.is_some();
            maintenance.manifest.write(&*shared.disk, &shared.folder)?;
        }
        Ok(())
    }
}

/// Why a record that opening writes was not written.
fn unwritten(error: WriteError) -> StoreError {
    match error {
        WriteError::NoSpace { source } | WriteError::Failed { source } => {
            Arc::try_unwrap(source).unwrap_or(StoreError::Cancelled)
        }
        _ => StoreError::Cancelled,
    }
}

fn make_folder(disk: &dyn Disk, folder: &Path) -> Result<PathBuf, StoreError> {
    let failed = |source| StoreError::Write { path: folder.to_owned(), source };
    let folder = std::path::absolute(folder).map_err(failed)?;
    match fs::metadata(&folder) {
        Ok(found) if found.is_dir() => return Ok(folder),
        Ok(_) => return Err(StoreError::Occupied { folder, found: "is a file".to_owned() }),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        Err(_) => {}
    }
    let parent = folder.parent().unwrap_or(&folder);
    fs::create_dir_all(parent).map_err(failed)?;
    disk.create_folder(&folder).and_then(|()| disk.sync_folder(parent)).map_err(failed)?;
    Ok(folder)
}

/// Locks the store for this process, until the file is closed.
pub(crate) fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(LOCK);
    let failed = |source| StoreError::Write { path: path.clone(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { folder: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// What the files of a store hold.
struct Contents {
    manifest: StoreManifest,
    wal: WalWriter,
    memory: Memory,
    notes: Notes,
    erased: ErasedLog,
    /// Erased users of whom the write-ahead log holds rows.
    found_erased: BTreeSet<String>,
}

impl Contents {
    /// Reads the files of a store; what is left of a crash is removed.
    fn read(
        disk: &Arc<dyn Disk + Send + Sync>,
        folder: &Path,
        manifest: StoreManifest,
        options: &StoreOptions,
        mut observer: Option<&mut Box<dyn Observer>>,
    ) -> Result<Self, StoreError> {
        // A process that was killed may have left names that are seen but not yet on the disk; what is removed or
        // acknowledged from here on relies on them.
        for path in [folder.to_owned(), parts_folder(folder), wal_folder(folder)] {
            disk.sync_folder(&path).map_err(|source| StoreError::Write { path, source })?;
        }
        let erased = ErasedLog::open(Arc::clone(disk), folder)?;
        let memory = Memory::new(erased.users().clone(), options.seal_events);
        for &part in &manifest.parts {
            memory.add_part(&part.to_string(), &part_path(folder, part))?;
        }
        let notes = match &mut observer {
            Some(observer) => {
                let each = &mut |note: Placed<'_>| observer.replay(note.sequence, note.position, note.payload);
                recover(disk, folder, manifest.notes, options, Some(each))?
            }
            None => recover(disk, folder, manifest.notes, options, None)?,
        };
        let mut found_erased = BTreeSet::new();
        let replayed = replay(&wal_folder(folder), manifest.first_segment, &mut |sequence, payload| {
            decode(payload, &mut |item| match item {
                Item::Batch(batch) => {
                    let applied = batch.apply(&memory).map_err(|error| error.to_string())?;
                    if applied.erased > 0 {
                        let users = batch.users().iter().filter(|user| erased.users().contains(user));
                        found_erased.extend(users.map(ToOwned::to_owned));
                    }
                    Ok(())
                }
                Item::Note { number, position, payload } => {
                    let is_new = notes.refill(Entry { number, sequence, position, payload: payload.to_vec() })?;
                    match &mut observer {
                        Some(observer) if is_new => observer.replay(sequence, position, payload),
                        _ => Ok(()),
                    }
                }
            })
        })?;
        check_last(folder, notes.last(), &replayed)?;
        remove_leftovers(&**disk, folder, &manifest, &replayed)?;
        let Replayed { last, valid_bytes, torn_bytes, next_sequence, .. } = replayed;
        let wal = wal_folder(folder);
        let wal = WalWriter::resume(Arc::clone(disk), wal, last, valid_bytes, torn_bytes, next_sequence)?;
        Ok(Self { manifest, wal, memory, notes, erased, found_erased })
    }

    /// Makes the files of a new store; its manifest comes last, so that there is a store or none.
    fn create(disk: &Arc<dyn Disk + Send + Sync>, folder: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        check_unused(folder)?;
        let (parts, wal) = (parts_folder(folder), wal_folder(folder));
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Write { path, source }
        };
        if wal.exists() {
            // Left by a process that was stopped here.
            disk.remove_folder(&wal).map_err(failed(&wal))?;
        }
        if !parts.exists() {
            disk.create_folder(&parts).map_err(failed(&parts))?;
        }
        disk.create_folder(&wal).map_err(failed(&wal))?;
        let wal = WalWriter::create(Arc::clone(disk), wal, 1, 1)?;
        let has_erased = folder.join(ERASED).exists();
        let erased = if has_erased { ErasedLog::open } else { ErasedLog::create }(Arc::clone(disk), folder)?;
        let mut manifest = StoreManifest::new(1);
        manifest.write(&**disk, folder)?;
        let memory = Memory::new(erased.users().clone(), options.seal_events);
        let notes = recover(disk, folder, 0, options, None)?;
        Ok(Self { manifest, wal, memory, notes, erased, found_erased: BTreeSet::new() })
    }
}

/// A note in the files is one of a commit, which must be there as well.
pub(crate) fn check_last(folder: &Path, last: Last, replayed: &Replayed) -> Result<(), StoreError> {
    let Last { number, sequence, .. } = last;
    if sequence < replayed.next_sequence {
        return Ok(());
    }
    let problem = format!("note {number} follows from record {sequence}, which is not there");
    Err(StoreError::corrupt(segment_path(&wal_folder(folder), replayed.last.number), replayed.valid_bytes, problem))
}

/// Whether a folder without a manifest holds no more than what making a store begins with, or a list of erased users.
fn check_unused(folder: &Path) -> Result<(), StoreError> {
    let unreadable = |source| StoreError::Read { path: folder.to_owned(), source };
    let occupied = |found: String| Err(StoreError::Occupied { folder: folder.to_owned(), found });
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned();
        let is_own = match name.as_str() {
            LOCK | ERASED | "erased.log.new" | "store.json.new" => true,
            "notes" => false,
            "parts" => fs::read_dir(parts_folder(folder)).map_err(unreadable)?.next().is_none(),
            "wal" => {
                let (segments, _) = segments_in(&wal_folder(folder))?;
                let paths = segments.iter().map(|&segment| segment_path(&wal_folder(folder), segment));
                paths.map(fs::metadata).all(|found| found.is_ok_and(|found| found.len() <= HEADER as u64))
            }
            _ => return occupied(format!("holds {name:?}, and no {STORE_MANIFEST} that says it is a store")),
        };
        if !is_own {
            let problem = format!("it is not there, though {name} holds data of a store");
            return Err(StoreError::damaged(folder.join(STORE_MANIFEST), problem));
        }
    }
    Ok(())
}

/// Removes parts and segments that the manifest does not name, and files that never got their name.
fn remove_leftovers(
    disk: &dyn Disk,
    folder: &Path,
    manifest: &StoreManifest,
    replayed: &Replayed,
) -> Result<(), StoreError> {
    let parts = parts_folder(folder);
    let unreadable = |source| StoreError::Read { path: parts.clone(), source };
    for entry in fs::read_dir(&parts).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_named = name.parse().is_ok_and(|part| manifest.parts.contains(&part) && part_path(folder, part) == path);
        let is_own =
            name.bytes().all(|byte| byte.is_ascii_digit()) || name.ends_with(".saving") || name.ends_with(".old");
        if is_own && !is_named {
            disk.remove_folder(&path).map_err(|source| StoreError::Write { path, source })?;
        }
    }
    for path in &replayed.leftovers {
        let is_own = path.extension() == Some(OsStr::new("wal")) || path.extension() == Some(OsStr::new("new"));
        if is_own {
            disk.remove_file(path).map_err(|source| StoreError::Write { path: path.clone(), source })?;
        }
    }
    for path in [parts, wal_folder(folder)] {
        disk.sync_folder(&path).map_err(|source| StoreError::Write { path, source })?;
    }
    Ok(())
}
