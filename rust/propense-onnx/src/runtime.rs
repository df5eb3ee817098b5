//! The ONNX Runtime library: found by its caller, loaded once, kept until the process ends.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::error::OnnxError;

/// The library this process has loaded.
///
/// It is never unloaded: sessions may live in any thread until the very end, and the order in
/// which a process takes down its statics is no place to release a library.
struct Runtime {
    library: PathBuf,
    /// None if the library was loaded but would not set itself up.
    environment: Option<Environment>,
}

static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);

/// Load the ONNX Runtime shared library at `library`, once per process.
///
/// Calling it again with the same file (by its canonical path) does nothing. After an error
/// another path may be tried, unless a library has been loaded by then.
///
/// ONNX Runtime 1.29 and later sends telemetry unless `ORT_DISABLE_TELEMETRY=1` is in the
/// environment before this call. It is switched off here as well, but that comes too late for
/// what the library does while it loads: whoever starts the process must set the variable.
///
/// # Errors
///
/// [`OnnxError::LibraryMissing`], [`OnnxError::LibraryUnusable`] or [`OnnxError::LibraryTooOld`]
/// if the file will not do, [`OnnxError::LibraryConflict`] if another one is loaded already, and
/// [`OnnxError::Environment`] if ONNX Runtime would not set itself up.
pub fn initialise(library: &Path) -> Result<(), OnnxError> {
    let requested =
        library.canonicalize().map_err(|source| OnnxError::LibraryMissing { path: library.to_path_buf(), source })?;
    let mut runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    match runtime.as_ref() {
        // `ort` itself would keep the first library and say nothing.
        Some(loaded) if loaded.library != requested => {
            return Err(OnnxError::LibraryConflict { loaded: loaded.library.clone(), requested });
        }
        Some(Runtime { environment: Some(_), .. }) => return Ok(()),
        _ => {}
    }
    let builder = ort::init_from(&requested).map_err(|error| unusable(&requested, error))?;
    let runtime = runtime.insert(Runtime { library: requested, environment: None });
    let environment = builder
        .with_name("propense")
        .with_telemetry(false)
        .build()
        .map_err(|source| OnnxError::Environment { source })?;
    // What ONNX Runtime logs as an error also comes back as one; standard error is not ours.
    environment.set_log_level(LogLevel::Fatal);
    runtime.environment = Some(environment);
    Ok(())
}

/// The environment in which sessions are made.
pub(crate) fn environment() -> Result<Environment, OnnxError> {
    let runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    runtime.as_ref().and_then(|loaded| loaded.environment.clone()).ok_or(OnnxError::NotInitialised)
}

fn unusable(path: &Path, error: ort::LoadDynamicError) -> OnnxError {
    let path = path.to_path_buf();
    match error {
        ort::LoadDynamicError::BadVersion { version_str, .. } => {
            OnnxError::LibraryTooOld { path, found: version_str, expected_minor: ort::MINOR_VERSION }
        }
        source => OnnxError::LibraryUnusable { path, source },
    }
}
