//! Saving a log: written aside, brought to the disk, then put in place in one step.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use propense_core::events::EventLog;

use crate::disk::{Disk, LocalDisk};
use crate::error::StoreError;
use crate::layout::{EVENTS, MANIFEST, PROFILES, USERS, write_events, write_profiles, write_users};
use crate::manifest::{FORMAT, FORMAT_VERSION, FileRecord, Manifest};
use crate::place::{check_target, put};
use crate::sink::{Advance, Sink};

/// Names of folders aside must differ within a process, too.
static SAVES: AtomicU64 = AtomicU64::new(0);

/// Saves a log as a folder of Arrow files and a manifest; `notes` come back when it is opened.
///
/// A log that is there already is replaced in one step where the system can do so (Linux), else in two renames between
/// which the name is free for an instant; whoever has it open keeps what they opened. `advance` is told the bytes
/// written and can stop the work.
///
/// # Errors
/// [`StoreError::Occupied`] if something else is there, [`StoreError::Write`] if the disk is full or refuses,
/// [`StoreError::Cancelled`]. The target is then as it was, with two exceptions: if nothing but the very last step fails,
/// which brings the new name to the disk, the new log is in place; and a disk that fails between the two renames and
/// at undoing the first leaves the old log, whole, as `.NAME.PID-N.old`. A process that is killed leaves a folder
/// `.NAME.PID-N.saving` beside the target, which nothing reads and anyone may remove.
pub fn save(
    log: &EventLog,
    folder: &Path,
    notes: &BTreeMap<String, String>,
    advance: &mut Advance<'_>,
) -> Result<(), StoreError> {
    save_to(&LocalDisk, log, folder, notes, advance)
}

/// [`save`] on a disk of the caller's.
///
/// # Errors
/// As [`save`].
pub fn save_to(
    disk: &dyn Disk,
    log: &EventLog,
    folder: &Path,
    notes: &BTreeMap<String, String>,
    advance: &mut Advance<'_>,
) -> Result<(), StoreError> {
    let folder = check_target(folder)?;
    let aside = aside(&folder);
    let failed = |source| StoreError::Write { path: folder.clone(), source };
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    disk.create_folder(&aside).map_err(failed)?;
    let saved = write_all(disk, log, &aside, notes, advance).and_then(|()| put(disk, &aside, &folder));
    if saved.is_err() {
        // What cannot be removed stays under a name that nothing reads.
        let _ = disk.remove_folder(&aside);
    }
    saved.map_err(|error| at_target(error, &aside, &folder))
}

fn write_all(
    disk: &dyn Disk,
    log: &EventLog,
    aside: &Path,
    notes: &BTreeMap<String, String>,
    advance: &mut Advance<'_>,
) -> Result<(), StoreError> {
    let mut files = BTreeMap::new();
    let events = write_file(disk, &aside.join(EVENTS), &mut files, advance, |sink| write_events(sink, log))?;
    let (user_ids, first_event) =
        write_file(disk, &aside.join(USERS), &mut files, advance, |sink| write_users(sink, log))?;
    let attributes = if log.attributes().is_empty() {
        Vec::new()
    } else {
        write_file(disk, &aside.join(PROFILES), &mut files, advance, |sink| write_profiles(sink, log))?
    };
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        version: FORMAT_VERSION,
        events: log.len() as u64,
        users: log.users().len() as u64,
        dropped: log.dropped(),
        notes: notes.clone(),
        user_ids,
        first_event,
        time: events.time,
        event: events.event,
        properties: events.properties,
        attributes,
        files,
        checksum: String::new(),
    };
    let path = aside.join(MANIFEST);
    let failed = |source: io::Error| StoreError::Write { path: path.clone(), source };
    let text = manifest.seal().map_err(|error| failed(error.into()))?;
    write_file(disk, &path, &mut BTreeMap::new(), advance, |sink| sink.write(text.as_bytes()))?;
    disk.sync_folder(aside).map_err(failed)
}

fn write_file<T>(
    disk: &dyn Disk,
    path: &Path,
    files: &mut BTreeMap<String, FileRecord>,
    advance: &mut Advance<'_>,
    write: impl FnOnce(&mut Sink<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut advance = |bytes| -> ControlFlow<()> { advance(bytes) };
    let mut sink = Sink::create(disk, path, &mut advance)?;
    let written = write(&mut sink)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    files.insert(name, sink.finish()?);
    Ok(written)
}

/// A folder beside the target, on the same file system, that no other save uses.
fn aside(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let number = SAVES.fetch_add(1, Ordering::Relaxed);
    folder.with_file_name(format!(".{name}.{}-{number}.saving", process::id()))
}

/// Errors name the place that the caller gave, not the one aside.
fn at_target(error: StoreError, aside: &Path, folder: &Path) -> StoreError {
    match error {
        StoreError::Write { path, source } => {
            let path = path.strip_prefix(aside).map_or_else(|_| path.clone(), |file| folder.join(file));
            StoreError::Write { path, source }
        }
        other => other,
    }
}
