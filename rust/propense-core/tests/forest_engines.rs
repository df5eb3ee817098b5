//! Forests: every engine and instruction set of the machine against the reference, to the bit.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod forests;

use forests::comparison::{compare, compiled, rows};
use forests::grower::grow;
use forests::shape::{Kind, PLAIN, Shape, shapes};
use forests::stump;
use propense_core::forest::{Aggregate, Ensemble, Node, Test, Weight};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn engines_agree_with_the_reference(shape in shapes(), seed in any::<u64>(), size in 1_usize..130) {
        let ensemble = grow(shape, seed);
        compare(&ensemble, &rows(&ensemble, 130, seed), &[size, 130]);
    }
}

#[test]
fn every_batch_size_gives_the_same_bits() {
    let shapes = [
        PLAIN,
        Shape { outputs: 3, many_weights: true, aggregate: Aggregate::Average, leaves: 64, ..PLAIN },
        Shape { kind: Kind::Oblivious, width: 35, plain: true, ..PLAIN },
        Shape { leaves: 300, trees: 5, ..PLAIN },
        // More columns of bins than a table of 256 has, and leaves for more than eight planes a tree.
        Shape { width: 220, trees: 30, leaves: 120, ..PLAIN },
    ];
    let sizes: Vec<usize> = (1..=130).collect();
    for (seed, shape) in shapes.into_iter().enumerate() {
        let ensemble = grow(shape, seed as u64);
        compare(&ensemble, &rows(&ensemble, 130, seed as u64), &sizes);
    }
}

#[test]
fn engines_suit_the_trees() {
    let engine = |shape| compiled(&grow(shape, 7)).engine().to_string();
    assert!(engine(PLAIN).starts_with("bitvector tiles"));
    assert!(engine(Shape { leaves: 400, ..PLAIN }).starts_with("walk"));
    assert!(engine(Shape { aggregate: Aggregate::Max, ..PLAIN }).starts_with("walk"));
}

#[test]
fn a_million_deep_chain_needs_no_stack() {
    let depth = 1_000_000;
    let mut nodes: Vec<Node> = (0..depth)
        .map(|node| Node::Branch {
            feature: 0,
            test: Test::LessEqual(node as f32),
            missing_goes_true: false,
            if_true: depth,
            if_false: node + 1,
        })
        .collect();
    nodes.push(Node::Leaf { first_weight: 0, weight_count: 1 });
    nodes.push(Node::Leaf { first_weight: 1, weight_count: 1 });
    // The last branch's other exit is the second leaf, so that the chain is no single set.
    if let Node::Branch { if_false, .. } = &mut nodes[depth as usize - 1] {
        *if_false = depth + 1;
    }
    for (node, end) in [(10, depth + 1), (20, depth)] {
        if let Node::Branch { feature, if_true, .. } = &mut nodes[node] {
            (*feature, *if_true) = (1, end);
        }
    }
    let weights = [1.5, 2.5].map(|value| Weight { output: 0, value }).to_vec();
    let ensemble = Ensemble {
        width: 2,
        outputs: 1,
        aggregate: Aggregate::Sum,
        base_values: vec![],
        roots: vec![0],
        nodes,
        members: vec![],
        weights,
    };
    let rows = [999_998.0, 100.0, 5e6, 100.0, f32::NAN, f32::NAN, 5e6, 3.0];
    compare(&ensemble, &rows, &[1, 4]);
}

#[test]
fn only_features_that_trees_read_are_read() {
    let forest = compiled(&stump());
    assert_eq!(forest.reads(), [true, false]);
    assert_eq!((forest.width(), forest.outputs()), (2, 1));
}
