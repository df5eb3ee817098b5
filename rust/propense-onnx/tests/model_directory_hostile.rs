//! A model directory that is not what was saved is refused, and the message names the file.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod copies;
mod fixtures;

use std::fs;

use copies::{Copy, FILES};
use fixtures::{bytes, json as fixture, numbers, ready};
use propense_onnx::{ModelDirectory, ModelDirectoryError as Error, OnnxError};
use serde_json::{Value, json};

#[test]
fn flipped_bytes_are_found() {
    for name in FILES {
        let copy = Copy::new();
        let whole = copy.bytes(name);
        for place in (0..whole.len()).step_by(whole.len().div_ceil(200)).chain([whole.len() - 1]) {
            let mut damaged = whole.clone();
            damaged[place] ^= [0x01, 0x80, 0xff][place % 3];
            copy.write(name, damaged);
            copy.assert_refused(&[name]);
        }
    }
}

#[test]
fn cut_and_longer_files_are_found() {
    for name in FILES {
        let copy = Copy::new();
        let whole = copy.bytes(name);
        for length in (0..whole.len()).step_by(whole.len().div_ceil(50)).chain([whole.len() - 1]) {
            copy.write(name, &whole[..length]);
            copy.assert_refused(&[name]);
        }
        copy.write(name, [&whole[..], b" "].concat());
        copy.assert_refused(&[name]);
    }
}

#[test]
fn missing_files_and_folders_in_their_place() {
    for name in FILES {
        let copy = Copy::new();
        fs::remove_file(copy.file(name)).unwrap();
        copy.assert_refused(&[name, "cannot be read"]);
        fs::create_dir(copy.file(name)).unwrap();
        assert!(matches!(copy.refusal(), Error::NotAFile { found: "no file", .. }));
        copy.assert_refused(&[name]);
    }
}

#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    for name in FILES {
        let copy = Copy::new();
        fs::rename(copy.file(name), copy.file("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", copy.file(name)).unwrap();
        copy.assert_refused(&[name, "is a link"]);
    }
}

#[test]
fn files_that_are_too_large_are_not_read() {
    for (name, limit) in FILES.into_iter().zip([16_u64, 256, 64, 64, 64]) {
        let copy = Copy::new();
        // A hole, which takes no room on disk.
        fs::File::options().write(true).open(copy.file(name)).unwrap().set_len((limit << 20) + 1).unwrap();
        copy.assert_refused(&[name, "is larger than"]);
    }
}

#[test]
fn folders_that_are_no_models() {
    let copy = Copy::new();
    for folder in [copy.root.path().join("absent"), copy.root.path().to_owned(), copy.file("model.onnx")] {
        let error = ModelDirectory::load(&folder).err().unwrap();
        assert!(matches!(error, Error::NoModel { .. }), "{error}");
        assert!(error.to_string().starts_with(&*folder.to_string_lossy()), "{error}");
    }
    let deep = [&b"[".repeat(100_000)[..], b"]"].concat();
    let manifests: [&[u8]; 9] = [b"", b"{}", b"[]", b"null", b"{", b"\xff", b"{\"format\": 2}", b"\"a\"", &deep];
    for manifest in manifests {
        copy.write("manifest.json", manifest);
        copy.assert_refused(&["manifest.json"]);
    }
    copy.write("manifest.json", b"{\"format\": 1}");
    copy.assert_refused(&["format 1; this version reads 2: train again"]);
}

#[test]
fn files_of_another_model_are_refused() {
    for name in &FILES[1..] {
        let copy = Copy::new();
        copy.write(name, bytes(if *name == "model.onnx" { "logistic.onnx" } else { "buys_again/model.onnx" }));
        assert!(matches!(copy.refusal(), Error::Checksum { .. }));
        copy.assert_refused(&[name, "does not match the manifest"]);
    }
}

#[test]
fn an_edited_manifest_is_refused() {
    let copy = Copy::new();
    let text = String::from_utf8(copy.bytes("manifest.json")).unwrap();
    let stated = serde_json::from_str::<Value>(&text).unwrap()["sha256"]["manifest.json"].as_str().unwrap().to_owned();
    let edits = [
        text.replace("'30d'", "'60d'"),
        text.replace('\n', "\r\n"),
        text.replace(&stated, &"0".repeat(64)),
        text.replace(&stated, &stated.to_uppercase()),
        text.replace(&stated, ""),
        // Named twice, it would cover for any change of the second place.
        text.replace("\"lightgbm\"", &format!("\"{stated}\"")),
        text.replace("  \"engine\"", "  \"Engine\""),
    ];
    for edited in edits {
        assert_ne!(edited, text);
        copy.write("manifest.json", edited);
        copy.assert_refused(&["manifest.json"]);
    }
}

type Change = fn(&mut Value);

/// A manifest that someone wrote, checksums and all, is still held to what it says.
#[test]
fn sealed_manifests_that_do_not_fit_are_refused() {
    if !ready() {
        return;
    }
    let copy = Copy::new();
    copy.reseal(|_| ());
    assert!(ModelDirectory::load(copy.folder()).is_ok());
    let cases: [(&str, Change); 24] = [
        ("fingerprint", |m| m["fingerprint"] = "0".repeat(64).into()),
        ("fingerprint", |m| m["plan"]["features"][0]["expression"] = "count(*, '1d')".into()),
        ("fingerprint", |m| m["plan"]["features"].as_array_mut().unwrap().reverse()),
        ("fingerprint", |m| m["plan"]["timezone"] = "Asia/Tokyo".into()),
        ("fingerprint", |m| m["plan"]["vocabularies"]["país"][0] = "FR".into()),
        ("missing field `features`", |m| m["plan"] = json!({})),
        ("model.onnx does not match", |m| m["sha256"]["model.onnx"] = "0".repeat(64).into()),
        ("model.onnx does not match the manifest: expected sha256 none", |m| m["sha256"] = json!({})),
        ("goal.horizon", |m| m["goal"]["horizon"] = "soon".into()),
        ("goal.name", |m| m["goal"]["name"] = "../x".into()),
        ("goal.audience.active_within", |m| m["goal"]["audience"]["active_within"] = "1d') OR (1=1".into()),
        ("parse", |m| m["goal"]["when"] = "count(".into()),
        ("hrizon", |m| m["goal"]["hrizon"] = "9d".into()),
        ("sideways", |m| m["goal"]["direction"] = "sideways".into()),
        ("tiers.cut_offs", |m| m["tiers"]["cut_offs"] = Value::Null),
        ("tiers.cut_offs", |m| m["tiers"]["cut_offs"]["most_likely_from"] = "high".into()),
        ("best", |m| m["tiers"]["policy"] = "best".into()),
        ("tiers", |m| m["tiers"]["most"] = 0.9.into()),
        ("tiers", |m| m["tiers"]["floor"] = 0.9.into()),
        ("columns.properties: \"gift\" is read, but", |m| {
            m["columns"]["properties"] = json!({"amount": "number", "category": "text", "due": "time"});
        }),
        ("columns.attributes: \"plan\" is read by nothing", |m| m["columns"]["attributes"]["plan"] = "text".into()),
        ("years", |m| m["columns"]["attributes"]["age"] = "years".into()),
        ("extra", |m| m["extra"] = 1.into()),
        ("as_of_us", |m| drop(m.as_object_mut().unwrap().remove("as_of_us"))),
    ];
    for (message, change) in cases {
        let copy = Copy::new();
        copy.reseal(change);
        copy.assert_refused(&[message]);
    }
}

/// `trees.onnx` with another number added to its logit.
fn shifted_model(intercept: f32) -> Vec<u8> {
    let mut model = bytes("trees.onnx");
    let old = (-0.7_f32).to_le_bytes();
    let places: Vec<usize> = (0..model.len() - 3).filter(|place| model[*place..place + 4] == old).collect();
    assert_eq!(places.len(), 1);
    model[places[0]..places[0] + 4].copy_from_slice(&intercept.to_le_bytes());
    model
}

#[test]
fn a_model_that_gives_other_scores_or_tiers_is_refused() {
    if !ready() {
        return;
    }
    let copy = Copy::new();
    copy.replace("model.onnx", &shifted_model(-0.699));
    assert!(matches!(copy.refusal(), Error::Scores { difference, .. } if (1e-5..1e-3).contains(&difference)));
    // All scores rise by less than is allowed, one of them over the cut-off.
    copy.replace("model.onnx", &shifted_model(-0.7 + 2e-6));
    assert!(ModelDirectory::load(copy.folder()).is_ok());
    let expected = numbers(&fixture("ranks.json")["check_scores"]);
    let middle = expected.into_iter().find(|score| (0.3..0.6).contains(score)).unwrap();
    copy.reseal(|m| m["tiers"]["cut_offs"]["most_likely_from"] = f64::from(middle.next_up()).into());
    assert!(matches!(copy.refusal(), Error::TiersFlipped { rows, .. } if rows >= 1));
}

#[test]
fn an_onnx_file_that_does_not_fit_is_refused() {
    if !ready() {
        return;
    }
    let copy = Copy::new();
    copy.replace("model.onnx", &bytes("wrong_width.onnx"));
    assert!(matches!(copy.refusal(), Error::Onnx { source: OnnxError::WrongWidth { .. }, .. }));
    // It gives no score where a feature is missing, as one is in the check rows.
    copy.replace("model.onnx", &bytes("logistic.onnx"));
    assert!(matches!(copy.refusal(), Error::Onnx { source: OnnxError::NonFiniteScore { .. }, .. }));
    copy.replace("model.onnx", b"no model at all");
    copy.assert_refused(&["model.onnx"]);
}

#[test]
fn tables_that_hold_something_else_are_refused() {
    for (name, other) in
        [("checks.arrow", "audience.arrow"), ("audience.arrow", "test.arrow"), ("test.arrow", "audience.arrow")]
    {
        let copy = Copy::new();
        copy.replace(name, &copy.bytes(other));
        copy.assert_refused(&[name, "does not hold what a model holds", "column"]);
        copy.replace(name, b"ARROW1 no");
        copy.assert_refused(&[name, "no Arrow IPC file"]);
    }
}
