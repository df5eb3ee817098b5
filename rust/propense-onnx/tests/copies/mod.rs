//! Copies of the model directory of the fixtures, to be damaged.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use propense_onnx::{ModelDirectory, ModelDirectoryError};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

pub const FILES: [&str; 5] = ["manifest.json", "model.onnx", "checks.arrow", "audience.arrow", "test.arrow"];

/// The directory of the fixtures.
pub fn original() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/buys_again")
}

/// A root that holds a copy called `copy`.
pub struct Copy {
    pub root: TempDir,
}

impl Copy {
    pub fn new() -> Self {
        let root = TempDir::new().unwrap();
        fs::create_dir(root.path().join("copy")).unwrap();
        let copy = Self { root };
        for name in FILES {
            fs::copy(original().join(name), copy.file(name)).unwrap();
        }
        copy
    }

    pub fn folder(&self) -> PathBuf {
        self.root.path().join("copy")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.file(name)).unwrap()
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.file(name), bytes).unwrap();
    }

    /// Change the manifest, and its checksum along with it.
    pub fn reseal(&self, change: impl FnOnce(&mut Value)) {
        let mut manifest: Value = serde_json::from_slice(&self.bytes("manifest.json")).unwrap();
        change(&mut manifest);
        let zeros = "0".repeat(64);
        manifest["sha256"]["manifest.json"] = zeros.clone().into();
        let blank = serde_json::to_string(&manifest).unwrap();
        let stated = blank
            .replace(&format!("\"manifest.json\":\"{zeros}\""), &format!("\"manifest.json\":\"{}\"", sha256(&blank)));
        self.write("manifest.json", stated);
    }

    /// Put other bytes in a file's place, with checksums that fit.
    pub fn replace(&self, name: &str, bytes: &[u8]) {
        self.write(name, bytes);
        self.reseal(|manifest| manifest["sha256"][name] = sha256(bytes).into());
    }

    /// Why the copy is refused.
    pub fn refusal(&self) -> ModelDirectoryError {
        ModelDirectory::load(self.folder()).err().unwrap()
    }

    /// Check that the copy is refused, in one line that holds all `parts`.
    #[track_caller]
    pub fn assert_refused(&self, parts: &[&str]) {
        let Err(error) = ModelDirectory::load(self.folder()) else { panic!("accepted; expected {parts:?}") };
        let message = error.to_string();
        assert!(!message.contains('\n'), "{message}");
        for part in parts {
            assert!(message.contains(part), "{message}\nlacks {part}");
        }
    }
}

pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
