//! A bound expression, evaluated over numbered leaves.
//!
//! Every value is an f64: a number, 1 and 0 for true and false, a dictionary code for text, NaN for missing. Logic
//! is SQL's: `AND` is false if either side is false, else missing if either is missing; a comparison with a missing
//! side is missing.

use super::ast::{BinaryOp, MathFunction, UnaryOp};

/// One step of a program.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// A constant.
    Constant(f64),
    /// The value of a numbered leaf.
    Leaf(usize),
    /// An operator with one operand.
    Unary(UnaryOp, Box<Node>),
    /// An operator with two operands.
    Binary(BinaryOp, Box<Node>, Box<Node>),
    /// Whether a number is one of a list.
    InNumbers(Box<Node>, Vec<f64>),
    /// What a table holds for the code in a leaf: a truth value, or another code; missing beyond its end.
    Lookup(usize, Vec<f64>),
    /// A function of numbers.
    Math(MathFunction, Vec<Node>),
}

impl Node {
    /// The step's value, given its leaves'.
    pub(crate) fn eval<F: Fn(usize) -> f64>(&self, leaf: &F) -> f64 {
        eval(self, leaf)
    }

    /// Calls `each` with the number of every leaf.
    pub(crate) fn for_each_leaf(&self, each: &mut impl FnMut(usize)) {
        for_each_leaf(self, each);
    }

    /// The same step over leaves of other numbers.
    fn renumbered(&self, number: &impl Fn(usize) -> usize) -> Self {
        let boxed = |node: &Self| Box::new(node.renumbered(number));
        match self {
            Self::Constant(value) => Self::Constant(*value),
            Self::Leaf(leaf) => Self::Leaf(number(*leaf)),
            Self::Lookup(leaf, table) => Self::Lookup(number(*leaf), table.clone()),
            Self::Unary(op, operand) => Self::Unary(*op, boxed(operand)),
            Self::Binary(op, left, right) => Self::Binary(*op, boxed(left), boxed(right)),
            Self::InNumbers(operand, list) => Self::InNumbers(boxed(operand), list.clone()),
            Self::Math(function, operands) => {
                Self::Math(*function, operands.iter().map(|operand| operand.renumbered(number)).collect())
            }
        }
    }

    /// Whether it is the constant NULL.
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Constant(value) if value.is_nan())
    }
}

/// An expression ready to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// Its last step.
    pub root: Node,
}

impl Program {
    /// Whether it is the constant NULL, which is of any type.
    pub(crate) fn is_null(&self) -> bool {
        self.root.is_null()
    }

    /// The leaf that the program is, if it is nothing else.
    #[must_use]
    pub fn as_leaf(&self) -> Option<usize> {
        match self.root {
            Node::Leaf(leaf) => Some(leaf),
            _ => None,
        }
    }

    /// The program's value, given its leaves'.
    #[inline]
    pub fn eval<F: Fn(usize) -> f64>(&self, leaf: &F) -> f64 {
        eval(&self.root, leaf)
    }

    /// Calls `each` with the number of every leaf.
    pub(crate) fn for_each_leaf(&self, each: &mut impl FnMut(usize)) {
        for_each_leaf(&self.root, each);
    }

    /// The same program over leaves of other numbers.
    pub(crate) fn renumbered(&self, number: impl Fn(usize) -> usize) -> Self {
        Self { root: self.root.renumbered(&number) }
    }

    /// Whether a condition holds: true, and neither false nor missing.
    #[inline]
    pub fn holds<F: Fn(usize) -> f64>(&self, leaf: &F) -> bool {
        self.eval(leaf) == 1.0
    }
}

fn eval<F: Fn(usize) -> f64>(node: &Node, leaf: &F) -> f64 {
    match node {
        Node::Constant(value) => *value,
        Node::Leaf(number) => leaf(*number),
        Node::Unary(op, operand) => unary(*op, eval(operand, leaf)),
        Node::Binary(op, left, right) => binary(*op, eval(left, leaf), eval(right, leaf)),
        Node::InNumbers(operand, list) => {
            let value = eval(operand, leaf);
            if value.is_nan() { f64::NAN } else { truth(list.contains(&value)) }
        }
        Node::Lookup(number, table) => {
            let code = leaf(*number);
            if code.is_nan() { f64::NAN } else { table.get(code as usize).copied().unwrap_or(f64::NAN) }
        }
        Node::Math(function, operands) => math(*function, operands, leaf),
    }
}

fn for_each_leaf(node: &Node, each: &mut impl FnMut(usize)) {
    match node {
        Node::Constant(_) => {}
        Node::Leaf(leaf) | Node::Lookup(leaf, _) => each(*leaf),
        Node::Unary(_, operand) | Node::InNumbers(operand, _) => for_each_leaf(operand, each),
        Node::Binary(_, left, right) => {
            for_each_leaf(left, each);
            for_each_leaf(right, each);
        }
        Node::Math(_, operands) => operands.iter().for_each(|operand| for_each_leaf(operand, each)),
    }
}

fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}

fn unary(op: UnaryOp, value: f64) -> f64 {
    match op {
        UnaryOp::Negate => -value,
        UnaryOp::Not => 1.0 - value,
        UnaryOp::IsNull => truth(value.is_nan()),
    }
}

fn binary(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::And if left == 0.0 || right == 0.0 => return 0.0,
        BinaryOp::Or if left == 1.0 || right == 1.0 => return 1.0,
        _ if left.is_nan() || right.is_nan() => return f64::NAN,
        _ => {}
    }
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Subtract => left - right,
        BinaryOp::Multiply => left * right,
        BinaryOp::Divide | BinaryOp::Modulo if right == 0.0 => f64::NAN,
        BinaryOp::Divide => left / right,
        BinaryOp::Modulo => left % right,
        BinaryOp::Equal => truth(left == right),
        BinaryOp::NotEqual => truth(left != right),
        BinaryOp::Less => truth(left < right),
        BinaryOp::LessEqual => truth(left <= right),
        BinaryOp::Greater => truth(left > right),
        BinaryOp::GreaterEqual => truth(left >= right),
        // Neither side is missing and the deciding value was handled above.
        BinaryOp::And => 1.0,
        BinaryOp::Or => 0.0,
    }
}

fn math<F: Fn(usize) -> f64>(function: MathFunction, operands: &[Node], leaf: &F) -> f64 {
    let mut values = operands.iter().map(|operand| eval(operand, leaf));
    match function {
        MathFunction::Coalesce => values.find(|value| !value.is_nan()).unwrap_or(f64::NAN),
        MathFunction::Abs => values.next().unwrap_or(f64::NAN).abs(),
        MathFunction::Sqrt => values.next().unwrap_or(f64::NAN).sqrt(),
        MathFunction::Ln => {
            let value = values.next().unwrap_or(f64::NAN);
            if value > 0.0 { value.ln() } else { f64::NAN }
        }
    }
}
