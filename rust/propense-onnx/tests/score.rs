//! Scores are those of Python's onnxruntime, and a row's is the same in any company.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod fixtures;

use std::thread;
use std::time::Duration;

use fixtures::{WIDTH, bits, json, load, numbers, ready, rows, scores, scores_alone};
use propense_onnx::{BLOCK_ROWS, Difference, Invariance, OnnxError};

const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn scores_are_those_of_python() {
    if ready() {
        let expected = json("expected.json");
        for (name, case) in expected.as_object().unwrap() {
            let found = scores(&load(&format!("{name}.onnx")), &numbers(&case["rows"]));
            let wanted = numbers(&case["scores"]);
            assert!(found.len() >= 40 && found.len() == wanted.len(), "{name}");
            for (row, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                assert!((found - wanted).abs() <= 1e-6, "{name} row {row}: {found} for {wanted}");
            }
        }
    }
}

#[test]
fn one_row_equals_many() {
    if ready() {
        for name in ["trees.onnx", "logistic.onnx", "linear.onnx", "logarithm.onnx"] {
            let model = load(name);
            let rows = rows(2 * BLOCK_ROWS + 37, name == "trees.onnx");
            let alone = bits(&scores_alone(&model, &rows));
            assert_eq!(bits(&scores(&model, &rows)), alone, "{name}");
            for first in [1, 5, 300] {
                let part = bits(&scores(&model, &rows[first * WIDTH..]));
                assert_eq!(part, alone[first..], "{name} from row {first}");
            }
        }
    }
}

#[test]
fn threads_equal_sequence() {
    if ready() {
        let model = load("trees.onnx");
        let rows = rows(997, true);
        let wanted = bits(&scores(&model, &rows));
        let score_parts = |thread: usize| {
            for call in 0..100 {
                let first = (thread * 131 + call * 17) % 900;
                let last = (first + 1 + call).min(997);
                let found = bits(&scores(&model, &rows[first * WIDTH..last * WIDTH]));
                assert_eq!(found, wanted[first..last], "rows {first} to {last}");
            }
        };
        // More threads than sessions, so that some of them wait.
        thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || score_parts(thread));
            }
        });
    }
}

#[test]
fn trees_are_batch_invariant() {
    if ready() {
        assert_eq!(load("trees.onnx").invariance(), Invariance::Invariant);
    }
}

#[test]
fn a_model_that_mixes_rows_is_found_out_and_scored_row_by_row() {
    if ready() {
        let model = load("batch_mean.onnx");
        let Invariance::Variant(found) = model.invariance() else { panic!("the probe saw no difference") };
        assert_ne!(found.alone.to_bits(), found.in_batch.to_bits());
        let rows = rows(50, false);
        assert_eq!(bits(&scores(&model, &rows)), bits(&scores_alone(&model, &rows)));
        // Alone, a row's mean is the row itself.
        for (row, score) in rows.chunks(WIDTH).zip(scores(&model, &rows)) {
            assert!((score - 1.0 / (1.0 + (-2.0 * row[0]).exp())).abs() < 1e-6);
        }
    }
}

#[test]
fn the_probe_names_the_row_and_its_batch() {
    if ready() {
        let model = load("batch_mean.onnx");
        // Rows of equal first features keep their mean until the fourth row joins in.
        let mut rows = vec![1.0; 6 * WIDTH];
        rows[3 * WIDTH] = -1.0;
        let Invariance::Variant(found) = model.batch_invariant(&rows, DEADLINE).unwrap() else {
            panic!("the probe saw no difference")
        };
        let Difference { row, batch_rows, offset, .. } = found;
        assert_eq!((row, batch_rows, offset), (2, 2, 0));
        let equal = model.batch_invariant(&rows[..3 * WIDTH], DEADLINE).unwrap();
        assert_eq!(equal, Invariance::Invariant);
    }
}

#[test]
fn no_rows_give_no_scores() {
    if ready() {
        load("trees.onnx").score(&[], &mut []).unwrap();
    }
}

#[test]
fn rows_and_scores_must_fit() {
    if ready() {
        let model = load("trees.onnx");
        let error = model.score(&[0.0; 2 * WIDTH + 1], &mut [0.0; 2]).unwrap_err();
        assert_eq!(error.to_string(), "13 values were given for 2 rows of 6 features; 12 are expected");
        let error = model.batch_invariant(&[0.0; WIDTH + 1], DEADLINE).unwrap_err();
        assert!(matches!(error, OnnxError::RowsLength { rows: 1, found: 7, .. }), "{error}");
    }
}

#[test]
fn a_score_that_is_no_number_names_its_row() {
    if ready() {
        let model = load("nan_score.onnx");
        let mut rows = vec![2.0; (BLOCK_ROWS + 9) * WIDTH];
        let zero = BLOCK_ROWS + 4;
        rows[zero * WIDTH] = 0.0;
        let error = model.score(&rows, &mut vec![0.0; BLOCK_ROWS + 9]).unwrap_err();
        assert!(matches!(error, OnnxError::NonFiniteScore { row, score } if row == zero && score.is_nan()));
        // The session came back: the next call is served.
        assert_eq!(scores(&model, &rows[..2 * WIDTH]), [1.0, 1.0]);
    }
}
