//! A disk that fails, is full or writes less than it was given: nothing is acknowledged that is not there, readers go on,
//! and writing resumes when the disk does.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

#[path = "simulated_disk/contents.rs"]
mod contents;
#[path = "simulated_disk/observer.rs"]
mod observer;
#[path = "simulated_disk/random.rs"]
mod random;
#[path = "simulated_disk/run.rs"]
mod run;

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use contents::{contents, observed};
use observer::Watched;
use propense_store::{Disk, DiskFile, LocalDisk, StoreOptions, WriteError};
use run::{Model, Operation, batch, folder, options, perform};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Io,
    Full,
    /// Half of what is to be written is, then the disk is full.
    Short,
}

/// A disk whose operations fail from the `first` on, so many of them.
#[derive(Clone)]
struct FaultyDisk {
    fault: Fault,
    first: usize,
    count: usize,
    operations: Arc<AtomicUsize>,
    synced_again: Arc<AtomicBool>,
}

struct FaultyFile {
    file: Box<dyn DiskFile>,
    disk: FaultyDisk,
    has_failed: bool,
}

impl FaultyDisk {
    fn new(fault: Fault, first: usize, count: usize) -> Self {
        Self { fault, first, count, operations: Arc::default(), synced_again: Arc::default() }
    }

    fn fails(&self) -> bool {
        let operation = self.operations.fetch_add(1, Ordering::SeqCst);
        operation >= self.first && operation - self.first < self.count
    }

    fn error(&self) -> io::Error {
        if self.fault == Fault::Io { io::Error::from_raw_os_error(5) } else { ErrorKind::StorageFull.into() }
    }

    fn operate(&self) -> io::Result<()> {
        if self.fails() { Err(self.error()) } else { Ok(()) }
    }

    fn wrap(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(FaultyFile { file, disk: self.clone(), has_failed: false })
    }
}

impl Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.disk.fails() {
            return self.file.write(bytes);
        }
        self.has_failed = true;
        if self.disk.fault == Fault::Short {
            self.file.write_all(&bytes[..bytes.len() / 2])?;
        }
        Err(self.disk.error())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl DiskFile for FaultyFile {
    fn sync(&mut self) -> io::Result<()> {
        if self.has_failed {
            self.disk.synced_again.store(true, Ordering::SeqCst);
        }
        self.has_failed = self.disk.fails();
        if self.has_failed { Err(self.disk.error()) } else { Ok(()) }
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.sync()
    }
}

impl Disk for FaultyDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.operate().and_then(|()| LocalDisk.create_folder(path))
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.operate()?;
        Ok(self.wrap(LocalDisk.create_file(path)?))
    }

    fn append_file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.operate()?;
        Ok(self.wrap(LocalDisk.append_file(path)?))
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        self.operate().and_then(|()| LocalDisk.truncate(path, bytes))
    }

    fn sync_folder(&self, _path: &Path) -> io::Result<()> {
        self.operate()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate().and_then(|()| LocalDisk.rename(from, to))
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.operate().and_then(|()| LocalDisk.exchange(one, other))
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.operate().and_then(|()| LocalDisk.remove_folder(path))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.operate().and_then(|()| LocalDisk.remove_file(path))
    }
}

fn operations() -> Vec<Operation> {
    vec![
        Operation::Ingest(vec![0, 1, 2]),
        Operation::Profile(run::user_of(1), "one".to_owned()),
        Operation::Ingest(vec![3, 1]),
        Operation::Ask(3),
        Operation::Seal,
        Operation::Ingest(vec![4, 5]),
        Operation::Profile(run::user_of(1), "two".to_owned()),
        Operation::Compact,
        Operation::Ingest(vec![6]),
        Operation::Erase(run::user_of(2)),
        Operation::Ingest(vec![7, 2]),
        Operation::Ask(4),
        Operation::Ingest(vec![8, 9]),
    ]
}

fn same(found: &Model, expected: &Model) -> bool {
    found.events == expected.events && found.profiles == expected.profiles && found.folded == expected.folded
}

/// Of a user who is hidden already the observer may not know yet: it does once that can be written.
fn without_owed(model: &Model) -> Model {
    let mut folded = model.folded.clone();
    for user in &model.erased {
        folded.counts.remove(user);
    }
    folded.position = 0;
    Model { folded, ..model.clone() }
}

/// A disk that fails seldom gets a file of notes for almost every note.
fn small_files(disk: impl Disk + Send + Sync + 'static) -> StoreOptions {
    StoreOptions { notes_bytes: 150, keep_notes: 2, ..options(disk) }
}

/// Does all operations on a disk with a fault; returns whether the fault came up.
fn survives(fault: Fault, first: usize, count: usize) -> bool {
    let root = folder();
    let folder = root.path().join("store");
    let disk = FaultyDisk::new(fault, first, count);
    let what = format!("{fault:?}, operations {first} and {} more", count - 1);
    // What readers see, and what may be there after a restart, when writes that failed may show.
    let (mut sure, mut possible) = (Model::default(), vec![Model::default()]);
    let opened = Watched::open(&folder, small_files(disk.clone()))
        .or_else(|_| Watched::open(&folder, small_files(disk.clone())));
    if let Ok(store) = opened {
        let (mut failures, mut is_owed) = (0, false);
        for operation in operations() {
            let mut taken = possible.clone();
            for model in &mut taken {
                model.take(&operation);
            }
            let mut after = sure.clone();
            after.take(&operation);
            match perform(&store, &operation, &sure) {
                Ok(()) => (sure, possible) = (after, taken),
                Err(error) => {
                    failures += 1;
                    let is_full = matches!(error, WriteError::NoSpace { .. });
                    assert_eq!(is_full, fault != Fault::Io, "{error}; {what}");
                    taken.retain(|model| !possible.contains(model));
                    possible.extend(taken);
                    // A user whose files could not be cleaned may be hidden already.
                    if matches!(operation, Operation::Erase(_)) && contents(&store).events != sure.events {
                        (sure, is_owed) = (after, true);
                    }
                }
            }
            let mut found = observed(&store);
            found.erased.clone_from(&sure.erased);
            let is_right = same(&found, &sure) || is_owed && same(&without_owed(&found), &without_owed(&sure));
            assert!(is_right, "readers see {found:?}, not {sure:?}; {what}");
        }
        assert!(failures <= count, "{failures} failures of {count}; {what}");
    } else {
        assert!(count > 1, "a second attempt to open fails; {what}");
    }
    assert!(!disk.synced_again.load(Ordering::SeqCst), "a file whose sync failed was synced again; {what}");
    let store = Watched::open(&folder, options(LocalDisk)).unwrap_or_else(|error| panic!("{error}; {what}"));
    let found = observed(&store);
    let found_one = possible.iter().any(|model| same(model, &found));
    assert!(found_one, "found {found:?}, expected {sure:?}, or with writes that failed; {what}");
    disk.operations.load(Ordering::SeqCst) > first
}

/// A program that is started has, for a moment, all files that are open here, locks included: no store may be opened then.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn every_operation_may_fail_once_or_for_ever() {
    let _alone = ONE_AT_A_TIME.lock();
    let mut faults = 0;
    for fault in [Fault::Io, Fault::Full, Fault::Short] {
        for count in [1, 2, usize::MAX / 2] {
            // One fault comes at every step, several at every third.
            let step = if count == 1 { 1 } else { 3 };
            let mut first = 0;
            while survives(fault, first, count) {
                first += step;
            }
            faults += first / step;
        }
    }
    println!("{faults} faults");
    assert!(faults > 500, "{faults}");
}

/// A file system that is taken away at the end.
struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}

#[test]
fn a_full_disk_takes_no_more_until_there_is_room() {
    let _alone = ONE_AT_A_TIME.lock();
    let root = tempfile::tempdir().unwrap();
    let mounted = |arguments: &[&str]| Command::new(arguments[0]).args(&arguments[1..]).arg(root.path()).output();
    let made = mounted(&["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs"]);
    if !made.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: a 16 MB tmpfs can only be mounted by root");
        return;
    }
    let _unmount = Unmount(root.path());
    let filler = root.path().join("filler");
    fs::write(&filler, vec![0; 10 << 20]).unwrap();
    let store = Watched::open(&root.path().join("store"), options(LocalDisk)).unwrap();
    let (mut acknowledged, mut next) = (Model::default(), 0);
    let mut ingest = |acknowledged: &mut Model| {
        let events: Vec<usize> = (next..next + 5_000).collect();
        next += 5_000;
        let done = store.ingest(batch(&events));
        if done.is_ok() {
            acknowledged.take(&Operation::Ingest(events));
        }
        done
    };
    let error = (0..1_000).find_map(|_| ingest(&mut acknowledged).err()).unwrap();
    assert!(matches!(error, WriteError::NoSpace { .. }), "{error}");
    for _ in 0..3 {
        assert!(matches!(ingest(&mut acknowledged), Err(WriteError::NoSpace { .. })));
        assert_eq!(store.snapshot().event_count(), acknowledged.events.len() as u64);
    }
    fs::remove_file(&filler).unwrap();
    ingest(&mut acknowledged).unwrap();
    assert!(same(&observed(&store), &acknowledged));
    drop(store);
    let store = Watched::open(&root.path().join("store"), options(LocalDisk)).unwrap();
    assert!(same(&observed(&store), &acknowledged));
}
