//! A model that is not what it must be is refused at load, and the error says what was expected.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod fixtures;

use std::error::Error;
use std::fmt::Write;
use std::time::Duration;

use fixtures::{WIDTH, bytes, json, load, ready};
use propense_onnx::{EngineChoice, MAX_MODEL_BYTES, OnnxError, OnnxModel, Port, Stage};
use sha2::{Digest, Sha256};

fn refusal(name: &str) -> OnnxError {
    OnnxModel::load(&bytes(name), WIDTH, 1, EngineChoice::OnnxRuntime).err().unwrap()
}

#[test]
fn fixtures_are_those_of_the_manifest() {
    let manifest = json("manifest.json");
    let files = manifest["files"].as_object().unwrap();
    assert!(files.len() > 10);
    for (name, entry) in files {
        let digest = Sha256::digest(bytes(name)).iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        });
        assert_eq!(entry["sha256"], digest, "{name}");
    }
}

#[test]
fn a_good_model_says_its_width() {
    if ready() {
        assert_eq!(load("trees.onnx").width(), WIDTH);
    }
}

#[test]
fn wrong_width() {
    if ready() {
        let error = refusal("wrong_width.onnx");
        assert!(matches!(error, OnnxError::WrongWidth { expected: WIDTH, found: 5 }), "{error}");
        assert_eq!(error.to_string(), "the model takes 5 features; the plan has 6");
    }
}

#[test]
fn wrong_output_shape() {
    if ready() {
        let error = refusal("column_output.onnx");
        let expected = "the model's output has shape [N, 1]; [N] is expected, for any N";
        assert_eq!(error.to_string(), expected);
        assert!(matches!(error, OnnxError::PortShape { port: Port::Output, .. }));
    }
}

#[test]
fn fixed_batch() {
    if ready() {
        let error = refusal("fixed_batch.onnx");
        let expected = "the model's input has shape [4, 6]; [N, 6] is expected, for any N";
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn wrong_type() {
    if ready() {
        let error = refusal("double.onnx");
        assert!(matches!(error, OnnxError::PortType { port: Port::Input, .. }), "{error}");
        assert!(error.to_string().contains("f64"), "{error}");
    }
}

#[test]
fn wrong_names() {
    if ready() {
        let error = refusal("renamed.onnx");
        assert_eq!(error.to_string(), r#"the model's input is called "x"; "features" is expected"#);
    }
}

#[test]
fn two_inputs() {
    if ready() {
        let OnnxError::PortCount { port: Port::Input, found, .. } = refusal("two_inputs.onnx") else {
            panic!("another error")
        };
        assert_eq!(found, ["features", "offset"]);
    }
}

#[test]
fn external_data_names_the_tensor() {
    if ready() {
        let error = refusal("external_data.onnx");
        assert!(matches!(&error, OnnxError::ExternalData { tensor } if tensor == "weights"), "{error}");
    }
}

#[test]
fn bytes_that_are_no_model() {
    if ready() {
        let model = bytes("trees.onnx");
        let cases: [&[u8]; 5] = [b"", b"not a model", &[0xff; 64], &model[..model.len() / 2], &[0x0a; 9]];
        for case in cases {
            let error = OnnxModel::load(case, WIDTH, 1, EngineChoice::OnnxRuntime).err().unwrap();
            let known = matches!(error, OnnxError::ModelMalformed { .. } | OnnxError::ModelRefused { .. });
            assert!(known, "{error}");
        }
    }
}

#[test]
fn damaged_models_give_errors_and_nothing_worse() {
    if ready() {
        let good = bytes("logistic.onnx");
        let load =
            |damaged: &[u8]| OnnxModel::load_within(damaged, WIDTH, 1, EngineChoice::Best, Duration::from_secs(5));
        let refused = (0..good.len()).filter(|&place| {
            let mut damaged = good.clone();
            damaged[place] ^= [0x01, 0x80, 0xff][place % 3];
            load(&damaged).is_err()
        });
        let refused = refused.count();
        assert!(refused > good.len() / 3, "{refused} refused");
    }
}

#[test]
fn too_large() {
    if ready() {
        let error = OnnxModel::load(&vec![0; MAX_MODEL_BYTES + 1], WIDTH, 1, EngineChoice::Best).err().unwrap();
        assert!(matches!(error, OnnxError::ModelTooLarge { limit: MAX_MODEL_BYTES, .. }), "{error}");
    }
}

#[test]
fn no_width_and_no_sessions() {
    if ready() {
        for (width, sessions, expected) in [(0, 1, "width"), (WIDTH, 0, "sessions")] {
            let error =
                OnnxModel::load(&bytes("trees.onnx"), width, sessions, EngineChoice::OnnxRuntime).err().unwrap();
            assert!(matches!(error, OnnxError::Zero { name } if name == expected), "{error}");
        }
    }
}

#[test]
fn endless_model_is_stopped() {
    if ready() {
        // Enough to load it on any machine.
        let deadline = Duration::from_secs(3);
        let model = bytes("endless_loop.onnx");
        let error = OnnxModel::load_within(&model, WIDTH, 1, EngineChoice::Best, deadline).err().unwrap();
        let stopped = matches!(error, OnnxError::DeadlinePassed { stage: Stage::Check, .. });
        assert!(stopped, "{error}: {:?}", error.source());
    }
}
