//! Everything that can go wrong between a library path and a score, in one enum.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Which end of a model an error speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// What the model is fed.
    Input,
    /// What the model gives.
    Output,
}

impl fmt::Display for Port {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Input => "input",
            Self::Output => "output",
        })
    }
}

/// What was being done when a deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// ONNX Runtime was reading the model.
    Load,
    /// The model was being run on its check rows.
    Check,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Load => "loading the model",
            Self::Check => "the check run",
        })
    }
}

/// An error of this crate; where something else failed first, it is the source.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The ONNX Runtime library cannot be reached at the path given.
    #[error("no ONNX Runtime library at {path}; install the Python package onnxruntime or give the path of its shared library", path = path.display())]
    LibraryMissing {
        /// The path as given.
        path: PathBuf,
        /// Why it could not be reached.
        source: std::io::Error,
    },
    /// The file is there but is not an ONNX Runtime library for this machine.
    #[error("{path} is not a usable ONNX Runtime library", path = path.display())]
    LibraryUnusable {
        /// The library's path.
        path: PathBuf,
        /// What the loader said.
        source: ort::LoadDynamicError,
    },
    /// The library is older than the interface this crate is built on.
    #[error("ONNX Runtime {found} at {path} is too old; 1.{expected_minor} or later is needed: upgrade the Python package onnxruntime", path = path.display())]
    LibraryTooOld {
        /// The library's path.
        path: PathBuf,
        /// Its version.
        found: String,
        /// The lowest minor version of 1.x that will do.
        expected_minor: u32,
    },
    /// A process can load one library only, and it has already loaded another.
    #[error("this process has already loaded ONNX Runtime from {loaded}; it cannot also load {requested}", loaded = loaded.display(), requested = requested.display())]
    LibraryConflict {
        /// The library in use.
        loaded: PathBuf,
        /// The one asked for now.
        requested: PathBuf,
    },
    /// A model was to be loaded before [`initialise`](crate::initialise) had succeeded.
    #[error("ONNX Runtime has not been initialised; give the path of its library first")]
    NotInitialised,
    /// ONNX Runtime would not set itself up.
    #[error("ONNX Runtime could not be set up")]
    Environment {
        /// What it said.
        source: ort::Error,
    },

    /// The model has more bytes than are accepted.
    #[error("the model has {found} bytes; at most {limit} are accepted")]
    ModelTooLarge {
        /// Its bytes.
        found: usize,
        /// The most that are accepted.
        limit: usize,
    },
    /// The bytes are not an ONNX model.
    #[error("the model is not valid ONNX: {problem}")]
    ModelMalformed {
        /// What is wrong.
        problem: &'static str,
    },
    /// The model keeps a tensor outside its own file, which is never followed.
    #[error("tensor {tensor:?} of the model is stored outside its file; save the model as one file")]
    ExternalData {
        /// The tensor's name.
        tensor: String,
    },
    /// The trees of the model contradict themselves.
    #[error("the trees of the model are damaged: {node}: {problem}")]
    TreesMalformed {
        /// The node of the graph that holds them, by operator and name.
        node: String,
        /// Which node of which tree, and what is wrong with it.
        problem: String,
    },
    /// ONNX Runtime refuses the model.
    #[error("ONNX Runtime refuses the model")]
    ModelRefused {
        /// What it said.
        source: ort::Error,
    },
    /// The model has not exactly one input, or not exactly one output.
    #[error("the model has {} {port}s ({}); exactly one, {expected:?}, is expected", found.len(), found.join(", "))]
    PortCount {
        /// Input or output.
        port: Port,
        /// The name of the only one that is expected.
        expected: &'static str,
        /// The names that are there.
        found: Vec<String>,
    },
    /// The input or output has another name.
    #[error("the model's {port} is called {found:?}; {expected:?} is expected")]
    PortName {
        /// Input or output.
        port: Port,
        /// The name expected.
        expected: &'static str,
        /// The name found.
        found: String,
    },
    /// The input or output is of another type.
    #[error("the model's {port} is of type {found}; {expected} is expected")]
    PortType {
        /// Input or output.
        port: Port,
        /// The type expected.
        expected: &'static str,
        /// The type found.
        found: String,
    },
    /// The input or output is of another shape.
    #[error("the model's {port} has shape {found}; {expected} is expected, for any N")]
    PortShape {
        /// Input or output.
        port: Port,
        /// The shape expected.
        expected: String,
        /// The shape found; N where it is free.
        found: String,
    },
    /// The model takes another number of features.
    #[error("the model takes {found} features; the plan has {expected}")]
    WrongWidth {
        /// The plan's number of features.
        expected: usize,
        /// The model's.
        found: i64,
    },

    /// A number given to this crate cannot be zero.
    #[error("{name} is 0; at least 1 is expected")]
    Zero {
        /// Which one.
        name: &'static str,
    },
    /// The rows do not have the length that the scores ask for.
    #[error("{found} values were given for {rows} rows of {width} features; {} are expected", rows.saturating_mul(*width))]
    RowsLength {
        /// Rows, by the length of the scores.
        rows: usize,
        /// The features of one row.
        width: usize,
        /// The values given.
        found: usize,
    },
    /// ONNX Runtime failed while scoring.
    #[error("ONNX Runtime failed while scoring rows {first_row} to {last_row}")]
    Run {
        /// The first row of the block that failed.
        first_row: usize,
        /// The last row of the block that failed.
        last_row: usize,
        /// What it said.
        source: ort::Error,
    },
    /// The model gave another number of scores than it got rows.
    #[error("the model gave scores of shape {found} for {expected} rows; one a row is expected")]
    ScoreCount {
        /// The rows it got.
        expected: usize,
        /// The shape it gave.
        found: String,
    },
    /// A score is NaN or infinite.
    #[error("the model gave {score} as the score of row {row}; a finite number is expected")]
    NonFiniteScore {
        /// The row, counted from 0.
        row: usize,
        /// Its score.
        score: f32,
    },
    /// Something took longer than it may.
    #[error("{stage} took longer than {} s and was stopped", deadline.as_secs_f64())]
    DeadlinePassed {
        /// What was being done.
        stage: Stage,
        /// How long it may take.
        deadline: Duration,
    },
    /// The thread that watches a deadline could not be started.
    #[error("no thread could be started to watch a deadline")]
    Watchdog {
        /// What the system said.
        source: std::io::Error,
    },
}

impl OnnxError {
    /// The same error about rows that were counted from a later row on.
    #[must_use]
    pub fn moved_by(self, rows: usize) -> Self {
        match self {
            Self::NonFiniteScore { row, score } => Self::NonFiniteScore { row: row + rows, score },
            Self::Run { first_row, last_row, source } => {
                Self::Run { first_row: first_row + rows, last_row: last_row + rows, source }
            }
            other => other,
        }
    }
}
