//! The extension module `propense._core`: conversions between Python and the Rust crates, and nothing else.
//!
//! Whole Arrow streams and arrays cross the boundary, and a spec crosses it once, as JSON. The GIL is released
//! in one place (`detached`) and errors become Python exceptions in one place (`error`).
#![forbid(unsafe_code)]
// PyO3's functions take what Python hands over by value, and its classes are not called from Rust.
#![allow(clippy::needless_pass_by_value, clippy::must_use_candidate, clippy::missing_errors_doc)]

mod detached;
mod error;
mod explain;
mod features;
mod log;
mod model;
mod model_directory;
mod segment_scores;
mod segments;
mod server;
mod store;

use pyo3::prelude::*;

/// Computing core of propense; import `propense` instead.
#[pymodule(name = "_core")]
mod core_module {
    #[pymodule_export]
    use super::explain::{explain_users, explainer};
    #[pymodule_export]
    use super::features::{
        Plan, audience, check_audience, check_goal, columns_named, compute, compute_columns, declare,
        event_types_named, everyone, fingerprint, parse_duration_us, reference,
    };
    #[pymodule_export]
    use super::log::{EventLog, Profiles, verify_log};
    #[pymodule_export]
    use super::model::{OnnxModel, initialise_onnxruntime, score_users};
    #[pymodule_export]
    use super::model_directory::ModelDirectory;
    #[pymodule_export]
    use super::segments::{check_segment, segment_users};
    #[pymodule_export]
    use super::server::Server;
    #[pymodule_export]
    use super::store::{Store, check_store, repair_store};
}
