//! Stores that are not what was written: opening refuses and names the file, or what is there is right; what is whole can
//! be saved; and nobody who was erased comes back with an old copy.
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
use std::path::{Path, PathBuf};

use contents::{contents, holds, read_observed};
use observer::Watched;
use propense_store::{LocalDisk, Store, StoreError, StoreOptions, check, repair};
use random::Random;
use run::{Model, Operation, batch, folder, options, perform, user_of};
use tempfile::TempDir;

/// A store with two parts, some segments and an erased user, and what it holds.
fn some_store() -> (TempDir, PathBuf, Model) {
    let root = folder();
    let folder = root.path().join("store");
    let store = open(&folder).unwrap();
    let mut model = Model::default();
    let mut operations = vec![Operation::Erase(user_of(3))];
    for part in 0..2 {
        operations.push(Operation::Ingest((part * 30..part * 30 + 30).collect()));
        operations.push(Operation::Profile(user_of(part), "sealed".to_owned()));
        operations.extend((1..4).map(Operation::Ask));
        operations.push(Operation::Seal);
    }
    operations.extend((0..12).map(|number| Operation::Ingest((60 + number * 3..63 + number * 3).collect())));
    for operation in operations {
        perform(&store, &operation, &model).unwrap();
        model.take(&operation);
    }
    (root, folder, model)
}

/// Small files of notes, so that there are some.
fn open(folder: &Path) -> Result<Watched, StoreError> {
    Watched::open(folder, StoreOptions { notes_bytes: 200, ..options(LocalDisk) })
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, target) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() { copy(&path, &target) } else { fs::copy(&path, &target).map(drop).unwrap() }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

fn reopened(folder: &Path) -> Result<Model, StoreError> {
    open(folder).map(|store| read_observed(&store).unwrap())
}

#[test]
fn no_flipped_byte_and_no_cut_goes_unnoticed() {
    const SEED: u64 = 41;
    let (root, folder, model) = some_store();
    let mut random = Random::new(SEED);
    let (mut refused, mut torn, mut found_by_check) = (0, 0, 0);
    for (number, file) in files(&folder).into_iter().enumerate() {
        let inside = file.strip_prefix(&folder).unwrap().to_owned();
        let whole = fs::read(&file).unwrap();
        for round in 0..24 {
            let damaged = root.path().join(format!("damaged-{number}-{round}"));
            copy(&folder, &damaged);
            let mut bytes = whole.clone();
            if bytes.is_empty() {
                continue;
            }
            let place = random.below(bytes.len());
            if round % 3 == 0 {
                bytes.truncate(place);
            } else {
                bytes[place] ^= 1 << random.below(8);
            }
            fs::write(damaged.join(&inside), &bytes).unwrap();
            let what = format!("seed {SEED}, {inside:?}, round {round}, byte {place}");
            let same_json = inside.extension().is_some_and(|kind| kind == "json") && said(&bytes) == said(&whole);
            let report = check(&damaged).unwrap();
            // Bytes of a part that opening does not read may mean anything when they are read, but are found by a check.
            let opened = open(&damaged).map(|store| read_observed(&store));
            match opened {
                Err(error) => {
                    assert!(error.to_string().contains(damaged.to_str().unwrap()), "{error}; {what}");
                    assert!(!report.is_sound(), "{error}, but the check found nothing; {what}");
                    refused += 1;
                }
                Ok(Ok(found)) if report.is_sound() => {
                    let is_log = ["wal", "notes"].iter().any(|log| inside.starts_with(log));
                    let is_log = is_log || inside.ends_with("erased.log");
                    assert!(!inside.starts_with("notes") || found.folded == model.folded, "{found:?}, {what}");
                    assert!(is_log || same_json, "{what}");
                    let is_cut = round % 3 == 0;
                    let is_part = found.events.is_subset(&model.events)
                        && (is_cut || found.events.len() + 3 >= model.events.len());
                    assert!(is_part, "{what}");
                    torn += 1;
                }
                _ => {
                    assert!(inside.starts_with("parts") || inside.starts_with("notes"), "{what}");
                    found_by_check += 1;
                }
            }
            fs::remove_dir_all(&damaged).unwrap();
        }
    }
    println!("seed {SEED}: {refused} refused, {torn} torn ends, {found_by_check} found by a check only");
    assert!(refused > 100 && torn > 3 && found_by_check > 10);
}

fn said(json: &[u8]) -> Option<serde_json::Value> {
    serde_json::from_slice(json).ok()
}

#[test]
fn a_sound_store_is_sound_and_repairing_leaves_it() {
    let (_root, folder, model) = some_store();
    let report = check(&folder).unwrap();
    assert!(report.is_sound(), "{report}");
    assert_eq!((report.parts, report.wal_records, report.erased_users), (2, 12, 1));
    assert!(repair(&folder).unwrap().is_sound());
    assert_eq!(reopened(&folder).unwrap().events, model.events);
    let store = open(&folder).unwrap();
    assert!(matches!(check(&folder), Err(StoreError::Locked { .. })));
    drop(store);
    assert!(matches!(check(&folder.join("absent")), Err(StoreError::Missing { .. })));
    assert!(matches!(check(&folder.join("wal")), Err(StoreError::Missing { .. })));
}

#[test]
fn repairing_keeps_all_that_is_whole() {
    let (_root, folder, model) = some_store();
    let segment = files(&folder.join("wal")).pop().unwrap();
    let whole = fs::read(&segment).unwrap();
    let mut bytes = whole.clone();
    bytes[whole.len() / 2] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let Err(StoreError::Corrupt { path, offset, .. }) = reopened(&folder) else { panic!("opened") };
    assert!(path == segment && offset > 48 && (offset as usize) < whole.len() / 2, "{offset}");
    let events = files(&folder.join("parts")).remove(0);
    assert!(events.ends_with("000001/events.arrow"), "{events:?}");
    fs::write(&events, "").unwrap();
    let report = repair(&folder).unwrap();
    assert_eq!(report.problems.len(), 2, "{report}");
    assert!(check(&folder).unwrap().is_sound());
    // What was noted in the record that is lost is missing between other notes, which this observer does not take.
    let found = contents(&Store::open(&folder, options(LocalDisk)).unwrap());
    // The first part's thirty events are lost, and the three of one record.
    let kept: Vec<&usize> = model.events.iter().filter(|event| **event >= 30).collect();
    let lost: Vec<&usize> = kept.iter().copied().filter(|event| !found.events.contains(*event)).collect();
    assert!(lost.len() <= 3 && !lost.is_empty() && lost.iter().all(|event| **event >= 60), "{lost:?}");
    assert!(found.events.iter().all(|event| *event >= 30));
    assert!(folder.join("quarantine/000001.1/events.arrow").exists());
}

#[test]
fn repairing_keeps_the_notes_that_are_whole() {
    let (root, folder, model) = some_store();
    let all = files(&folder.join("notes"));
    assert!(all.len() >= 3, "{all:?}");
    for (number, damaged_file) in all.iter().enumerate() {
        let damaged = root.path().join(format!("damaged-{number}"));
        copy(&folder, &damaged);
        let path = damaged.join("notes").join(damaged_file.file_name().unwrap());
        let mut bytes = fs::read(&path).unwrap();
        let place = bytes.len() - 9;
        bytes[place] ^= 1;
        fs::write(&path, bytes).unwrap();
        let found = check(&damaged).unwrap();
        // The last note may not have been known to be there, and is taken from the write-ahead log.
        if !found.is_sound() {
            assert!(found.to_string().contains("notes"), "{found}");
            assert_eq!(repair(&damaged).unwrap(), found);
        }
        assert!(check(&damaged).unwrap().is_sound());
        let repaired = reopened(&damaged).unwrap();
        assert_eq!(repaired.events, model.events);
        assert!(repaired.folded.position >= model.folded.position && repaired.folded.tick == model.folded.tick);
        assert_eq!(repaired.folded.counts, model.folded.counts);
    }
    fs::remove_file(&all[1]).unwrap();
    assert!(!check(&folder).unwrap().is_sound());
    repair(&folder).unwrap();
    assert_eq!(reopened(&folder).unwrap().folded.counts, model.folded.counts);
}

#[test]
fn an_older_copy_does_not_bring_erased_users_back() {
    let (root, folder, mut model) = some_store();
    let old = root.path().join("old");
    copy(&folder, &old);
    // One who is in a part, one who is in the log only, one who has a profile.
    let users = [user_of(31), user_of(70), user_of(1)];
    let store = open(&folder).unwrap();
    for user in &users {
        assert!(store.snapshot().has_user(user));
        store.erase(user).unwrap();
        assert!(!store.snapshot().has_user(user));
        assert!(!holds(&folder, user), "{user}");
        model.take(&Operation::Erase(user.clone()));
    }
    // A late event does not revive them, and leaves nothing either.
    assert_eq!(store.ingest(batch(&[31])).unwrap().erased, 1);
    drop(store);
    assert!(users.iter().all(|user| !holds(&folder, user)));
    assert!(users.iter().all(|user| holds(&old, user)));
    fs::copy(folder.join("erased.log"), old.join("erased.log")).unwrap();
    let found = reopened(&old).unwrap();
    assert_eq!((&found.events, &found.profiles), (&model.events, &model.profiles));
    assert!(users.iter().all(|user| !holds(&old, user)));
}

#[test]
fn what_is_no_store_is_left_alone() {
    let root = folder();
    let message = |path: &Path| Store::open(path, options(LocalDisk)).unwrap_err().to_string();
    let file = root.path().join("file");
    fs::write(&file, "mine").unwrap();
    assert!(message(&file).contains("is a file"));
    let stranger = root.path().join("stranger");
    fs::create_dir(&stranger).unwrap();
    fs::write(stranger.join("thesis.txt"), "mine").unwrap();
    assert!(message(&stranger).contains("\"thesis.txt\", and no store.json"));
    let before = files(&stranger);
    assert!(check(&stranger).unwrap_err().to_string().contains("the manifest of a store"));
    assert!(repair(&stranger).unwrap_err().to_string().contains("the manifest of a store"));
    assert_eq!(files(&stranger), before);
    let (_root, folder, _) = some_store();
    fs::remove_file(folder.join("store.json")).unwrap();
    let before = files(&folder);
    assert!(message(&folder).contains("store.json is damaged: it is not there, though"));
    assert_eq!(files(&folder), before);
    assert_eq!(Store::open(root.path().join("deep/new"), options(LocalDisk)).unwrap().stats().parts, 0);
}
