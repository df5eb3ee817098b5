//! What can be wrong with a model directory.

use std::io;
use std::path::PathBuf;

use propense_core::features::FeatureError;
use thiserror::Error;

use super::manifest::FORMAT;
use crate::error::OnnxError;

/// Why a model directory was not found or not loaded; what is at fault is named by its path.
#[derive(Debug, Error)]
pub enum ModelDirectoryError {
    /// The folder that holds models cannot be read.
    #[error("{} cannot be read as a folder of models: {source}", root.display())]
    Root {
        /// The folder.
        root: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// No model can have this name.
    #[error("{name:?} is no name of a model; use up to 128 letters, digits, _, - and . without a . in front")]
    Name {
        /// The name.
        name: String,
    },
    /// No model has this name.
    #[error("there is no model {name:?} in {}", root.display())]
    Unknown {
        /// Where models are.
        root: PathBuf,
        /// The name.
        name: String,
    },
    /// The folder has no manifest that can be read.
    #[error(
        "{} is not a model directory: manifest.json cannot be read ({source}); make one with `propense train` or Model.save",
        folder.display()
    )]
    NoModel {
        /// The folder.
        folder: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A link, a folder or a pipe stands where a file belongs.
    #[error("{} is {found}; a model directory holds its own files", path.display())]
    NotAFile {
        /// Where the file belongs.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// A file has more bytes than are read.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that are read.
        limit: u64,
    },
    /// The manifest is not JSON, or has other fields than this version reads.
    #[error("{} is not a manifest: {source}", path.display())]
    Json {
        /// The manifest.
        path: PathBuf,
        /// Where it is wrong.
        source: serde_json::Error,
    },
    /// The manifest has another format.
    #[error("{} has format {found}; this version reads {FORMAT}: train again", path.display())]
    Format {
        /// The manifest.
        path: PathBuf,
        /// The format, as it stands there.
        found: String,
    },
    /// The manifest does not have its own checksum.
    #[error(
        "{} was changed after it was written: its checksum {stated:?} does not fit it. Restore the file or train again",
        path.display()
    )]
    ManifestChanged {
        /// The manifest.
        path: PathBuf,
        /// The checksum that it states.
        stated: String,
    },
    /// A file does not have the manifest's checksum.
    #[error(
        "{} does not match the manifest: expected sha256 {expected}, found {found}. Restore the file or train again",
        path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The manifest's checksum; `none` if it states none.
        expected: String,
        /// The file's.
        found: String,
    },
    /// The plan does not have the manifest's fingerprint.
    #[error(
        "{}: the plan is not the one this model was made for: expected fingerprint {expected}, found {found}",
        path.display()
    )]
    Fingerprint {
        /// The manifest.
        path: PathBuf,
        /// The manifest's fingerprint.
        expected: String,
        /// The plan's.
        found: String,
    },
    /// An expression or the plan as a whole is not valid.
    #[error("{}: {source}", path.display())]
    Expression {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<FeatureError>,
    },
    /// A field of the manifest does not hold what it should.
    #[error("{}: {field}: {problem}", path.display())]
    Field {
        /// The manifest.
        path: PathBuf,
        /// The field, with dots between its parts.
        field: String,
        /// What was expected and found.
        problem: String,
    },
    /// A table does not hold what it should.
    #[error("{} does not hold what a model holds: {problem}", path.display())]
    Table {
        /// The table's file.
        path: PathBuf,
        /// What was expected and found.
        problem: String,
    },
    /// The ONNX file was refused, or failed on the check rows.
    #[error("{}: {source}", path.display())]
    Onnx {
        /// The ONNX file.
        path: PathBuf,
        /// Why.
        source: OnnxError,
    },
    /// The model gives other scores than it was saved with.
    #[error(
        "{}: the model gives other scores in {engine} than it was saved with: they differ by up to {difference:.2e} on its \
         check rows, 1e-6 is allowed", folder.display()
    )]
    Scores {
        /// The directory.
        folder: PathBuf,
        /// What scored.
        engine: String,
        /// The largest difference; NaN if one of two scores is none.
        difference: f32,
    },
    /// The model's scores would put check rows into other tiers.
    #[error("{}: the model would put {rows} of its check rows into other tiers", folder.display())]
    TiersFlipped {
        /// The directory.
        folder: PathBuf,
        /// How many.
        rows: usize,
    },
}
