//! The manifest: its fields, its checksum, and the checksums that it states.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use propense_core::features::FeatureSpec;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::columns::KnownColumns;
use super::error::ModelDirectoryError as Error;
use super::folder::Folder;
use super::goal::StatedGoal;

pub(super) const MANIFEST: &str = "manifest.json";
/// The format that is read.
pub(super) const FORMAT: u64 = 2;
/// Hexadecimal digits of a checksum.
const DIGITS: usize = 64;

/// What `manifest.json` holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    #[serde(rename = "format")]
    _format: u64,
    pub(super) propense_version: String,
    pub(super) engine: String,
    pub(super) goal: StatedGoal,
    pub(super) plan: FeatureSpec,
    pub(super) fingerprint: String,
    #[serde(rename = "as_of")]
    _as_of: String,
    pub(super) as_of_us: i64,
    pub(super) columns: KnownColumns,
    pub(super) training: Map<String, Value>,
    pub(super) calibration: Map<String, Value>,
    pub(super) tiers: Map<String, Value>,
    pub(super) metrics: Map<String, Value>,
    #[serde(rename = "checks")]
    _checks: Map<String, Value>,
    sha256: BTreeMap<String, String>,
}

/// The only field that every format has.
#[derive(Deserialize)]
struct Heading {
    #[serde(default)]
    format: Value,
}

impl Manifest {
    /// Read a manifest, which must have this format and its own checksum.
    pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<Self, Error> {
        let wrong = |source| Error::Json { path: path.to_owned(), source };
        let Heading { format } = serde_json::from_slice(bytes).map_err(wrong)?;
        if format != FORMAT {
            return Err(Error::Format { path: path.to_owned(), found: format.to_string() });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(wrong)?;
        let stated = manifest.sha256.get(MANIFEST).map_or("", String::as_str);
        if !states_itself(bytes, stated.as_bytes()) {
            return Err(Error::ManifestChanged { path: path.to_owned(), stated: stated.to_owned() });
        }
        Ok(manifest)
    }

    /// The bytes of another file, which must have the checksum that is stated for it.
    pub(super) fn checked(&self, folder: &Folder, name: &str) -> Result<Vec<u8>, Error> {
        let bytes = folder.bytes(name)?;
        let found = sha256(&bytes);
        match self.sha256.get(name) {
            Some(expected) if *expected == found => Ok(bytes),
            stated => {
                let expected = stated.map_or_else(|| "none".to_owned(), Clone::clone);
                Err(Error::Checksum { path: folder.file(name), expected, found })
            }
        }
    }
}

/// Whether bytes hold a checksum, and have it when its digits are zeros.
fn states_itself(bytes: &[u8], stated: &[u8]) -> bool {
    if stated.len() != DIGITS {
        return false;
    }
    let Some(place) = bytes.windows(DIGITS).position(|window| window == stated) else { return false };
    let digest = Sha256::new()
        .chain_update(&bytes[..place])
        .chain_update([b'0'; DIGITS])
        .chain_update(&bytes[place + DIGITS..])
        .finalize();
    hexadecimal(&digest).as_bytes() == stated
}

/// SHA-256 of bytes, in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
