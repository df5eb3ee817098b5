//! A model directory gives what Python saved: plan, goal, scores, percentiles and tiers.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod copies;
mod fixtures;

use std::collections::BTreeMap;
use std::fs;

use copies::{Copy, original, sha256};
use fixtures::{bits, bytes, json, load, numbers, ready, rows, scores};
use propense_core::events::ColumnKind;
use propense_onnx::{CutOffs, Direction, LoadedModel, ModelDirectory, ModelDirectoryError, Tier, TierPolicy};
use serde_json::{Value, json};

fn loaded() -> LoadedModel {
    ModelDirectory::load(original()).unwrap()
}

#[test]
fn what_the_manifest_says_is_there() {
    if !ready() {
        return;
    }
    let model = loaded();
    assert_eq!(model.name, "buys_again");
    assert_eq!(model.goal.when, "count(purchase) FILTER (WHERE amount > 1.5) >= 1");
    assert_eq!((model.goal.horizon.as_str(), model.goal.horizon_us), ("30d", 30 * 86_400_000_000));
    assert_eq!(model.goal.direction, Direction::Encourage);
    assert_eq!(model.audience, ["count(*, '365d') >= 1", "attr(age) >= 18"]);
    assert_eq!(model.timezone(), "Europe/London");
    assert_eq!(model.as_of_us, 1_717_196_400_000_000);
    assert_eq!(model.spec.features.len(), 6);
    assert_eq!(model.spec.features[5].name, "cafés");
    assert_eq!(model.spec.vocabularies["país"], ["DE", "España", "GB"]);
    assert_eq!(model.tier_policy, TierPolicy::Quantile { most: 0.2, least: 0.2 });
    assert_eq!(model.metrics["auc"]["value"], 0.71);
    assert_eq!(model.training["rows"], 1_500);
    let kinds = |pairs: &[(&str, ColumnKind)]| -> BTreeMap<String, ColumnKind> {
        pairs.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
    };
    let (number, text) = (ColumnKind::Number, ColumnKind::Text);
    let properties = [("amount", number), ("category", text), ("due", ColumnKind::Time), ("gift", ColumnKind::Boolean)];
    assert_eq!(model.columns.properties, kinds(&properties));
    assert_eq!(model.columns.attributes, kinds(&[("age", number), ("country", text)]));
}

#[test]
fn the_digest_is_that_of_the_manifest() {
    if ready() {
        let expected = sha256(bytes("buys_again/manifest.json"));
        assert_eq!(loaded().digest, expected);
        assert_eq!(ModelDirectory::digest(original()).unwrap(), expected);
    }
}

#[test]
fn scores_are_those_of_its_onnx_file() {
    if ready() {
        let model = loaded();
        assert!(model.onnx.native().is_ok());
        let rows = rows(300, true);
        for (found, expected) in scores(&model.onnx, &rows).iter().zip(scores(&load("trees.onnx"), &rows)) {
            assert!((found - expected).abs() <= 1e-6, "{found} {expected}");
        }
    }
}

/// `ranks.json` has what Python gives: scores at every edge, and a hair below and above.
#[test]
fn percentiles_and_tiers_are_python_s_to_the_bit() {
    if !ready() {
        return;
    }
    let (model, ranks) = (loaded(), json("ranks.json"));
    let scores = numbers(&ranks["scores"]);
    assert!(scores.len() > 50);
    let percentiles: Vec<f32> = scores.iter().map(|score| model.percentile(*score)).collect();
    assert_eq!(bits(&percentiles), bits(&numbers(&ranks["percentiles"])));
    let tiers: Vec<&str> = scores.iter().map(|score| model.tier(*score).name()).collect();
    assert_eq!(Value::from(tiers), ranks["tiers"]);
    assert_eq!(model.percentile(f32::NAN), 100.0);
}

#[test]
fn policies_are_read_and_their_cut_offs_are_frozen() {
    if !ready() {
        return;
    }
    let cases = [
        (json!({"policy": "quantile", "most": 0, "least": 1}), TierPolicy::Quantile { most: 0.0, least: 1.0 }),
        (
            json!({"policy": "probability", "most": 0.75, "least": 0.5}),
            TierPolicy::Probability { most: 0.75, least: 0.5 },
        ),
        (json!({"policy": "capacity", "most": 50, "least": 0.2}), TierPolicy::Capacity { most: 50, least: 0.2 }),
        (
            json!({"policy": "precision", "least": 0.2, "precision": 0.9}),
            TierPolicy::Precision { precision: 0.9, least: 0.2 },
        ),
    ];
    for (mut stated, policy) in cases {
        let copy = Copy::new();
        // The nearest float32 of either lies below it; a score that equals that is at the cut-off all the same.
        stated["cut_offs"] = json!({"most_likely_from": 0.9, "least_likely_below": 0.7});
        copy.reseal(|manifest| manifest["tiers"] = stated);
        let model = ModelDirectory::load(copy.folder()).unwrap();
        assert_eq!(model.tier_policy, policy);
        assert_eq!(model.cut_offs, CutOffs { most: 0.9, least: 0.7 });
        let tiers = [0.9_f32, 0.9_f32.next_down(), 0.7, 0.7_f32.next_down()].map(|score| model.tier(score));
        assert_eq!(tiers, [Tier::MostLikely, Tier::ModeratelyLikely, Tier::ModeratelyLikely, Tier::LeastLikely]);
    }
}

#[test]
fn models_under_a_root_are_listed_by_name() {
    let copy = Copy::new();
    let root = copy.root.path();
    for name in ["b.2", "a-1_", ".hidden", "no model", "é", "empty"] {
        fs::create_dir(root.join(name)).unwrap();
        if name != "empty" {
            fs::copy(copy.file("manifest.json"), root.join(name).join("manifest.json")).unwrap();
        }
    }
    fs::write(root.join("file"), "").unwrap();
    assert_eq!(ModelDirectory::list(root).unwrap(), ["a-1_", "b.2", "copy"]);
    assert_eq!(ModelDirectory::find(root, "b.2").unwrap(), root.join("b.2"));
    for name in ["", ".", "..", ".hidden", "../copy", "copy/", "a/b", "a\\b", "no model", "é", "a\0", &"a".repeat(129)]
    {
        let error = ModelDirectory::find(root, name).err().unwrap();
        assert!(matches!(&error, ModelDirectoryError::Name { name: found } if found == name), "{error}");
    }
    for name in ["absent", "file"] {
        let error = ModelDirectory::find(root, name).err().unwrap();
        assert!(matches!(error, ModelDirectoryError::Unknown { .. }), "{error}");
    }
    let error = ModelDirectory::list(root.join("absent")).err().unwrap();
    assert!(matches!(error, ModelDirectoryError::Root { .. }), "{error}");
}

#[cfg(unix)]
#[test]
fn links_do_not_lead_out_of_a_root() {
    use std::os::unix::fs::symlink;
    let (copy, elsewhere) = (Copy::new(), Copy::new());
    let root = copy.root.path();
    symlink(elsewhere.folder(), root.join("outside")).unwrap();
    symlink(root, root.join("itself")).unwrap();
    symlink("..", root.join("parent")).unwrap();
    symlink("nowhere", root.join("broken")).unwrap();
    symlink("copy", root.join("current")).unwrap();
    assert_eq!(ModelDirectory::list(root).unwrap(), ["copy", "current"]);
    for name in ["outside", "itself", "parent", "broken"] {
        let error = ModelDirectory::find(root, name).err().unwrap();
        assert!(matches!(error, ModelDirectoryError::Unknown { .. }), "{error}");
    }
}
