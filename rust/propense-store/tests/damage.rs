//! A folder that is not what was saved is refused, by `open` or by `verify`, and never crashes either.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use propense_core::events::EventLog;
use propense_store::{StoreError, open};
use support::{saved, some_log, verified};
use tempfile::TempDir;

const FILES: [&str; 4] = ["events.arrow", "users.arrow", "profiles.arrow", "manifest.json"];

fn small() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    saved(&some_log(2), &path).unwrap();
    (folder, path)
}

/// Everything that a careless reader would fall over.
fn read_all(log: &EventLog) {
    for user in 0..log.users().len() {
        for row in log.rows(user) {
            std::hint::black_box((log.time_us()[row], log.event().code(row)));
            log.columns().iter().for_each(|column| drop((column.number(row), column.text(row).map(str::to_owned))));
        }
        for column in log.attributes() {
            std::hint::black_box(log.profile_row(user).map(|row| column.number(row)));
        }
    }
}

/// The folder is refused, naming a file in it; a log that opens nevertheless can be read.
fn refused(path: &Path, what: &str) {
    if let Ok(opened) = open(path) {
        read_all(&opened.log);
    }
    let error = verified(path).map_or_else(|error| error.to_string(), |()| panic!("{what} went unnoticed"));
    assert!(error.contains(path.to_str().unwrap()), "{what}: {error}");
}

#[test]
fn every_truncation_is_refused_at_once() {
    let (_folder, path) = small();
    for name in FILES {
        let whole = fs::read(path.join(name)).unwrap();
        let step = (whole.len() / 600).max(1);
        for length in (0..whole.len()).step_by(step).chain([whole.len() - 1]) {
            fs::write(path.join(name), &whole[..length]).unwrap();
            assert!(open(&path).is_err(), "{name} cut to {length} bytes");
        }
        fs::write(path.join(name), &whole).unwrap();
    }
    verified(&path).unwrap();
}

#[test]
fn every_flipped_bit_is_found() {
    let (_folder, path) = small();
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    for name in FILES {
        let whole = fs::read(path.join(name)).unwrap();
        for _ in 0..600 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let (place, bit) = (random as usize % whole.len(), (random >> 40) % 8);
            let mut bytes = whole.clone();
            bytes[place] ^= 1 << bit;
            fs::write(path.join(name), &bytes).unwrap();
            if name == "manifest.json" && said(&bytes) == said(&whole) {
                continue; // White space into other white space.
            }
            refused(&path, &format!("{name}: bit {bit} of byte {place}"));
        }
        fs::write(path.join(name), &whole).unwrap();
    }
    verified(&path).unwrap();
}

fn said(json: &[u8]) -> Option<serde_json::Value> {
    serde_json::from_slice(json).ok()
}

#[test]
fn whole_files_of_another_kind_are_refused() {
    let (_folder, path) = small();
    for name in FILES {
        let whole = fs::read(path.join(name)).unwrap();
        let parquet = [b"PAR1".as_slice(), &vec![0; whole.len().saturating_sub(8)], b"PAR1"].concat();
        for other in [parquet, Vec::new(), vec![0; whole.len()], b"{}".to_vec(), vec![0xff; 70_000]] {
            fs::write(path.join(name), other).unwrap();
            assert!(open(&path).is_err(), "{name}");
            refused(&path, name);
        }
        fs::write(path.join(name), whole).unwrap();
    }
}

#[test]
fn swapped_files_and_files_of_another_log_are_refused() {
    let (folder, path) = small();
    let other = folder.path().join("other");
    saved(&some_log(3), &other).unwrap();
    for name in FILES {
        let own = fs::read(path.join(name)).unwrap();
        fs::copy(other.join(name), path.join(name)).unwrap();
        if own != fs::read(other.join(name)).unwrap() {
            refused(&path, name);
        }
        fs::copy(path.join("users.arrow"), path.join(name)).ok();
        if name != "users.arrow" {
            refused(&path, name);
        }
        fs::write(path.join(name), own).unwrap();
    }
    verified(&path).unwrap();
}

#[test]
fn errors_name_the_file_and_what_was_expected() {
    let (folder, path) = small();
    let message = |path: &Path| open(path).unwrap_err().to_string();
    assert!(message(&folder.path().join("absent")).contains("absent is not there; expected the folder"));
    assert!(message(&path.join("events.arrow")).contains("it is a file, not the folder"));
    assert!(message(folder.path()).contains("manifest.json is not there; expected the manifest"));

    let manifest = fs::read_to_string(path.join("manifest.json")).unwrap();
    fs::write(path.join("manifest.json"), manifest.replace("\"version\": 1", "\"version\": 2")).unwrap();
    assert!(matches!(open(&path), Err(StoreError::Version { version: 2, .. })));
    assert!(message(&path).contains("version 2; expected \"propense log\", version 1"));
    fs::write(path.join("manifest.json"), manifest.replace("\"dropped\": 7", "\"dropped\": 8")).unwrap();
    assert!(message(&path).contains("manifest.json is damaged: its checksum"));
    fs::write(path.join("manifest.json"), &manifest).unwrap();

    let events = fs::read(path.join("events.arrow")).unwrap();
    fs::write(path.join("events.arrow"), &events[..events.len() - 9]).unwrap();
    let (found, expected) = (events.len() - 9, events.len());
    assert!(message(&path).contains(&format!("it has {found} bytes; the manifest says {expected}")));
    fs::remove_file(path.join("events.arrow")).unwrap();
    assert!(message(&path).contains("events.arrow is not there"));
}
