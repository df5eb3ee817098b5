//! Forests: what makes no sense is refused with its place, and nothing harms.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod forests;

use std::collections::BTreeSet;

use forests::comparison::compare;
use forests::dice::Dice;
use forests::grower::grow;
use forests::shape::{Shape, shapes};
use forests::stump;
use propense_core::forest::{Ensemble, Forest, Node, Test, Weight};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn anything_is_run_or_refused(shape in shapes(), seed in any::<u64>(), harm in 0_usize..12) {
        let mut ensemble = grow(Shape { leaves: shape.leaves.min(20), trees: 3, ..shape }, seed);
        break_something(&mut ensemble, harm, &mut Dice(seed));
        if let Ok(forest) = Forest::compile(&ensemble) {
            let rows = vec![0.5; 70 * ensemble.width];
            forest.score(&rows, &mut vec![0.0; 70 * ensemble.outputs]);
        }
    }
}

fn break_something(ensemble: &mut Ensemble, harm: usize, dice: &mut Dice) {
    let wild = dice.pick(&[0, 1, 5, 1 << 20, u32::MAX - 1, u32::MAX]);
    let place = dice.below(ensemble.nodes.len());
    match (harm, &mut ensemble.nodes[place]) {
        (0, Node::Branch { if_true, .. }) => *if_true = wild,
        (1, Node::Branch { if_false, .. }) => *if_false = wild,
        (2, Node::Branch { if_true, .. }) => *if_true = place as u32,
        (3, Node::Branch { feature, .. }) => *feature = wild,
        (4, Node::Branch { test, .. }) => *test = Test::LessEqual(f32::NAN),
        (5, Node::Branch { test, .. }) => *test = Test::Member { first: wild, count: u32::MAX },
        (6, Node::Leaf { first_weight, .. }) => *first_weight = wild,
        (7, Node::Leaf { weight_count, .. }) => *weight_count = wild,
        (8, _) => ensemble.outputs = wild as usize,
        (9, _) => ensemble.width = (wild as usize).max(1),
        (10, _) => ensemble.roots.push(wild),
        _ => ensemble.weights.clear(),
    }
}

fn stump_with(test: Test, if_false: u32, feature: u32) -> Ensemble {
    let mut ensemble = stump();
    ensemble.nodes[0] = Node::Branch { feature, test, missing_goes_true: false, if_true: 1, if_false };
    ensemble
}

#[test]
fn bad_ensembles_are_refused_with_the_place() {
    let t = Test::LessEqual(1.0);
    let cases = [
        (stump_with(t, 0, 0), "cycle through node 0"),
        (stump_with(t, 9, 0), "node 0 leads to node 9"),
        (stump_with(t, 2, 2), "reads feature 2"),
        (stump_with(Test::Less(f32::NAN), 2, 0), "node 0 compares with NaN"),
        (stump_with(Test::Member { first: 0, count: 1 }, 2, 0), "names members 0..0+1"),
        (Ensemble { members: vec![f32::NAN], ..stump_with(Test::Member { first: 0, count: 1 }, 2, 0) }, "NaN"),
        (Ensemble { roots: vec![3], ..stump() }, "tree 0 starts at node 3"),
        (Ensemble { roots: vec![], ..stump() }, "no trees"),
        (Ensemble { width: 0, ..stump() }, "no features"),
        (Ensemble { outputs: 0, ..stump() }, "no outputs"),
        (Ensemble { base_values: vec![0.0; 2], ..stump() }, "2 base values for 1 outputs"),
        (Ensemble { base_values: vec![f32::INFINITY], ..stump() }, "base value 0 is inf"),
        (Ensemble { weights: vec![Weight { output: 0, value: 1.0 }], ..stump() }, "leaf 2 names weights 1..1+1"),
        (Ensemble { weights: vec![Weight { output: 1, value: 1.0 }; 2], ..stump() }, "weight 0 is for output 1"),
        (Ensemble { weights: vec![Weight { output: 0, value: f32::NAN }; 2], ..stump() }, "weight 0 is NaN"),
        (Ensemble { width: usize::MAX, ..stump() }, "at most"),
        (Ensemble { outputs: usize::MAX, ..stump() }, "at most"),
        (Ensemble { roots: vec![0; 2_000_000], ..stump() }, "at most"),
    ];
    let mut messages = BTreeSet::new();
    for (ensemble, expected) in cases {
        let message = Forest::compile(&ensemble).expect_err(expected).to_string();
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
        messages.insert(message);
    }
    assert!(messages.len() > 15, "errors tell cases apart");
}

#[test]
fn a_long_cycle_is_refused() {
    let mut ensemble = stump();
    let next = |node: u32| Node::Branch {
        feature: 0,
        test: Test::Less(0.0),
        missing_goes_true: true,
        if_true: 1,
        if_false: (node + 1) % 1000 + 3,
    };
    ensemble.nodes.extend((0..1000).map(next));
    ensemble.roots = vec![0, 500];
    let message = Forest::compile(&ensemble).expect_err("a cycle").to_string();
    assert!(message.starts_with("tree 1 has a cycle"), "{message}");
}

#[test]
fn members_shared_by_many_nodes_do_not_multiply() {
    let mut ensemble = stump_with(Test::Member { first: 0, count: 100_000 }, 2, 0);
    ensemble.members = (0..100_000).map(|member| member as f32 * 2.0).collect();
    compare(&ensemble, &[4.0, 0.0, 5.0, 0.0, f32::NAN, 0.0, 199_998.0, 0.0], &[1, 4]);
    let node = ensemble.nodes[0];
    ensemble.nodes.extend(std::iter::repeat_n(node, 1000));
    assert!(Forest::compile(&ensemble).expect_err("too many").to_string().contains("named members"));
}
