//! Scores from ONNX models, through ONNX Runtime.
//!
//! The library is the caller's: [`initialise`] is given the path of its shared object (the one
//! inside the Python wheel `onnxruntime`, for instance) once per process. An [`OnnxModel`] is then
//! loaded from bytes whose checksum the caller has already compared, and scores rows from any
//! number of threads. What is fixed here, and why:
//!
//! * A model has one input `features` float32 `[N, width]` and one output `score` float32 `[N]`.
//! * A row is to have the same score, to the bit, alone and among any others; a model for which the
//!   probe at load finds otherwise is run one row at a time ([`Invariance`]).
//! * A model is hostile until it has loaded: its size is bounded, it is one file, and loading it
//!   and its check run have a deadline. What it does with memory is not bounded, and neither is a
//!   later run, whose time may depend on its rows: load no model that you would not run.

#![forbid(unsafe_code)]

mod deadline;
mod error;
mod interface;
mod model_directory;
mod native;
mod one_file;
mod pool;
mod probe;
mod row_scorer;
mod run;
mod runtime;
mod session;

pub use error::{OnnxError, Port, Stage};
pub use interface::{INPUT_NAME, OUTPUT_NAME};
pub use model_directory::{
    CutOffs, Direction, GoalText, KnownColumns, LoadedModel, ModelDirectory, ModelDirectoryError, Tier, TierPolicy,
};
pub use native::{Lowered, ModelExplainer, NativeModel, NotExplained, Unsupported};
pub use probe::{Difference, Invariance};
pub use runtime::initialise;
pub use session::{BLOCK_ROWS, DEFAULT_DEADLINE, EngineChoice, MAX_MODEL_BYTES, OnnxModel};
