//! Whether a store is sound, from end to end, and what can be saved if not.

use std::fmt;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::commit::{Item, decode};
use crate::erasure::{self, ERASED};
use crate::error::StoreError;
use crate::notes::file::notes_folder;
use crate::notes::recovery::{From, read as read_notes};
use crate::store_manifest::{STORE_MANIFEST, StoreManifest, part_path, wal_folder};
use crate::store_open::{check_last, lock};
use crate::verify::verify;
use crate::wal::replay::{Replayed, replay};

/// Something that is wrong with a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
    /// What [`crate::repair()`] does about it; `None` if only a copy helps.
    pub remedy: Option<&'static str>,
}

/// What a look at a store found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What is wrong; a sound store has nothing here.
    pub problems: Vec<Problem>,
    /// Sealed parts.
    pub parts: u64,
    /// Records of the write-ahead log.
    pub wal_records: u64,
    /// Bytes of the write-ahead log.
    pub wal_bytes: u64,
    /// Bytes at its end that were being written when the machine stopped; opening the store cuts them off.
    pub torn_bytes: u64,
    /// Users who were erased.
    pub erased_users: u64,
    /// Notes of the store's observer that there were, those that are no longer kept included.
    pub notes: u64,
    /// Bytes of the files of notes.
    pub notes_bytes: u64,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { problems, parts, wal_records, wal_bytes, torn_bytes, erased_users, notes, notes_bytes } = self;
        writeln!(f, "{parts} sealed parts; {wal_records} records, {wal_bytes} bytes, in the write-ahead log")?;
        writeln!(f, "{torn_bytes} bytes of a torn end; {erased_users} erased users")?;
        if *notes > 0 {
            writeln!(f, "{notes} notes on what follows from the events; {notes_bytes} bytes of them are kept")?;
        }
        for Problem { path, problem, remedy } in problems {
            writeln!(f, "{}: {problem}; {}", path.display(), remedy.unwrap_or("restore it from a copy"))?;
        }
        if problems.is_empty() { write!(f, "the store is sound") } else { write!(f, "{} problems", problems.len()) }
    }
}

/// Reads every byte of a store and says what is wrong; changes nothing.
///
/// # Errors
/// [`StoreError::Locked`] if the store is open, [`StoreError::Missing`] if there is none, [`StoreError::Read`],
/// [`StoreError::Write`] if it cannot be locked. Damage is no error but in the report.
pub fn check(folder: &Path) -> Result<Report, StoreError> {
    let _lock = lock_store(folder)?;
    look(folder).map(|(report, _)| report)
}

/// Locks what is a store, or was one; leaves no file where none ever was.
pub(crate) fn lock_store(folder: &Path) -> Result<File, StoreError> {
    if !folder.is_dir() {
        return Err(StoreError::Missing { path: folder.to_owned(), expected: "the folder of a store" });
    }
    let path = folder.join(STORE_MANIFEST);
    if !path.exists() && !wal_folder(folder).exists() {
        return Err(StoreError::Missing { path, expected: "the manifest of a store" });
    }
    lock(folder)
}

/// [`check`] of a store that is locked, and its manifest if that can be read.
pub(crate) fn look(folder: &Path) -> Result<(Report, Option<StoreManifest>), StoreError> {
    let mut report = Report::default();
    let manifest = match StoreManifest::read(folder) {
        Ok(Some(manifest)) => manifest,
        Ok(None) => {
            let path = folder.join(STORE_MANIFEST);
            return Err(StoreError::Missing { path, expected: "the manifest of a store" });
        }
        Err(error @ StoreError::Damaged { .. }) => {
            report.problems.push(problem(folder.join(STORE_MANIFEST), error, None)?);
            return Ok((report, None));
        }
        Err(error) => return Err(error),
    };
    report.parts = manifest.parts.len() as u64;
    for &part in &manifest.parts {
        let path = part_path(folder, part);
        if let Err(error) = verify(&path, &mut |_| ControlFlow::Continue(())) {
            report.problems.push(problem(path, error, Some("repairing puts it aside, and its events are lost"))?);
        }
    }
    match erasure::inspect(folder) {
        Ok((users, _)) => report.erased_users = users as u64,
        Err(error) => {
            let remedy = "repairing puts it aside; users whose digests cannot be read any more may come back";
            report.problems.push(problem(folder.join(ERASED), error, Some(remedy))?);
        }
    }
    let mut last = None;
    match read_notes(folder, manifest.notes, From::First, &mut |_| Ok(())) {
        Ok(found) => {
            report.notes_bytes = found.bytes();
            last = Some(found.last);
        }
        Err(error) => {
            let remedy = "repairing keeps every note that is whole, and the observer looks at everything anew";
            report.problems.push(problem(notes_folder(folder), error, Some(remedy))?);
        }
    }
    let in_files = last.unwrap_or_default();
    let understood = &mut |_, payload: &[u8]| {
        decode(payload, &mut |item| match (item, &mut last) {
            (Item::Note { number, .. }, Some(last)) => last.follow(number),
            _ => Ok(()),
        })
    };
    let replayed = replay(&wal_folder(folder), manifest.first_segment, understood);
    let replayed = replayed.and_then(|replayed| check_last(folder, in_files, &replayed).map(|()| replayed));
    report.notes = last.map_or(0, |last| last.number);
    match replayed {
        Ok(Replayed { records, bytes, torn_bytes, .. }) => {
            (report.wal_records, report.wal_bytes, report.torn_bytes) = (records, bytes, torn_bytes);
        }
        Err(error) => {
            let remedy = "repairing keeps every record that is whole and puts the segments aside";
            report.problems.push(problem(wal_folder(folder), error, Some(remedy))?);
        }
    }
    Ok((report, Some(manifest)))
}

/// Damage goes into the report; a disk that cannot be read does not.
fn problem(path: PathBuf, error: StoreError, remedy: Option<&'static str>) -> Result<Problem, StoreError> {
    match error {
        StoreError::Read { .. } | StoreError::Write { .. } | StoreError::Cancelled => Err(error),
        error => Ok(Problem { path, problem: error.to_string(), remedy }),
    }
}
