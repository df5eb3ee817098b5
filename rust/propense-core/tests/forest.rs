//! Forests: every engine and instruction set of the machine against the reference, to the bit.

use std::collections::BTreeSet;

use propense_core::forest::{Aggregate, Ensemble, Forest, Node, Test, Weight, reference};
use proptest::prelude::*;

/// A small generator of numbers (`SplitMix64`), so that one seed makes one case.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.roll() % end as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    fn number(&mut self) -> f32 {
        match self.below(4) {
            0 => self.pick(&SPECIAL),
            1 => self.below(7) as f32 - 3.0,
            2 => self.below(1000) as f32 / 37.0 - 10.0,
            _ => Some(f32::from_bits(self.roll() as u32)).filter(|x| !x.is_nan()).unwrap_or(0.5),
        }
    }
}

const SPECIAL: [f32; 12] = [
    0.0,
    -0.0,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MAX,
    f32::MIN,
    f32::MIN_POSITIVE,
    -f32::MIN_POSITIVE,
    1e-45,
    -1e-45,
    1e-40,
    1.0,
];

/// What kind of trees to grow.
#[derive(Debug, Clone, Copy)]
struct Shape {
    width: usize,
    outputs: usize,
    trees: usize,
    leaves: usize,
    kind: Kind,
    /// Different thresholds a feature has, about.
    thresholds: usize,
    /// Only `<=`, as trainers write it, or any test.
    plain: bool,
    aggregate: Aggregate,
    /// Weights for several outputs in a leaf.
    many_weights: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Bushy,
    Chain,
    Shared,
    Oblivious,
    CategoryChains,
}

struct Grower {
    dice: Dice,
    shape: Shape,
    pools: Vec<Vec<f32>>,
    ensemble: Ensemble,
}

fn grow(shape: Shape, seed: u64) -> Ensemble {
    let mut dice = Dice(seed);
    let pools = (0..shape.width).map(|_| (0..shape.thresholds).map(|_| dice.number()).collect()).collect();
    let base_values =
        if dice.chance(50) { (0..shape.outputs).map(|_| dice.below(9) as f32 - 4.0).collect() } else { vec![] };
    let ensemble = Ensemble {
        width: shape.width,
        outputs: shape.outputs,
        aggregate: shape.aggregate,
        base_values,
        roots: vec![],
        nodes: vec![],
        members: vec![],
        weights: vec![],
    };
    let mut grower = Grower { dice, shape, pools, ensemble };
    for tree in 0..shape.trees {
        let root = match shape.kind {
            Kind::Oblivious => grower.oblivious(tree),
            _ => grower.tree(tree),
        };
        grower.ensemble.roots.push(root);
    }
    grower.ensemble
}

impl Grower {
    fn node(&mut self, node: Node) -> u32 {
        self.ensemble.nodes.push(node);
        (self.ensemble.nodes.len() - 1) as u32
    }

    fn leaf(&mut self, tree: usize) -> u32 {
        let first_weight = self.ensemble.weights.len() as u32;
        let count = if self.shape.many_weights { self.dice.below(2 * self.shape.outputs + 1) } else { 1 };
        for place in 0..count {
            let output = if self.shape.many_weights {
                (tree + place * 5) % self.shape.outputs
            } else {
                tree % self.shape.outputs
            };
            let value = if self.dice.chance(5) { -0.0 } else { (self.dice.below(20_001) as f32 - 10_000.0) / 7001.0 };
            self.ensemble.weights.push(Weight { output: output as u32, value });
        }
        self.node(Node::Leaf { first_weight, weight_count: count as u32 })
    }

    fn test(&mut self, feature: usize) -> Test {
        let t = self.dice.pick(&self.pools[feature]);
        let kind = if self.shape.plain { 0 } else { self.dice.below(10) };
        match kind {
            0..=2 => Test::LessEqual(t),
            3 => Test::Less(t),
            4 => Test::GreaterEqual(t),
            5 => Test::Greater(t),
            6 => Test::Equal(t),
            7 => Test::NotEqual(t),
            _ => {
                let (first, count) = (self.ensemble.members.len(), self.dice.below(20));
                for _ in 0..count {
                    let member = self.dice.pick(&self.pools[feature]);
                    self.ensemble.members.push(member);
                }
                Test::Member { first: first as u32, count: count as u32 }
            }
        }
    }

    fn branch(&mut self, if_true: u32, if_false: u32) -> u32 {
        let feature = self.dice.below(self.shape.width);
        if self.shape.kind == Kind::CategoryChains && self.dice.chance(50) {
            return self.category_chain(feature, if_true, if_false);
        }
        let (test, missing_goes_true) = (self.test(feature), self.dice.chance(50));
        self.node(Node::Branch { feature: feature as u32, test, missing_goes_true, if_true, if_false })
    }

    /// A step function over a feature, as a chain of `<=` with two exits.
    fn category_chain(&mut self, feature: usize, one: u32, other: u32) -> u32 {
        let mut bounds: Vec<f32> = (0..=self.dice.below(9)).map(|_| self.dice.pick(&self.pools[feature])).collect();
        bounds.sort_by(f32::total_cmp);
        let mut next = self.dice.pick(&[one, other]);
        for &bound in bounds.iter().rev() {
            let (if_true, missing_goes_true) = (self.dice.pick(&[one, other]), self.dice.chance(10));
            let test = Test::LessEqual(bound);
            next =
                self.node(Node::Branch { feature: feature as u32, test, missing_goes_true, if_true, if_false: next });
        }
        next
    }

    fn tree(&mut self, tree: usize) -> u32 {
        let leaves = 1 + self.dice.below(2 * self.shape.leaves - 1);
        let leaves = if self.dice.chance(50) { self.shape.leaves } else { leaves };
        let mut roots: Vec<u32> = (0..leaves).map(|_| self.leaf(tree)).collect();
        let first = roots[0] as usize;
        while roots.len() > 1 {
            let place = if self.shape.kind == Kind::Chain { roots.len() - 1 } else { self.dice.below(roots.len()) };
            let one = roots.swap_remove(place);
            let place = self.dice.below(roots.len());
            let mut other = roots.swap_remove(place);
            if self.shape.kind == Kind::Shared && self.dice.chance(30) {
                roots.push(other);
                other = (first + self.dice.below(self.ensemble.nodes.len() - first)) as u32;
                if self.dice.chance(50) {
                    roots.swap_remove(0);
                }
            }
            let (if_true, if_false) = if self.dice.chance(50) { (one, other) } else { (other, one) };
            let root = self.branch(if_true, if_false);
            roots.push(root);
        }
        roots[0]
    }

    fn oblivious(&mut self, tree: usize) -> u32 {
        let depth = self.dice.below(10);
        let mut row: Vec<u32> = (0..1_usize << depth).map(|_| self.leaf(tree)).collect();
        while row.len() > 1 {
            let feature = self.dice.below(self.shape.width);
            let (test, missing_goes_true) = (self.test(feature), self.dice.chance(50));
            row = row
                .chunks(2)
                .map(|pair| {
                    let (if_true, if_false) = (pair[0], pair[1]);
                    self.node(Node::Branch { feature: feature as u32, test, missing_goes_true, if_true, if_false })
                })
                .collect();
        }
        row[0]
    }
}

/// Rows on the thresholds of the ensemble, a float to either side of them, and on special values.
fn rows(ensemble: &Ensemble, count: usize, seed: u64) -> Vec<f32> {
    let mut pools: Vec<Vec<f32>> = vec![vec![f32::NAN, -f32::NAN, 0.3]; ensemble.width];
    for node in &ensemble.nodes {
        let Node::Branch { feature, test, .. } = *node else { continue };
        let pool = &mut pools[feature as usize];
        match test {
            Test::LessEqual(t)
            | Test::Less(t)
            | Test::GreaterEqual(t)
            | Test::Greater(t)
            | Test::Equal(t)
            | Test::NotEqual(t) => pool.push(t),
            Test::Member { first, count } => pool.extend(&ensemble.members[first as usize..(first + count) as usize]),
        }
    }
    let mut dice = Dice(seed ^ 0x5eed);
    (0..count * ensemble.width)
        .map(|place| {
            let t = dice.pick(&pools[place % ensemble.width]);
            match dice.below(6) {
                0 | 1 => t,
                2 => t.next_up(),
                3 => t.next_down(),
                4 => -t,
                _ => dice.number(),
            }
        })
        .collect()
}

fn bits(scores: &[f32]) -> Vec<u32> {
    scores.iter().map(|score| score.to_bits()).collect()
}

fn compiled(ensemble: &Ensemble) -> Forest {
    Forest::compile(ensemble).unwrap_or_else(|error| panic!("a sound ensemble was refused: {error}"))
}

/// Scores `rows` on every engine in batches of each of `sizes`, and compares with the reference.
fn compare(ensemble: &Ensemble, rows: &[f32], sizes: &[usize]) {
    let expected = bits(&reference::score(ensemble, rows));
    let mut forest = compiled(ensemble);
    let chosen = forest.engine();
    let count = rows.len() / ensemble.width;
    let mut scores = vec![f32::NAN; count * ensemble.outputs];
    for forced in std::iter::once(None).chain(forest.engines().into_iter().map(Some)) {
        if let Some(engine) = forced {
            assert!(forest.run_on(engine));
        }
        for &size in sizes {
            scores.fill(f32::NAN);
            let rows = &rows[..size.min(count) * ensemble.width];
            let scores = &mut scores[..size.min(count) * ensemble.outputs];
            forest.score(rows, scores);
            assert_eq!(bits(scores), expected[..scores.len()], "{size} rows on {forced:?}, chosen {chosen}");
        }
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn engines_agree_with_the_reference(shape in shapes(), seed in any::<u64>(), size in 1_usize..130) {
        let ensemble = grow(shape, seed);
        compare(&ensemble, &rows(&ensemble, 130, seed), &[size, 130]);
    }

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

const PLAIN: Shape = Shape {
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

#[test]
fn every_batch_size_gives_the_same_bits() {
    let shapes = [
        PLAIN,
        Shape { outputs: 3, many_weights: true, aggregate: Aggregate::Average, leaves: 64, ..PLAIN },
        Shape { kind: Kind::Oblivious, width: 35, plain: true, ..PLAIN },
        Shape { leaves: 300, trees: 5, ..PLAIN },
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

/// One branch over two leaves.
fn stump() -> Ensemble {
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

#[test]
fn only_features_that_trees_read_are_read() {
    let forest = compiled(&stump());
    assert_eq!(forest.reads(), [true, false]);
    assert_eq!((forest.width(), forest.outputs()), (2, 1));
}
