//! The manifest of a saved log: what its files hold, where each column stands, and how to tell that they are intact.

use std::collections::BTreeMap;
use std::path::Path;

use propense_core::events::{Cells, ColumnKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::StoreError;

/// What the manifest calls the format.
pub const FORMAT: &str = "propense log";
/// The version of the format that is written and read.
pub const FORMAT_VERSION: u64 = 1;

/// A run of bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extent {
    /// Bytes before it.
    pub(crate) start: u64,
    /// Bytes in it.
    pub(crate) bytes: u64,
}

/// Distinct texts as Arrow's `large_utf8` holds them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextsPlace {
    /// How many there are; the file has one empty text where there are none.
    pub(crate) count: u64,
    /// Where each begins, i64, one more than texts.
    pub(crate) offsets: Extent,
    /// Their bytes, UTF-8.
    pub(crate) bytes: Extent,
}

/// The type of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CellType {
    U8,
    U16,
    U32,
    I8,
    I16,
    I32,
    I64,
    F32,
    F64,
}

impl CellType {
    pub(crate) fn of(cells: &Cells) -> Self {
        match cells {
            Cells::U8(_) => Self::U8,
            Cells::U16(_) => Self::U16,
            Cells::U32(_) => Self::U32,
            Cells::I8(_) => Self::I8,
            Cells::I16(_) => Self::I16,
            Cells::I32(_) => Self::I32,
            Cells::I64(_) => Self::I64,
            Cells::F32(_) => Self::F32,
            Cells::F64(_) => Self::F64,
        }
    }
}

/// What a column's values mean; [`ColumnKind`] in the manifest's words.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", remote = "ColumnKind")]
pub(crate) enum Kind {
    Number,
    Boolean,
    Time,
    Text,
}

/// A column's values with their missing marks, and its dictionary.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColumnPlace {
    pub(crate) name: String,
    #[serde(with = "Kind")]
    pub(crate) kind: ColumnKind,
    pub(crate) cells: CellType,
    pub(crate) values: Extent,
    pub(crate) dictionary: Option<TextsPlace>,
}

/// Where the users' ids stand.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum IdsPlace {
    Integers(Extent),
    Texts(TextsPlace),
}

/// How to tell that a file is the one that was saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileRecord {
    /// The file's length.
    pub(crate) bytes: u64,
    /// The pages that opening does not read: values of events, ids of users.
    pub(crate) pages: Extent,
    /// SHA-256 of all that is not pages: schema, dictionaries of properties, footer.
    pub(crate) metadata_sha256: String,
    /// SHA-256 of the file.
    pub(crate) sha256: String,
}

/// All that a saved log says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) format: String,
    pub(crate) version: u64,
    pub(crate) events: u64,
    pub(crate) users: u64,
    /// Rows that came without a user id and were left out when the log was read.
    pub(crate) dropped: u64,
    /// What the caller wanted kept with the log.
    pub(crate) notes: BTreeMap<String, String>,
    /// In `users.arrow`.
    pub(crate) user_ids: IdsPlace,
    /// In `users.arrow`: where each user's events begin, u64, one more than users.
    pub(crate) first_event: Extent,
    /// In `events.arrow`: i64, microseconds since 1970-01-01 UTC.
    pub(crate) time: Extent,
    /// In `events.arrow`.
    pub(crate) event: ColumnPlace,
    /// In `events.arrow`, ascending by name.
    pub(crate) properties: Vec<ColumnPlace>,
    /// In `profiles.arrow`, ascending by name, one row a user; empty without that file.
    pub(crate) attributes: Vec<ColumnPlace>,
    pub(crate) files: BTreeMap<String, FileRecord>,
    /// SHA-256 of the manifest with this field empty.
    pub(crate) checksum: String,
}

/// The part of a manifest that every version has.
#[derive(Deserialize)]
struct Heading {
    format: String,
    version: u64,
}

impl Manifest {
    /// The manifest as it stands in its file.
    pub(crate) fn seal(mut self) -> Result<String, serde_json::Error> {
        self.checksum = self.own_checksum()?;
        serde_json::to_string_pretty(&self)
    }

    /// Reads and checks a manifest.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, StoreError> {
        let wrong = |source| StoreError::Manifest { path: path.to_owned(), source };
        let Heading { format, version } = serde_json::from_str(text).map_err(wrong)?;
        if format != FORMAT || version != FORMAT_VERSION {
            return Err(StoreError::Version { path: path.to_owned(), format, version });
        }
        let manifest: Self = serde_json::from_str(text).map_err(wrong)?;
        if manifest.own_checksum().map_err(wrong)? != manifest.checksum {
            return Err(StoreError::damaged(path, "its checksum does not fit what it says"));
        }
        Ok(manifest)
    }

    fn own_checksum(&self) -> Result<String, serde_json::Error> {
        let text = serde_json::to_string(&Self { checksum: String::new(), ..self.clone() })?;
        Ok(hex(Sha256::digest(text).as_slice()))
    }
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
