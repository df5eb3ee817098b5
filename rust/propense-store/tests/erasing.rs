//! An erased user is gone: from every answer, from every byte of every file, for ever, also out of an older copy.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

#[path = "simulated_disk/observer.rs"]
mod observer;

use std::fs;
use std::path::{Path, PathBuf};

use observer::Watched;
use propense_store::{EventBatch, ProfileBatch, Store, StoreOptions, WriteError};
use tempfile::TempDir;

const USER: &str = "canary-user-8f31c2";
const TEXTS: [&str; 3] = ["canary-text-77aa0e", "canary-attribute-51bd", USER];

fn options() -> StoreOptions {
    StoreOptions { background: false, notes_bytes: 2_000, ..StoreOptions::default() }
}

/// Events of some users and of the one to be erased, with texts that only that one has.
fn events(first_us: i64) -> EventBatch {
    let mut batch = EventBatch::new();
    for number in 0..200 {
        let user = if number % 10 == 3 { USER.to_owned() } else { format!("user {}", number % 17) };
        let row = batch.push_event(&user, first_us + number, "view", None).unwrap();
        batch.set_text(row, "email", if user == USER { TEXTS[0] } else { "someone else's" }).unwrap();
    }
    batch
}

fn profiles() -> ProfileBatch {
    let mut batch = ProfileBatch::new();
    for user in [USER, "user 1"] {
        let row = batch.push_user(user).unwrap();
        batch.columns.set_text(row, "street", if user == USER { TEXTS[1] } else { "elsewhere" }).unwrap();
    }
    batch
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The files that hold any of the texts.
fn traces(folder: &Path) -> Vec<PathBuf> {
    let holds = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        TEXTS.iter().any(|text| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    };
    files(folder).into_iter().filter(holds).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(path, target).unwrap();
    }
}

/// A store whose user to be erased is in two parts, in the log and in profiles.
fn filled(folder: &Path) -> Watched {
    let store = Watched::open(folder, options()).unwrap();
    for first_us in [0, 1_000] {
        store.ingest(events(first_us)).unwrap();
        store.seal().unwrap();
    }
    store.ingest(events(2_000)).unwrap();
    store.put_profiles(profiles()).unwrap();
    store
}

#[test]
fn nothing_of_an_erased_user_is_left_and_nothing_revives_them() {
    let root = TempDir::new().unwrap();
    let (folder, older) = (root.path().join("store"), root.path().join("older"));
    let store = filled(&folder);
    assert!(traces(&folder).len() >= 3, "the user is in the parts and in the log");
    let others = store.snapshot().user_count() - 1;
    drop(store);
    copy(&folder, &older);

    let store = Watched::open(&folder, options()).unwrap();
    assert!(traces(&folder).iter().any(|path| path.extension().unwrap() == "notes"), "the user is in the notes");
    let receipt = store.erase(USER).unwrap();
    assert_eq!(receipt.erased, 1);
    assert_eq!(traces(&folder), Vec::<PathBuf>::new());
    assert!(!store.snapshot().has_user(USER));
    assert_eq!(store.snapshot().user_count(), others);

    let late = store.ingest(events(3_000)).unwrap();
    assert_eq!((late.accepted, late.erased), (180, 20));
    assert_eq!(store.put_profiles(profiles()).unwrap().erased, 1);
    assert!(!store.snapshot().has_user(USER), "late events do not revive them");
    assert_eq!(traces(&folder), Vec::<PathBuf>::new());
    drop(store);
    let store = Watched::open(&folder, options()).unwrap();
    assert!(!store.snapshot().has_user(USER), "nor does opening the store again");
    drop(store);

    // An older copy comes back; the list of the erased is the newer one.
    assert!(!traces(&older).is_empty());
    fs::copy(folder.join("erased.log"), older.join("erased.log")).unwrap();
    let store = Watched::open(&older, options()).unwrap();
    assert!(!store.folded().counts.contains_key(USER));
    assert!(!store.snapshot().has_user(USER));
    assert_eq!(store.snapshot().user_count(), others);
    drop(store);
    assert_eq!(traces(&older), Vec::<PathBuf>::new());
}

#[test]
fn what_is_exported_before_is_all_there_was() {
    let root = TempDir::new().unwrap();
    let store = filled(&root.path().join("store"));
    let snapshot = store.snapshot();
    let (log, shape) = (snapshot.gather(&[USER]).unwrap().log, snapshot.shape().unwrap());
    let times: Vec<i64> = [0, 1_000, 2_000].iter().flat_map(|first| (0..20).map(move |n| first + 10 * n + 3)).collect();
    assert_eq!(log.time_us(), times);
    let email = &shape.columns()[0];
    assert_eq!(email.name, "email");
    assert!((0..60).all(|row| email.dictionary[log.columns()[0].cells.code(row).unwrap() as usize] == TEXTS[0]));
    let street = log.attributes()[0].cells.code(log.profile_row(0).unwrap()).unwrap();
    assert_eq!(shape.attributes()[0].dictionary[street as usize], TEXTS[1]);
}

#[test]
fn without_its_observer_a_store_with_notes_erases_nobody() {
    let root = TempDir::new().unwrap();
    let folder = root.path().join("store");
    drop(filled(&folder));
    let store = Store::open(&folder, options()).unwrap();
    assert!(matches!(store.erase(USER), Err(WriteError::Refused(_))));
    assert!(store.snapshot().has_user(USER));
    let mut batch = EventBatch::new();
    batch.push_event("someone new", 5, "view", None).unwrap();
    store.ingest(batch).unwrap();
    drop(store);
    // What was written without the observer it is told of when it is back, and only then.
    let store = Watched::open(&folder, options()).unwrap();
    let known = store.folded();
    assert_eq!(known.counts["someone new"], 1);
    drop(store);
    let store = Watched::open(&folder, options()).unwrap();
    assert_eq!(store.folded(), known);
    store.erase(USER).unwrap();
    assert_eq!(traces(&folder), Vec::<PathBuf>::new());
}
