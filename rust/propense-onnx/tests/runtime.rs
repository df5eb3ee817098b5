//! The library is loaded once; what cannot be loaded gives an error that names it, never a panic.
//!
//! One test, because what it proves depends on the order: errors first, then the load that lasts.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod fixtures;

use std::fs;
use std::path::Path;

use fixtures::{WIDTH, bytes, library, ready};
use propense_onnx::{EngineChoice, OnnxError, OnnxModel, initialise};

#[test]
fn one_library_a_process() {
    let model = bytes("trees.onnx");
    let error = OnnxModel::load(&model, WIDTH, 1, EngineChoice::OnnxRuntime).err().unwrap();
    assert!(matches!(error, OnnxError::NotInitialised), "{error}");

    let missing = Path::new("no/such/libonnxruntime.so");
    let error = initialise(missing).unwrap_err();
    assert!(matches!(&error, OnnxError::LibraryMissing { path, .. } if path == missing), "{error}");

    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let text = scratch.join("libonnxruntime.so");
    fs::write(&text, "not a library").unwrap();
    let error = initialise(&text).unwrap_err();
    assert!(matches!(error, OnnxError::LibraryUnusable { .. }), "{error}");

    if ready() {
        let loaded = library().unwrap();
        initialise(&loaded).unwrap();
        let copy = scratch.join("a-second-library.so");
        fs::copy(&loaded, &copy).unwrap();
        let error = initialise(&copy).unwrap_err();
        fs::remove_file(&copy).unwrap();
        assert!(error.to_string().contains("a-second-library.so"), "{error}");
        let named = loaded.file_name().unwrap().to_str().unwrap();
        assert!(error.to_string().contains(named), "{error}");
        assert!(OnnxModel::load(&model, WIDTH, 1, EngineChoice::OnnxRuntime).is_ok());
    }
}
