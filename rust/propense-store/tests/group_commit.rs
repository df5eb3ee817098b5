//! Many writers at once: their requests share commits, the queue is bounded, and a kill between any two steps of the disk
//! loses nothing that was acknowledged.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

#[path = "simulated_disk/contents.rs"]
mod contents;
#[path = "simulated_disk/observer.rs"]
mod observer;
#[path = "simulated_disk/random.rs"]
mod random;
#[path = "simulated_disk/run.rs"]
mod run;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use contents::contents;
use propense_store::{Disk, DiskFile, LocalDisk, Store, StoreError, StoreOptions, Write, WriteError};
use random::Random;
use run::{Model, Operation, batch, folder, options};

/// A disk that counts syncs of data, can hold them up, and is dead after some operations.
#[derive(Clone)]
struct WatchedDisk {
    syncs: Arc<AtomicUsize>,
    operations_left: Arc<AtomicUsize>,
    gate: Arc<(Mutex<bool>, Condvar)>,
    sync_takes: Duration,
    /// Syncs that the gate held up.
    held: Arc<AtomicUsize>,
}

/// Lets everything pass again, also if the test fails.
struct OpenAtEnd(WatchedDisk);

impl Drop for OpenAtEnd {
    fn drop(&mut self) {
        self.0.open_gate(true);
    }
}

struct WatchedFile(Box<dyn DiskFile>, WatchedDisk);

impl WatchedDisk {
    fn new(operations: usize, sync_takes: Duration) -> Self {
        let gate = Arc::new((Mutex::new(true), Condvar::new()));
        Self {
            syncs: Arc::default(),
            operations_left: Arc::new(operations.into()),
            gate,
            sync_takes,
            held: Arc::default(),
        }
    }

    fn operate(&self) -> io::Result<()> {
        let left = self.operations_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| io::Error::other("the process was killed"))
    }

    fn open_gate(&self, open: bool) {
        *self.gate.0.lock().unwrap() = open;
        self.gate.1.notify_all();
    }
}

impl io::Write for WatchedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.1.operate() {
            // A kill in the midst of a write, once.
            let _ = self.0.write(&bytes[..bytes.len() / 2]);
            return Err(error);
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl DiskFile for WatchedFile {
    fn sync(&mut self) -> io::Result<()> {
        self.1.operate()
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut open = self.1.gate.0.lock().unwrap();
        while !*open {
            self.1.held.fetch_add(1, Ordering::SeqCst);
            open = self.1.gate.1.wait(open).unwrap();
        }
        drop(open);
        thread::sleep(self.1.sync_takes);
        self.1.syncs.fetch_add(1, Ordering::SeqCst);
        self.1.operate()
    }
}

impl Disk for WatchedDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.operate().and_then(|()| LocalDisk.create_folder(path))
    }
    fn create_file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.operate()?;
        Ok(Box::new(WatchedFile(LocalDisk.create_file(path)?, self.clone())))
    }
    fn append_file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.operate()?;
        Ok(Box::new(WatchedFile(LocalDisk.append_file(path)?, self.clone())))
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

fn in_background(disk: WatchedDisk) -> StoreOptions {
    StoreOptions { background: true, ..options(disk) }
}

/// Writers send batches of `size` events each; gives the batches that were acknowledged and those that were not.
fn write_all(store: &Store, writers: usize, batches: usize, size: usize) -> (Vec<Vec<usize>>, Vec<Vec<usize>>) {
    let answers = Mutex::new((Vec::new(), Vec::new()));
    thread::scope(|scope| {
        for writer in 0..writers {
            let answers = &answers;
            scope.spawn(move || {
                for number in 0..batches {
                    let first = (writer * batches + number) * size;
                    let events: Vec<usize> = (first..first + size).collect();
                    let answer = loop {
                        match store.ingest(batch(&events)) {
                            Err(WriteError::Busy) => thread::sleep(Duration::from_millis(1)),
                            answer => break answer,
                        }
                    };
                    let mut answers = answers.lock().unwrap();
                    if answer.is_ok() { answers.0.push(events) } else { answers.1.push(events) }
                }
            });
        }
    });
    answers.into_inner().unwrap()
}

#[test]
fn requests_that_come_together_share_a_commit() {
    // Where writers wake up slowly, it takes a slow disk for them to come together.
    let attempt = |sync_ms| {
        let root = folder();
        let disk = WatchedDisk::new(usize::MAX, Duration::from_millis(sync_ms));
        let store = Store::open(root.path().join("store"), in_background(disk.clone())).unwrap();
        let (acknowledged, failed) = write_all(&store, 16, 12, 3);
        assert_eq!((acknowledged.len(), failed.len()), (192, 0));
        let syncs = disk.syncs.load(Ordering::SeqCst);
        println!("192 requests in {syncs} commits of {sync_ms} ms");
        (store, root, acknowledged, syncs)
    };
    let shared = [2, 20, 200].into_iter().map(attempt).find(|(.., syncs)| syncs * 4 < 192);
    let (store, root, acknowledged, _) = shared.unwrap();
    let mut expected = Model::default();
    for events in acknowledged {
        expected.take(&Operation::Ingest(events));
    }
    assert_eq!(contents(&store).events, expected.events);
    drop(store);
    let store = Store::open(root.path().join("store"), options(LocalDisk)).unwrap();
    assert_eq!(contents(&store).events, expected.events);
}

#[test]
fn a_kill_between_any_two_steps_keeps_what_was_acknowledged() {
    const SEED: u64 = 7;
    let mut random = Random::new(SEED);
    let kills = 60;
    for kill in 0..kills {
        let root = folder();
        let folder = root.path().join("store");
        let disk = WatchedDisk::new(usize::MAX, Duration::ZERO);
        let store = Store::open(&folder, in_background(disk.clone())).unwrap();
        disk.operations_left.store(random.below(150), Ordering::SeqCst);
        let (acknowledged, failed) = write_all(&store, 8, 10, 4);
        drop(store);
        let store = Store::open(&folder, options(LocalDisk)).unwrap();
        let found = contents(&store);
        for events in &acknowledged {
            assert!(events.iter().all(|event| found.events.contains(event)), "seed {SEED}, kill {kill}: {events:?}");
        }
        let half = |events: &&Vec<usize>| {
            let there = events.iter().filter(|event| found.events.contains(event)).count();
            there != 0 && there != events.len()
        };
        assert_eq!(failed.iter().find(half), None, "seed {SEED}, kill {kill}");
        // The clients send everything again.
        let (again, refused) = write_all(&store, 8, 10, 4);
        assert_eq!((again.len(), refused.len(), contents(&store).events.len()), (80, 0, 320));
    }
    println!("seed {SEED}: {kills} kills");
}

#[test]
fn the_queue_is_bounded_and_never_blocks() {
    let root = folder();
    let disk = WatchedDisk::new(usize::MAX, Duration::ZERO);
    let store = Store::open(root.path().join("store"), options(disk.clone())).unwrap();
    disk.open_gate(false);
    let _open = OpenAtEnd(disk.clone());
    let (told, answers) = mpsc::channel();
    let submit = |request: usize| {
        let told = told.clone();
        let events: Vec<usize> = (request * 5..request * 5 + 5).collect();
        store.submit(Write::Events(batch(&events)), Box::new(move |answer| told.send(answer).unwrap()))
    };
    submit(0).unwrap();
    while disk.held.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
    let (mut taken, mut busy) = (1, 0);
    for request in 1..400 {
        match submit(request) {
            Ok(()) => taken += 1,
            Err(WriteError::Busy) => busy += 1,
            Err(error) => panic!("{error}"),
        }
    }
    // A thousand rows wait, five a request; the first one is on its way.
    assert_eq!((taken, busy, store.stats().queued_rows), (201, 199, 1_000));
    assert!(answers.try_recv().is_err(), "something was acknowledged before it was synced");
    disk.open_gate(true);
    for _ in 0..taken {
        assert_eq!(answers.recv().unwrap().unwrap().accepted, 5);
    }
    assert!(store.ingest(batch(&[9_999])).is_ok());
}

#[test]
fn closing_finishes_what_waits_and_takes_no_more() {
    let root = folder();
    let folder = root.path().join("store");
    let disk = WatchedDisk::new(usize::MAX, Duration::from_millis(1));
    let store = Store::open(&folder, options(disk)).unwrap();
    let locked = Store::open(&folder, options(LocalDisk)).unwrap_err();
    assert!(matches!(&locked, StoreError::Locked { .. }), "{locked}");
    let (told, answers) = mpsc::channel();
    for event in 0..50 {
        let told = told.clone();
        store.submit(Write::Events(batch(&[event])), Box::new(move |answer| told.send(answer).unwrap())).unwrap();
    }
    store.close();
    drop(told);
    assert_eq!(answers.into_iter().flatten().count(), 50);
    assert_eq!(contents(&Store::open(&folder, options(LocalDisk)).unwrap()).events.len(), 50);
}
