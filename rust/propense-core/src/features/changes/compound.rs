//! Where arithmetic over values that age, such as `recency(a) / tenure(a)`, crosses the numbers that it is compared with.
//!
//! The arithmetic is a fraction of lines in time ([`Curve`]), whose crossings are known to a few roundings.

use super::aging::Aged;
use super::crossing::Crossing;
use super::curve::Curve;
use super::shape::Shape;
use super::steps::Steps;
use super::{Known, Place, next_recheck_us};
use crate::DAY_US;
use crate::events::EventLog;
use crate::expr::{BinaryOp, Function, MathFunction, Node, Program, UnaryOp, UserLeaf};
use crate::features::plan::{Period, Plan};
use crate::features::scan::{Scan, ScanPlan};

/// Arithmetic over values of a plan that age.
pub(super) struct Compounds {
    /// Over leaves that are numbered anew: those that age, then the others.
    programs: Vec<(Program, Steps)>,
    /// The leaves that age.
    aged: Vec<(Place, Aged)>,
    /// The plan's leaves that do not, and how to come by them.
    constants: Vec<usize>,
    scan: ScanPlan,
    plan: usize,
}

/// A leaf's value of one user, until an event comes or goes.
#[derive(Clone, Copy)]
enum Leaf {
    Constant(f64),
    /// The days since an event.
    Since(i64),
}

/// The degrees in time of the two sides of a fraction; none if a program cannot be solved whatever the events.
pub(super) fn degrees(node: &Node, leaves: &[UserLeaf]) -> Option<(u8, u8)> {
    let of = |node: &Node| degrees(node, leaves);
    let (above, below) = match node {
        Node::Leaf(leaf) | Node::Lookup(leaf, _) => match &leaves[*leaf] {
            UserLeaf::External(_) => return None,
            UserLeaf::Attribute(_) => (0, 0),
            UserLeaf::Aggregate(aggregate) => match aggregate.function {
                Function::Recency | Function::Tenure => (1, 0),
                Function::DecayedCount { .. } => return None,
                _ => (0, 0),
            },
        },
        Node::Constant(_) => (0, 0),
        Node::Unary(UnaryOp::Negate, operand) => of(operand)?,
        Node::Binary(BinaryOp::Add | BinaryOp::Subtract, left, right) => {
            let ((n, d), (m, e)) = (of(left)?, of(right)?);
            if d == 0 && e == 0 { (n.max(m), 0) } else { ((n + e).max(m + d), d + e) }
        }
        Node::Binary(BinaryOp::Multiply, left, right) => {
            let ((n, d), (m, e)) = (of(left)?, of(right)?);
            (n + m, d + e)
        }
        Node::Binary(BinaryOp::Divide, left, right) => {
            let ((n, d), (m, e)) = (of(left)?, of(right)?);
            (n + e, d + m)
        }
        Node::Math(MathFunction::Coalesce, operands) => {
            operands.iter().try_fold((0, 0), |(n, d), operand| of(operand).map(|(m, e)| (n.max(m), d.max(e))))?
        }
        // What does not age is a constant, whatever is done to it.
        Node::Unary(_, operand) | Node::InNumbers(operand, _) => flat(of(operand)?)?,
        Node::Binary(_, left, right) => flat(of(left)?).and(flat(of(right)?))?,
        Node::Math(_, operands) => operands.iter().try_fold((0, 0), |_, operand| of(operand).and_then(flat))?,
    };
    (above <= 1 && below <= 1).then_some((above, below))
}

fn flat(degrees: (u8, u8)) -> Option<(u8, u8)> {
    (degrees == (0, 0)).then_some(degrees)
}

impl Compounds {
    /// Programs over the leaves of the plan with this number, which is bound to the columns of `shape`; none if there are
    /// none.
    pub(super) fn new(shape: &EventLog, plan: &Plan, number: usize, programs: Vec<(Node, Steps)>) -> Option<Self> {
        if programs.is_empty() {
            return None;
        }
        let (mut aged, mut constants): (Vec<(usize, Aged)>, Vec<usize>) = Default::default();
        let programs: Vec<(Program, Steps)> =
            programs.into_iter().map(|(root, steps)| (Program { root }, steps)).collect();
        for (program, _) in &programs {
            program.for_each_leaf(&mut |leaf| match &plan.leaves[leaf] {
                UserLeaf::Aggregate(aggregate)
                    if matches!(aggregate.function, Function::Recency | Function::Tenure) =>
                {
                    if aged.iter().all(|(known, _)| *known != leaf) {
                        aged.push((leaf, Aged::new(aggregate)));
                    }
                }
                _ => constants.push(leaf),
            });
        }
        constants.sort_unstable();
        constants.dedup();
        let leaves: Vec<usize> = aged.iter().map(|(leaf, _)| *leaf).chain(constants.iter().copied()).collect();
        let renumber = |leaf| leaves.iter().position(|&known| known == leaf).unwrap_or_default();
        Some(Self {
            programs: programs.into_iter().map(|(program, steps)| (program.renumbered(renumber), steps)).collect(),
            scan: ScanPlan::new(shape, &plan.of_leaves(&constants), None),
            aged: aged.into_iter().map(|(leaf, aged)| (Place { plan: number, leaf }, aged)).collect(),
            constants,
            plan: number,
        })
    }

    /// The first instant after another, and before a third, at which a program's value crosses a step, if events neither
    /// come nor go before; else the third.
    pub(super) fn next_us(&self, log: &EventLog, user: usize, after_us: i64, before_us: i64, known: Known<'_>) -> i64 {
        let leaves = self.leaves(log, user, after_us, known);
        let mut next_us = before_us;
        for (program, steps) in &self.programs {
            let crossing = Crossing { after_us, value: &|now_us| value(&program.root, &leaves, now_us) };
            next_us = match shape(&program.root, &leaves, after_us) {
                Shape::Constant(_) => next_us,
                Shape::Curve(curve) => crossing.next_us(&curve, steps, next_us),
                Shape::Unknown => next_us.min(next_recheck_us(after_us)),
            };
        }
        next_us
    }

    fn leaves(&self, log: &EventLog, user: usize, after_us: i64, known: Known<'_>) -> Vec<Leaf> {
        let mut leaves = Vec::with_capacity(self.aged.len() + self.constants.len());
        let event_us = |(place, aged): &(Place, Aged)| aged.event_us(log, user, after_us, known.value(*place));
        leaves.extend(self.aged.iter().map(|aged| event_us(aged).map_or(Leaf::Constant(f64::NAN), Leaf::Since)));
        let mut extend = |scan: &Scan<'_>| {
            leaves.extend(self.constants.iter().map(|&leaf| Leaf::Constant(scan.leaf(leaf, user))));
        };
        match known.scans.get(self.plan) {
            Some(scan) => extend(scan),
            None if self.constants.is_empty() => {}
            None => {
                // What is seen one microsecond later: an earlier coming or going is an instant of its own.
                let mut scan = Scan::new(&self.scan, log, Period::before(after_us.saturating_add(1)));
                scan.gather(user);
                extend(&scan);
            }
        }
        leaves
    }
}

/// The value of a step at an instant, as the kernels compute it.
fn value(node: &Node, leaves: &[Leaf], now_us: i64) -> f64 {
    node.eval(&|leaf| match leaves[leaf] {
        Leaf::Constant(value) => value,
        Leaf::Since(event_us) => now_us.abs_diff(event_us) as f64 / DAY_US as f64,
    })
}

/// What a step is as time goes on.
fn shape(node: &Node, leaves: &[Leaf], after_us: i64) -> Shape {
    let of = |node: &Node| shape(node, leaves, after_us);
    // Of what does not age; no age is 0 one microsecond later.
    let constant = || Shape::Constant(value(node, leaves, after_us.saturating_add(1)));
    match node {
        Node::Leaf(leaf) => match leaves[*leaf] {
            Leaf::Constant(value) => Shape::Constant(value),
            Leaf::Since(event_us) => Shape::Curve(Curve::age(event_us, after_us)),
        },
        Node::Unary(UnaryOp::Negate, operand) => of(operand).negated(),
        Node::Binary(op, left, right) if is_arithmetic(*op) => match (of(left), of(right)) {
            (Shape::Constant(_), Shape::Constant(_)) => constant(),
            (left, right) => match op {
                BinaryOp::Add => left.plus(right),
                BinaryOp::Subtract => left.minus(right),
                BinaryOp::Multiply => left.times(right),
                _ => left.over(right),
            },
        },
        Node::Math(MathFunction::Coalesce, operands) => {
            let is_there = |shape: &Shape| !matches!(shape, Shape::Constant(value) if value.is_nan());
            operands.iter().map(of).find(is_there).unwrap_or(Shape::Constant(f64::NAN))
        }
        _ => constant(),
    }
}

fn is_arithmetic(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply | BinaryOp::Divide)
}
