//! Whether a log may take a place, and putting it there.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::StoreError;
use crate::layout::{EVENTS, MANIFEST, PROFILES, USERS};
use crate::manifest::FORMAT;

/// The real path of a place that is free, an empty folder, or a saved log and nothing else.
pub(crate) fn check_target(folder: &Path) -> Result<PathBuf, StoreError> {
    let occupied = |found: &str| StoreError::Occupied { folder: folder.to_owned(), found: found.to_owned() };
    let unreadable = |source| StoreError::Read { path: folder.to_owned(), source };
    match fs::metadata(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // A name such as `..` or `/` cannot be made, and a link that leads nowhere would be lost.
            if folder.file_name().is_none() || fs::symlink_metadata(folder).is_ok() {
                return Err(occupied("is no name for a new folder"));
            }
            return std::path::absolute(folder).map_err(unreadable);
        }
        Err(error) => return Err(unreadable(error)),
        Ok(found) if !found.is_dir() => return Err(occupied("is a file")),
        Ok(_) => {}
    }
    let names = names(folder).map_err(unreadable)?;
    if let Some(stranger) = names.iter().find(|name| ![EVENTS, USERS, PROFILES, MANIFEST].contains(&name.as_str())) {
        return Err(occupied(&format!("holds {stranger:?}, which would be lost")));
    }
    if !names.is_empty() && !is_log(folder) {
        return Err(occupied("holds files that are no saved log and would be lost"));
    }
    folder.canonicalize().map_err(unreadable)
}

/// Puts a complete folder in the place of whatever [`check_target`] allowed there.
pub(crate) fn put(disk: &dyn Disk, aside: &Path, folder: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::Write { path: folder.to_owned(), source };
    let replaced = names(folder).is_ok_and(|names| !names.is_empty());
    if replaced {
        let old = match disk.exchange(aside, folder) {
            Ok(()) => aside.to_owned(),
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                in_two_steps(disk, aside, folder).map_err(failed)?
            }
            Err(error) => return Err(failed(error)),
        };
        sync_parent(disk, folder).map_err(failed)?;
        // The new log is in place; an old one that cannot be removed stays under a name that nothing reads.
        let _ = disk.remove_folder(&old);
        return Ok(());
    }
    disk.rename(aside, folder).and_then(|()| sync_parent(disk, folder)).map_err(failed)
}

/// Renames the old log away and the new one into its place; gives the old one's new name.
fn in_two_steps(disk: &dyn Disk, aside: &Path, folder: &Path) -> io::Result<PathBuf> {
    let old = aside.with_extension("old");
    disk.rename(folder, &old)?;
    disk.rename(aside, folder).inspect_err(|_| {
        // If this fails too, the old log is whole under its other name, and the error says that saving failed.
        let _ = disk.rename(&old, folder);
    })?;
    Ok(old)
}

fn sync_parent(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    folder.parent().map_or(Ok(()), |parent| disk.sync_folder(parent))
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Whether a folder has the manifest of a log, of any version, sound or not.
fn is_log(folder: &Path) -> bool {
    fs::read_to_string(folder.join(MANIFEST)).is_ok_and(|text| text.contains(&format!("{FORMAT:?}")))
}
