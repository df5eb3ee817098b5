//! Ensembles of a shape, the same for the same seed.

use propense_core::forest::{Ensemble, Node, Test, Weight};

use super::dice::Dice;
use super::shape::{Kind, Shape};

struct Grower {
    dice: Dice,
    shape: Shape,
    pools: Vec<Vec<f32>>,
    ensemble: Ensemble,
}

pub fn grow(shape: Shape, seed: u64) -> Ensemble {
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
