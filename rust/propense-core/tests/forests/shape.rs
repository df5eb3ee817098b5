//! What kind of trees to grow, by chance or plain.

use propense_core::forest::Aggregate;
use proptest::prelude::*;

/// What kind of trees to grow.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub width: usize,
    pub outputs: usize,
    pub trees: usize,
    pub leaves: usize,
    pub kind: Kind,
    /// Different thresholds a feature has, about.
    pub thresholds: usize,
    /// Only `<=`, as trainers write it, or any test.
    pub plain: bool,
    pub aggregate: Aggregate,
    /// Weights for several outputs in a leaf.
    pub many_weights: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Bushy,
    Chain,
    Shared,
    Oblivious,
    CategoryChains,
}

pub const PLAIN: Shape = Shape {
    width: 20,
    outputs: 1,
    trees: 40,
    leaves: 31,
    kind: Kind::Bushy,
    thresholds: 30,
    plain: true,
    aggregate: Aggregate::Sum,
    many_weights: false,
};

pub fn shapes() -> impl Strategy<Value = Shape> {
    let kinds = [Kind::Bushy, Kind::Chain, Kind::Shared, Kind::Oblivious, Kind::CategoryChains];
    let aggregates = [Aggregate::Sum, Aggregate::Sum, Aggregate::Average, Aggregate::Min, Aggregate::Max];
    (
        (1_usize..40, 1_usize..5, 1_usize..20),
        prop::sample::select(vec![1_usize, 2, 3, 8, 9, 17, 31, 33, 64, 65, 128, 256, 400]),
        prop::sample::select(kinds.to_vec()),
        prop::sample::select(vec![1_usize, 3, 20, 200, 2000]),
        any::<bool>(),
        prop::sample::select(aggregates.to_vec()),
        any::<bool>(),
    )
        .prop_map(|((width, outputs, trees), leaves, kind, thresholds, plain, aggregate, many_weights)| Shape {
            width,
            outputs,
            trees,
            leaves,
            kind,
            thresholds,
            plain,
            aggregate,
            many_weights,
        })
}
