//! `store.json`: the one truth about which parts and which segments of the write-ahead log a store consists of.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::disk::Disk;
use crate::error::StoreError;
use crate::manifest::hex;

/// The manifest's file.
pub(crate) const STORE_MANIFEST: &str = "store.json";
/// Where the next manifest is written.
const ASIDE: &str = "store.json.new";
const STORE_FORMAT: &str = "propense store";
const STORE_VERSION: u64 = 1;

/// What a store consists of. Folders and segments that it does not name are leftovers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreManifest {
    format: String,
    version: u64,
    /// Numbers of the sealed parts, oldest first.
    pub(crate) parts: Vec<u64>,
    /// The first segment of the write-ahead log whose records are in no part.
    pub(crate) first_segment: u64,
    /// Greater than the number of any part that there ever was.
    pub(crate) next_part: u64,
    /// How many notes no crash can have taken away.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) notes: u64,
    /// Whether an observer has been shown everything.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) is_observed: bool,
    /// SHA-256 of the manifest with this field empty.
    checksum: String,
}

/// Older manifests are without what is not used.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The part of a manifest that every version has.
#[derive(Deserialize)]
struct Heading {
    format: String,
    version: u64,
}

impl StoreManifest {
    /// Of a new store.
    pub(crate) fn new(first_segment: u64) -> Self {
        Self {
            format: STORE_FORMAT.to_owned(),
            version: STORE_VERSION,
            parts: Vec::new(),
            first_segment,
            next_part: 1,
            notes: 0,
            is_observed: false,
            checksum: String::new(),
        }
    }

    /// The manifest of a store; none if the folder has none.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, StoreError> {
        let path = folder.join(STORE_MANIFEST);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|source| StoreError::Read { path: path.clone(), source })?,
        };
        let wrong =
            |error: serde_json::Error| StoreError::damaged(&path, format!("it is not a store's manifest: {error}"));
        let Heading { format, version } = serde_json::from_slice(&bytes).map_err(wrong)?;
        if format != STORE_FORMAT || version != STORE_VERSION {
            let problem = format!("its format is {format:?}, version {version}, not {STORE_FORMAT:?}, {STORE_VERSION}");
            return Err(StoreError::damaged(path, problem));
        }
        let manifest: Self = serde_json::from_slice(&bytes).map_err(wrong)?;
        if manifest.own_checksum().map_err(wrong)? != manifest.checksum {
            return Err(StoreError::damaged(path, "its checksum does not fit what it says"));
        }
        Ok(Some(manifest))
    }

    /// Replaces the manifest of a store in one step; it is on the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::Write`]; after a crash the store may then have either manifest, so that nothing that one of them
    /// names may be removed.
    pub(crate) fn write(&mut self, disk: &dyn Disk, folder: &Path) -> Result<(), StoreError> {
        let path = folder.join(STORE_MANIFEST);
        let failed = |source: io::Error| StoreError::Write { path: path.clone(), source };
        self.checksum = self.own_checksum().map_err(|error| failed(error.into()))?;
        let text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        let aside = folder.join(ASIDE);
        if aside.exists() {
            disk.remove_file(&aside).map_err(failed)?;
        }
        let mut file = disk.create_file(&aside).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync()).map_err(failed)?;
        disk.rename(&aside, &path).and_then(|()| disk.sync_folder(folder)).map_err(failed)
    }

    fn own_checksum(&self) -> Result<String, serde_json::Error> {
        let text = serde_json::to_string(&Self { checksum: String::new(), ..self.clone() })?;
        Ok(hex(Sha256::digest(text).as_slice()))
    }
}

/// Where the parts are.
pub(crate) fn parts_folder(folder: &Path) -> PathBuf {
    folder.join("parts")
}

/// Where a part is.
pub(crate) fn part_path(folder: &Path, part: u64) -> PathBuf {
    parts_folder(folder).join(format!("{part:06}"))
}

/// Where the write-ahead log is.
pub(crate) fn wal_folder(folder: &Path) -> PathBuf {
    folder.join("wal")
}
