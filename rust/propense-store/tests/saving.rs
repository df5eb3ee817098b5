//! Saving is all or nothing, whatever is in the way.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use propense_store::{Disk, DiskFile, LocalDisk, StoreError, open, save, save_to};
use support::{assert_same, notes, saved, some_log, verified};

/// A disk that is full after so many bytes and fails after so many other operations.
#[derive(Clone)]
struct Failing {
    bytes: Arc<AtomicU64>,
    operations: Arc<AtomicU64>,
    can_exchange: bool,
}

struct FailingFile(Box<dyn DiskFile>, Failing);

impl Failing {
    fn new(bytes: u64, operations: u64, can_exchange: bool) -> Self {
        Self { bytes: Arc::new(bytes.into()), operations: Arc::new(operations.into()), can_exchange }
    }

    fn operate(&self) -> io::Result<()> {
        let left = self.operations.load(Ordering::Relaxed);
        self.operations.store(left.saturating_sub(1), Ordering::Relaxed);
        if left == 0 { Err(io::Error::other("simulated failure")) } else { Ok(()) }
    }
}

impl Write for FailingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.1.bytes.load(Ordering::Relaxed);
        if left == 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        let written = self.0.write(&bytes[..bytes.len().min(left as usize)])?;
        self.1.bytes.store(left - written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl DiskFile for FailingFile {
    fn sync(&mut self) -> io::Result<()> {
        self.1.operate()
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.1.operate()
    }
}

impl Disk for Failing {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.operate().and_then(|()| LocalDisk.create_folder(path))
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.operate()?;
        Ok(Box::new(FailingFile(LocalDisk.create_file(path)?, self.clone())))
    }

    fn append_file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.operate()?;
        Ok(Box::new(FailingFile(LocalDisk.append_file(path)?, self.clone())))
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
        if !self.can_exchange {
            return Err(ErrorKind::Unsupported.into());
        }
        self.operate().and_then(|()| LocalDisk.exchange(one, other))
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove_folder(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove_file(path)
    }
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

fn save_on(disk: &Failing, log: &propense_core::events::EventLog, path: &Path) -> Result<(), StoreError> {
    save_to(disk, log, path, &notes(), &mut |_| ControlFlow::Continue(()))
}

#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let (old, new) = (some_log(2), some_log(5));
    saved(&new, &path).unwrap();
    let whole: u64 = names(&path).iter().map(|name| fs::metadata(path.join(name)).unwrap().len()).sum();
    fs::remove_dir_all(&path).unwrap();
    for replaces in [false, true] {
        for bytes in (0..whole).step_by(whole as usize / 100) {
            let error = save_on(&Failing::new(bytes, u64::MAX, true), &new, &path).unwrap_err();
            assert!(matches!(&error, StoreError::Write { source, .. } if source.kind() == ErrorKind::StorageFull));
            let message = error.to_string();
            assert!(message.contains(path.to_str().unwrap()) && message.contains("cannot be written"), "{message}");
            if replaces {
                assert_same(&open(&path).unwrap().log, &old);
            }
            assert_eq!(names(folder.path()).len(), usize::from(replaces), "after {bytes} bytes");
        }
        save_on(&Failing::new(whole, u64::MAX, true), &new, &path).unwrap();
        assert_same(&open(&path).unwrap().log, &new);
        saved(&old, &path).unwrap();
    }
}

#[test]
fn a_failing_disk_leaves_the_old_log_or_the_new() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (some_log(2), some_log(5));
    for (can_exchange, replaces) in [(true, true), (false, true), (true, false)] {
        let path = folder.path().join(format!("log-{can_exchange}-{replaces}"));
        let mut operations = 0;
        loop {
            let _ = fs::remove_dir_all(&path);
            if replaces {
                saved(&old, &path).unwrap();
            }
            let outcome = save_on(&Failing::new(u64::MAX, operations, can_exchange), &new, &path);
            if outcome.is_ok() {
                assert_same(&open(&path).unwrap().log, &new);
                break;
            }
            match verified(&path) {
                // Only the last step, bringing the new name to the disk, can fail once the new log is in place.
                Ok(()) if open(&path).unwrap().log.len() == new.len() => {}
                Ok(()) => assert_same(&open(&path).unwrap().log, &old),
                // Without an exchange, a disk on which nothing works any more keeps the old log under its other name.
                Err(_) if replaces => {
                    let is_old = |name: &String| name.rsplit('.').next() == Some("old");
                    assert!(!can_exchange && names(folder.path()).iter().any(is_old));
                }
                Err(error) => assert!(matches!(error, StoreError::Missing { .. }), "{error}"),
            }
            operations += 1;
        }
        assert!(operations > 8);
    }
}

#[test]
fn what_is_no_log_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let log = some_log(2);
    let refused = |path: &Path, part: &str| {
        let before = names(folder.path());
        let error = saved(&log, path).unwrap_err();
        assert!(matches!(error, StoreError::Occupied { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(names(folder.path()), before);
    };
    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    refused(&file, "is a file");
    let stranger = folder.path().join("stranger");
    saved(&log, &stranger).unwrap();
    fs::write(stranger.join("thesis.txt"), "mine").unwrap();
    refused(&stranger, "\"thesis.txt\", which would be lost");
    let model = folder.path().join("model");
    fs::create_dir(&model).unwrap();
    fs::write(model.join("manifest.json"), "{\"format\": \"propense model\"}").unwrap();
    refused(&model, "no saved log");
    assert_eq!(fs::read(&file).unwrap(), b"mine");

    for free in ["empty", "deep/down/here"] {
        let path = folder.path().join(free);
        if free == "empty" {
            fs::create_dir(&path).unwrap();
        }
        saved(&log, &path).unwrap();
        verified(&path).unwrap();
    }
}

#[test]
fn work_that_is_stopped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut total = 0;
    let stop = &mut |bytes| {
        total += bytes;
        if total > 4_000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    assert!(matches!(save(&some_log(9), &path, &notes(), stop), Err(StoreError::Cancelled)));
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn a_log_can_be_opened_at_any_moment_while_it_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let logs = [some_log(2), some_log(5)];
    saved(&logs[0], &path).unwrap();
    let kept = open(&path).unwrap().log;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let log = open(&path).unwrap().log;
                    assert_same(&log, if log.len() == logs[0].len() { &logs[0] } else { &logs[1] });
                }
            });
        }
        for round in 1..=60 {
            saved(&logs[round % 2], &path).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    // What was mapped before is still there, though no name leads to it.
    assert_same(&kept, &logs[0]);
    assert_eq!(names(folder.path()), ["log"]);
}

#[test]
fn a_log_can_be_saved_onto_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    saved(&some_log(5), &path).unwrap();
    saved(&open(&path).unwrap().log, &path).unwrap();
    verified(&path).unwrap();
    assert_same(&open(&path).unwrap().log, &some_log(5));
}
