//! Model directories, read as Python writes them: `model.onnx`, `manifest.json` and three tables of scores.
//!
//! [`ModelDirectory::load`] refuses whatever is not what was saved: every file has the manifest's checksum, the manifest
//! its own, the plan its fingerprint, and the model gives its check rows the scores and tiers that were stored with
//! them. Nothing of a directory is trusted before that, so its bytes may be anyone's; only ONNX Runtime's memory is
//! beyond reach, as the crate says.

mod check;
mod columns;
mod error;
mod folder;
mod goal;
mod loaded;
mod manifest;
mod table;
mod tiers;

use std::fs;
use std::path::{Path, PathBuf};

pub use columns::KnownColumns;
pub use error::ModelDirectoryError;
pub use goal::{Direction, GoalText};
pub use loaded::LoadedModel;
pub use tiers::{CutOffs, Tier, TierPolicy};

use error::ModelDirectoryError as Error;
use folder::Folder;
use manifest::MANIFEST;

/// The most bytes of a model's name.
const MAX_NAME_BYTES: usize = 128;

/// Reads model directories, alone or under a root that holds several by name.
#[derive(Debug, Clone, Copy)]
pub struct ModelDirectory;

impl ModelDirectory {
    /// Load the model of a directory, ready to score from as many threads as there are processors.
    ///
    /// ONNX Runtime must have been [initialised](crate::initialise), whatever engine the model will run on.
    ///
    /// # Errors
    ///
    /// The first thing that is not as it was saved, by file; see [`ModelDirectoryError`].
    pub fn load(folder: impl AsRef<Path>) -> Result<LoadedModel, Error> {
        LoadedModel::read(&Folder::open(folder.as_ref())?)
    }

    /// The digest that the model of a directory has once loaded: SHA-256 of the bytes of its `manifest.json`, in
    /// hexadecimal. Nothing else is read or checked.
    ///
    /// # Errors
    ///
    /// The manifest cannot be read, is a link or too large.
    pub fn digest(folder: impl AsRef<Path>) -> Result<String, Error> {
        Ok(manifest::sha256(&Folder::open(folder.as_ref())?.manifest()?))
    }

    /// The names of the models under a root, ascending: its folders that hold a `manifest.json`.
    ///
    /// Left out is what is no folder, what has no proper name (see [`find`](Self::find)), such as the hidden folders
    /// in which models are written aside, and links that lead out of the root.
    ///
    /// # Errors
    ///
    /// [`ModelDirectoryError::Root`] if the root cannot be read.
    pub fn list(root: impl AsRef<Path>) -> Result<Vec<String>, Error> {
        let root = root.as_ref();
        let unreadable = |source| Error::Root { root: root.to_owned(), source };
        let mut names = Vec::new();
        for entry in fs::read_dir(root).map_err(unreadable)? {
            let Ok(name) = entry.map_err(unreadable)?.file_name().into_string() else { continue };
            let held = Self::find(root, &name).is_ok_and(|folder| folder.join(MANIFEST).symlink_metadata().is_ok());
            if held {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The folder of a model under a root, by name: up to 128 letters, digits, `_`, `-` and `.`, no `.` in front.
    ///
    /// # Errors
    ///
    /// [`ModelDirectoryError::Name`] if no model can have that name, [`ModelDirectoryError::Root`] if the root cannot
    /// be read, and [`ModelDirectoryError::Unknown`] if no folder in the root has it, or a link that leads out.
    pub fn find(root: impl AsRef<Path>, name: &str) -> Result<PathBuf, Error> {
        let root = root.as_ref();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(Error::Name { name: name.to_owned() });
        }
        let whole = root.canonicalize().map_err(|source| Error::Root { root: root.to_owned(), source })?;
        let folder = root.join(name);
        let inside = |real: PathBuf| real.is_dir() && real != whole && real.starts_with(&whole);
        if folder.canonicalize().is_ok_and(inside) {
            return Ok(folder);
        }
        Err(Error::Unknown { root: root.to_owned(), name: name.to_owned() })
    }
}
