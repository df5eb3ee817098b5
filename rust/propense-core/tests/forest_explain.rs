//! Contributions: the Shapley values of small trees by their definition, and sums of large ones.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod forests;

use forests::comparison::rows;
use forests::dice::Dice;
use forests::grower::grow;
use forests::shape::{Kind, PLAIN, Shape};
use forests::stump;
use propense_core::forest::{Aggregate, Ensemble, ExplainError, Explainer, Isa, Node, Test, reference};
use proptest::prelude::*;

const SMALL: Shape = Shape { width: 6, trees: 4, leaves: 12, thresholds: 12, ..PLAIN };

/// Covers of the nodes: by chance for leaves, sums for branches.
fn covers(ensemble: &Ensemble, seed: u64) -> Vec<f32> {
    let mut dice = Dice(seed ^ 0xc0e5);
    // Children come before their parents as the trees are grown.
    let mut covers: Vec<f32> = Vec::new();
    for node in &ensemble.nodes {
        covers.push(match *node {
            Node::Leaf { .. } => 1.0 + dice.below(40) as f32,
            Node::Branch { if_true, if_false, .. } => covers[if_true as usize] + covers[if_false as usize],
        });
    }
    covers
}

/// What a row is worth if the features of a set are known.
fn worth(ensemble: &Ensemble, covers: &[f32], node: u32, row: &[f32], known: usize) -> f64 {
    match ensemble.nodes[node as usize] {
        Node::Leaf { first_weight, weight_count } => {
            let weights = &ensemble.weights[first_weight as usize..][..weight_count as usize];
            weights.iter().map(|weight| f64::from(weight.value)).sum()
        }
        Node::Branch { feature, if_true, if_false, .. } => {
            let of = |child| worth(ensemble, covers, child, row, known);
            if known >> feature & 1 == 1 {
                return of(if passes(ensemble, node, row) { if_true } else { if_false });
            }
            let (yes, no) = (f64::from(covers[if_true as usize]), f64::from(covers[if_false as usize]));
            (yes * of(if_true) + no * of(if_false)) / (yes + no)
        }
    }
}

/// Asks the reference where a row goes: the branch alone, over leaves that say it.
fn passes(ensemble: &Ensemble, node: u32, row: &[f32]) -> bool {
    let Node::Branch { feature, test, missing_goes_true, .. } = ensemble.nodes[node as usize] else { return false };
    let mut asked = stump();
    asked.width = ensemble.width;
    asked.members.clone_from(&ensemble.members);
    asked.nodes[0] = Node::Branch { feature, test, missing_goes_true, if_true: 1, if_false: 2 };
    reference::score(&asked, row)[0] == 1.0
}

fn total(ensemble: &Ensemble, covers: &[f32], row: &[f32], known: usize) -> f64 {
    let sum: f64 = ensemble.roots.iter().map(|&root| worth(ensemble, covers, root, row, known)).sum();
    let sum = if ensemble.aggregate == Aggregate::Average { sum / ensemble.roots.len() as f64 } else { sum };
    sum + ensemble.base_values.first().map_or(0.0, |&base| f64::from(base))
}

/// Shapley values by their definition, over all sets of features.
fn shapley(ensemble: &Ensemble, covers: &[f32], row: &[f32]) -> Vec<f64> {
    let width = ensemble.width;
    let worths: Vec<f64> = (0..1 << width).map(|known| total(ensemble, covers, row, known)).collect();
    let factorial = |n: usize| (1..=n).map(|k| k as f64).product::<f64>();
    let weight = |size: usize| factorial(size) * factorial(width - size - 1) / factorial(width);
    (0..width)
        .map(|feature| {
            let without = (0..1_usize << width).filter(|set| set >> feature & 1 == 0);
            without.map(|set| weight(set.count_ones() as usize) * (worths[set | 1 << feature] - worths[set])).sum()
        })
        .collect()
}

fn compiled(ensemble: &Ensemble, covers: &[f32]) -> Explainer {
    Explainer::compile(ensemble, covers).unwrap_or_else(|error| panic!("{error}"))
}

fn compare(ensemble: &Ensemble, covers: &[f32], rows: &[f32]) {
    let explainer = compiled(ensemble, covers);
    let mut found = vec![f32::NAN; rows.len()];
    explainer.explain(rows, &mut found);
    for (row, found) in rows.chunks(ensemble.width).zip(found.chunks(ensemble.width)) {
        let expected = shapley(ensemble, covers, row);
        for (feature, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let difference = (f64::from(*found) - expected).abs();
            assert!(difference < 2e-6, "feature {feature}: {found}, by definition {expected}");
        }
        assert!((explainer.base() - total(ensemble, covers, row, 0)).abs() < 1e-6);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn contributions_are_shapley_values(
        seed in any::<u64>(),
        leaves in prop::sample::select(vec![1_usize, 2, 3, 8, 17]),
        width in prop::sample::select(vec![1_usize, 2, 3, 6, 8]),
        chain in any::<bool>(),
        average in any::<bool>(),
    ) {
        let kind = if chain { Kind::Chain } else { Kind::Bushy };
        let aggregate = if average { Aggregate::Average } else { Aggregate::Sum };
        let ensemble = grow(Shape { width, leaves, kind, aggregate, ..SMALL }, seed);
        let covers = covers(&ensemble, seed);
        match Explainer::compile(&ensemble, &covers) {
            Ok(_) => compare(&ensemble, &covers, &rows(&ensemble, 9, seed)),
            // A test that every value passes, or none, is no split, and its rows are missing from the sum.
            Err(error) => prop_assert!(matches!(error, ExplainError::Cover { .. }), "{error}"),
        }
    }
}

#[test]
fn any_test_is_explained() {
    let shape = Shape { plain: false, ..SMALL };
    let sound = (0..40_u64).filter(|&seed| {
        let ensemble = grow(shape, seed);
        let covers = covers(&ensemble, seed);
        Explainer::compile(&ensemble, &covers).map(|_| compare(&ensemble, &covers, &rows(&ensemble, 5, seed))).is_ok()
    });
    assert!(sound.count() > 10);
}

#[test]
fn contributions_of_a_large_forest_add_up_and_depend_neither_on_company_nor_on_instructions() {
    let shape = Shape { width: 60, trees: 40, leaves: 64, thresholds: 300, ..PLAIN };
    let mut ensemble = grow(shape, 5);
    for node in &mut ensemble.nodes {
        // Every number is at or below infinity, so that such a test would be no split.
        if let Node::Branch { test: Test::LessEqual(threshold), .. } = node {
            *threshold = threshold.min(1e30);
        }
    }
    let covers = covers(&ensemble, 5);
    let explainer = compiled(&ensemble, &covers);
    let rows = rows(&ensemble, 150, 5);
    let mut found = vec![f32::NAN; rows.len()];
    explainer.explain(&rows, &mut found);
    let scores = reference::score(&ensemble, &rows);
    for (score, found) in scores.iter().zip(found.chunks(shape.width)) {
        let sum = explainer.base() + found.iter().map(|value| f64::from(*value)).sum::<f64>();
        assert!((sum - f64::from(*score)).abs() < 1e-5, "{sum} {score}");
    }
    for isa in Isa::available() {
        let mut explainer = compiled(&ensemble, &covers);
        assert!(explainer.run_on(isa));
        let mut again = vec![f32::NAN; rows.len()];
        explainer.explain(&rows, &mut again);
        assert!(again.iter().zip(&found).all(|(one, other)| one.to_bits() == other.to_bits()), "{isa}");
    }
    for size in [1, 17, 64, 65] {
        let mut alone = vec![f32::NAN; rows.len()];
        for (rows, alone) in rows.chunks(size * shape.width).zip(alone.chunks_mut(size * shape.width)) {
            explainer.explain(rows, alone);
        }
        assert!(alone.iter().zip(&found).all(|(one, other)| one.to_bits() == other.to_bits()), "{size}");
    }
}

#[test]
fn long_paths_are_exact() {
    // 60 features, one after the other, as a chain: no subset is listed, but the sum and one value are known.
    let depth = 60_u32;
    let mut ensemble = stump();
    ensemble.width = depth as usize;
    ensemble.nodes = (0..depth)
        .map(|place| Node::Branch {
            feature: place,
            test: Test::LessEqual(0.0),
            missing_goes_true: false,
            if_true: place + 1,
            if_false: depth + 1 + place,
        })
        .chain((0..=depth).map(|leaf| Node::Leaf { first_weight: u32::from(leaf != 0), weight_count: 1 }))
        .collect();
    // The end of the chain is worth 3, every way out 0.
    ensemble.weights[0].value = 3.0;
    ensemble.weights[1].value = 0.0;
    let mut covers = vec![1.0; 2 * depth as usize + 1];
    for place in (0..depth as usize).rev() {
        covers[place] = covers[place + 1] + 1.0;
    }
    let explainer = compiled(&ensemble, &covers);
    let mut found = vec![0.0; depth as usize];
    explainer.explain(&vec![-1.0; depth as usize], &mut found);
    let sum: f64 = explainer.base() + found.iter().map(|value| f64::from(*value)).sum::<f64>();
    assert!((sum - 3.0).abs() < 1e-5, "{sum}");
    // By the definition, with the sums over sets by size: e_k of the others' shares.
    let shares: Vec<f64> = (0..depth as usize).map(|place| f64::from(covers[place + 1] / covers[place])).collect();
    for feature in [0, 30, 59] {
        let mut symmetric = vec![1.0];
        for (_, share) in shares.iter().enumerate().filter(|(place, _)| *place != feature) {
            // Known features count 1, the others their share: coefficients by how many are known.
            let mut next = vec![0.0; symmetric.len() + 1];
            for (size, value) in symmetric.iter().enumerate() {
                next[size + 1] += value;
                next[size] += value * share;
            }
            symmetric = next;
        }
        let n = f64::from(depth);
        let mut weight = 1.0 / n;
        let mut expected = 0.0;
        for (size, value) in symmetric.iter().enumerate() {
            expected += weight * value * 3.0 * (1.0 - shares[feature]);
            weight *= (size as f64 + 1.0) / (n - size as f64 - 1.0);
        }
        assert!((f64::from(found[feature]) - expected).abs() < 1e-6, "{feature}: {} {expected}", found[feature]);
    }
}

#[test]
fn what_cannot_be_explained_says_why() {
    let refused = |ensemble: &Ensemble, covers: &[f32]| Explainer::compile(ensemble, covers).unwrap_err().to_string();
    let plain = stump();
    assert!(refused(&plain, &[3.0, 1.0]).contains("2 covers are given for 3 nodes"));
    assert!(refused(&plain, &[1.0, 1.0, 1.0]).contains("node 0 has the cover 1"));
    for cover in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(refused(&plain, &[cover + 2.0, cover, 2.0]).contains("does not fit"), "{cover}");
    }
    assert!(refused(&Ensemble { aggregate: Aggregate::Max, ..plain.clone() }, &[3.0, 1.0, 2.0]).contains("sum"));
    assert!(refused(&Ensemble { roots: vec![7], ..plain.clone() }, &[3.0, 1.0, 2.0]).contains("starts at node 7"));
    let mut twice = plain;
    twice.roots = vec![0, 0];
    assert!(refused(&twice, &[3.0, 1.0, 2.0]).contains("several parents"));
}
