//! Random ensembles, and the comparison of the engines with the reference.

pub mod comparison;
pub mod dice;
pub mod grower;
pub mod shape;

use propense_core::forest::{Aggregate, Ensemble, Node, Test, Weight};

/// One branch over two leaves.
pub fn stump() -> Ensemble {
    Ensemble {
        width: 2,
        outputs: 1,
        aggregate: Aggregate::Sum,
        base_values: vec![],
        roots: vec![0],
        nodes: vec![
            Node::Branch { feature: 0, test: Test::LessEqual(1.0), missing_goes_true: false, if_true: 1, if_false: 2 },
            Node::Leaf { first_weight: 0, weight_count: 1 },
            Node::Leaf { first_weight: 1, weight_count: 1 },
        ],
        members: vec![],
        weights: vec![Weight { output: 0, value: 1.0 }, Weight { output: 0, value: 2.0 }],
    }
}
