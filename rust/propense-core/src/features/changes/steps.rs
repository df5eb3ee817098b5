//! Which numbers a value that ages is compared with.

use std::collections::BTreeMap;

use super::compound::degrees;
use crate::expr::{BinaryOp, Function, MathFunction, Node, Program, UnaryOp, UserLeaf};

/// Numbers that something distinguishes: a value below one of them from the number itself and all above.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Steps {
    /// Numbers with which the value itself is compared.
    pub(super) double: Vec<f64>,
    /// Numbers with which the nearest f32 is compared.
    pub(super) single: Vec<f32>,
    /// For each of these, once they are in order, the value from which on the nearest f32 is the number or above.
    pub(super) boundaries: Vec<f64>,
}

impl Steps {
    /// Brings them into ascending order.
    pub(super) fn sort(&mut self) {
        let Self { double, single, boundaries } = self;
        double.sort_unstable_by(f64::total_cmp);
        double.dedup();
        single.sort_unstable_by(f32::total_cmp);
        single.dedup();
        *boundaries = single.iter().map(|&number| boundary(number)).collect();
    }
}

/// From which value on the nearest f32 is the number.
pub(super) fn boundary(number: f32) -> f64 {
    f64::midpoint(number.next_down().into(), number.into())
}

/// What a program wants to know of values that age.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// By leaf.
    pub(super) steps: BTreeMap<usize, Steps>,
    /// Of arithmetic over such values.
    pub(super) compounds: Vec<(Node, Steps)>,
    /// Whether some value is put to a use that has no steps.
    pub(super) rechecks: bool,
}

/// What a program wants, whose own value is rounded to f32 and compared with thresholds: `None` if they are unknown.
pub(super) fn collect(program: &Program, leaves: &[UserLeaf], thresholds: Option<&[f32]>) -> Wanted {
    let mut collector = Collector { leaves, wanted: Wanted::default() };
    match (plain(&program.root), thresholds) {
        (Some(operands), Some(thresholds)) => {
            for leaf in operands {
                collector.add(leaf, |steps| steps.single.extend_from_slice(thresholds));
            }
        }
        // It is only asked whether there is a value: of a logarithm or a fraction that may change by age alone.
        (None, Some([])) => collector.compared(&program.root, &[]),
        (None, Some(thresholds)) if degrees(&program.root, leaves).is_some() => {
            collector.compound(&program.root, Steps { single: thresholds.to_vec(), ..Steps::default() });
        }
        _ => collector.node(&program.root),
    }
    collector.wanted
}

struct Collector<'a> {
    leaves: &'a [UserLeaf],
    wanted: Wanted,
}

impl Collector<'_> {
    fn add(&mut self, leaf: usize, extend: impl FnOnce(&mut Steps)) {
        if ages(&self.leaves[leaf]) {
            extend(self.wanted.steps.entry(leaf).or_default());
        }
    }

    fn node(&mut self, node: &Node) {
        match node {
            // A text does not age.
            Node::Constant(_) | Node::Lookup(..) => {}
            Node::Leaf(leaf) => self.wanted.rechecks |= ages(&self.leaves[*leaf]),
            Node::Binary(op, left, right) if op.is_comparison() => match (left.as_ref(), right.as_ref()) {
                (operand, Node::Constant(number)) => self.compared(operand, &steps(*op, *number)),
                (Node::Constant(number), operand) => self.compared(operand, &steps(op.mirrored(), *number)),
                // They compare as their difference does with 0.
                _ => {
                    let difference = Node::Binary(BinaryOp::Subtract, left.clone(), right.clone());
                    self.compared(&difference, &steps(*op, 0.0));
                }
            },
            Node::InNumbers(operand, list) => {
                let steps: Vec<f64> = list.iter().flat_map(|&number| steps(BinaryOp::Equal, number)).collect();
                self.compared(operand, &steps);
            }
            // Whether there is a value depends on the events alone.
            Node::Unary(UnaryOp::IsNull, operand) if plain(operand).is_some() => {}
            // So it does of a fraction, where its denominator is not 0.
            Node::Unary(UnaryOp::IsNull, operand) => self.compared(operand, &[]),
            Node::Unary(_, operand) => self.node(operand),
            Node::Binary(_, left, right) => {
                self.node(left);
                self.node(right);
            }
            Node::Math(_, operands) => operands.iter().for_each(|operand| self.node(operand)),
        }
    }

    fn compared(&mut self, operand: &Node, steps: &[f64]) {
        match plain(operand) {
            Some(leaves) => {
                for leaf in leaves {
                    self.add(leaf, |known| known.double.extend_from_slice(steps));
                }
            }
            None if degrees(operand, self.leaves).is_some() => {
                self.compound(operand, Steps { double: steps.to_vec(), ..Steps::default() });
            }
            None => self.node(operand),
        }
    }

    fn compound(&mut self, node: &Node, mut steps: Steps) {
        let mut any_ages = false;
        node.for_each_leaf(&mut |leaf| any_ages |= ages(&self.leaves[leaf]));
        if any_ages {
            steps.sort();
            self.wanted.compounds.push((node.clone(), steps));
        }
    }
}

/// The leaves of which a node is one, or a constant; `None` if it computes.
fn plain(node: &Node) -> Option<Vec<usize>> {
    match node {
        Node::Leaf(leaf) => Some(vec![*leaf]),
        Node::Constant(_) => Some(Vec::new()),
        Node::Math(MathFunction::Coalesce, operands) => {
            operands.iter().map(plain).collect::<Option<Vec<_>>>().map(|leaves| leaves.concat())
        }
        _ => None,
    }
}

/// Whether a leaf's value changes with time between the instants at which events come and go.
fn ages(leaf: &UserLeaf) -> bool {
    let ages = |function| matches!(function, Function::Recency | Function::Tenure | Function::DecayedCount { .. });
    matches!(leaf, UserLeaf::Aggregate(aggregate) if ages(aggregate.function))
}

/// The numbers that a comparison with a constant distinguishes.
fn steps(op: BinaryOp, number: f64) -> Vec<f64> {
    match op {
        _ if number.is_nan() => Vec::new(),
        BinaryOp::Less | BinaryOp::GreaterEqual => vec![number],
        BinaryOp::LessEqual | BinaryOp::Greater => vec![number.next_up()],
        _ => vec![number, number.next_up()],
    }
}
