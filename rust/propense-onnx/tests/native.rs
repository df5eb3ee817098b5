//! Models of trees score natively, with the same bits in any batch; others say why they do not.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod fixtures;

use fixtures::{WIDTH, bytes, load, ready};
use propense_onnx::{Lowered, NativeModel};

fn native(name: &str) -> NativeModel {
    match NativeModel::load(&bytes(name), WIDTH).unwrap() {
        Lowered::Native(model) => *model,
        Lowered::Unsupported(why) => panic!("{name}: {why}"),
    }
}

/// Rows of small numbers, a missing value in every fifth place.
fn rows(count: usize) -> Vec<f32> {
    let value = |place: usize| if place % 5 == 3 { f32::NAN } else { (place * 37 % 101) as f32 / 10.0 - 5.0 };
    (0..count * WIDTH).map(value).collect()
}

#[test]
fn trees_give_the_scores_of_onnx_runtime() {
    if ready() {
        let rows = rows(1_000);
        let (mut found, mut expected) = (vec![0.0; 1_000], vec![0.0; 1_000]);
        native("trees.onnx").score(&rows, &mut found);
        load("trees.onnx").score(&rows, &mut expected).unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() <= 1e-6, "{found} {expected}");
        }
    }
}

#[test]
fn a_row_has_the_same_bits_in_any_batch() {
    let model = native("trees.onnx");
    let rows = rows(700);
    let mut whole = vec![0.0; 700];
    model.score(&rows, &mut whole);
    for size in [1, 2, 63, 64, 65, 513] {
        let mut parts = vec![0.0; 700];
        for (rows, scores) in rows.chunks(size * WIDTH).zip(parts.chunks_mut(size)) {
            model.score(rows, scores);
        }
        let bits = |scores: &[f32]| scores.iter().map(|score| score.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&parts), bits(&whole), "{size}");
    }
}

#[test]
fn what_has_no_trees_says_so() {
    for name in ["linear.onnx", "logistic.onnx", "two_inputs.onnx", "renamed.onnx", "double.onnx"] {
        let lowered = NativeModel::load(&bytes(name), WIDTH).unwrap();
        assert!(matches!(&lowered, Lowered::Unsupported(why) if !why.to_string().is_empty()), "{name}");
    }
}

#[test]
fn another_width_is_left_to_onnx_runtime() {
    let lowered = NativeModel::load(&bytes("trees.onnx"), WIDTH + 1).unwrap();
    assert!(matches!(lowered, Lowered::Unsupported(_)));
}

#[test]
fn every_cut_and_flip_of_a_file_is_survived() {
    let whole = bytes("trees.onnx");
    let step = (whole.len() / 60).max(1);
    for place in (0..whole.len()).step_by(step) {
        drop(NativeModel::load(&whole[..place], WIDTH));
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[place] ^= flip;
            if let Ok(Lowered::Native(model)) = NativeModel::load(&damaged, WIDTH) {
                model.score(&rows(3), &mut [0.0; 3]);
            }
        }
    }
}

#[test]
fn scores_change_only_at_the_thresholds() {
    let model = native("trees.onnx");
    let thresholds = model.thresholds().unwrap();
    assert_eq!(thresholds.len(), WIDTH);
    let score = |row: &[f32]| {
        let mut scores = [0.0];
        model.score(row, &mut scores);
        scores[0].to_bits()
    };
    let mut changed = 0;
    for row in rows(100).chunks_exact(WIDTH) {
        for (feature, steps) in thresholds.iter().enumerate() {
            assert!(steps.is_sorted() && (model.reads()[feature] || steps.is_empty()));
            let around = steps.iter().flat_map(|&step| [step.next_down(), step, step.next_up()]);
            let mut probes: Vec<f32> = around.chain([f32::MIN, -1.0, 0.0, 1.0, f32::MAX]).collect();
            probes.sort_unstable_by(f32::total_cmp);
            for pair in probes.windows(2) {
                let with = |value: f32| {
                    let mut row = row.to_vec();
                    row[feature] = value;
                    score(&row)
                };
                let crosses = steps.iter().any(|&step| pair[0] < step && step <= pair[1]);
                assert!(crosses || with(pair[0]) == with(pair[1]), "feature {feature} from {} to {}", pair[0], pair[1]);
                changed += usize::from(with(pair[0]) != with(pair[1]));
            }
        }
    }
    assert!(changed > 0);
}

#[test]
fn trees_without_the_rows_of_their_nodes_are_not_explained() {
    let model = native("trees.onnx");
    let why = model.explainer().unwrap_err().to_string();
    assert!(why.contains("does not say how many training rows came by each node"), "{why}");
    assert!(model.explainer().is_err());
}
