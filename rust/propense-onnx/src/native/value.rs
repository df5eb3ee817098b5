//! What a name in the graph stands for while it is lowered: columns of numbers, or a constant.

use super::program::{Binary, Instruction, Operation, Register, Unary};
use super::stop::Stop;
use super::tensor::Elements;

/// The most instructions of a model; a softmax of a thousand classes fits.
const MAX_INSTRUCTIONS: usize = 16_384;

/// How the columns of a batch of N rows make up its tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// `[N]`, one column.
    Rows,
    /// `[N, columns]`.
    Matrix,
    /// `[depth, N, columns / depth]`.
    Stack { depth: usize },
}

/// A tensor with a row for each row of the input, which it does not mix.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Batch {
    pub(super) layout: Layout,
    pub(super) columns: Vec<Register>,
    /// The elements are double; else float32.
    pub(super) double: bool,
}

/// A tensor whose numbers are in the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Constant {
    pub(super) dimensions: Vec<i64>,
    pub(super) elements: Elements,
}

impl Constant {
    /// The integers of an axis, a shape or indices.
    pub(super) fn integers(&self) -> Result<&[i64], Stop> {
        match &self.elements {
            Elements::Integers(values) => Ok(values),
            _ => Err(Stop::because("a constant holds no integers where some are expected")),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Batch(Batch),
    Constant(Constant),
    /// The labels of a classifier, which nothing here can use.
    Labels,
}

/// The instructions so far. Input `c` is feature `c`, or beyond the features an output of the trees.
pub(super) struct Builder {
    pub(super) instructions: Vec<Instruction>,
    limit: usize,
}

impl Builder {
    /// For a model whose inputs are this many features, which count beside the instructions.
    pub(super) fn beside(features: usize) -> Self {
        Self { instructions: Vec::new(), limit: features.saturating_add(MAX_INSTRUCTIONS) }
    }

    pub(super) fn input(&mut self, column: u32) -> Result<Register, Stop> {
        self.push(Operation::Input(column), true)
    }

    pub(super) fn constant(&mut self, constant: f64) -> Result<Register, Stop> {
        self.push(Operation::Constant(constant), false)
    }

    pub(super) fn unary(&mut self, kind: Unary, of: Register, single: bool) -> Result<Register, Stop> {
        self.push(Operation::Unary(kind, of), single)
    }

    pub(super) fn binary(
        &mut self,
        kind: Binary,
        left: Register,
        right: Register,
        single: bool,
    ) -> Result<Register, Stop> {
        self.push(Operation::Binary(kind, left, right), single)
    }

    /// One column from several, from the first on.
    pub(super) fn fold(&mut self, kind: Binary, columns: &[Register], single: bool) -> Result<Register, Stop> {
        let Some((&first, rest)) = columns.split_first() else {
            return Err(Stop::because("it combines no columns"));
        };
        rest.iter().try_fold(first, |left, &right| self.binary(kind, left, right, single))
    }

    fn push(&mut self, operation: Operation, single: bool) -> Result<Register, Stop> {
        if self.instructions.len() >= self.limit {
            return Err(Stop::because(format!("the arithmetic takes more than {MAX_INSTRUCTIONS} instructions")));
        }
        self.instructions.push(Instruction { operation, single });
        Ok(self.instructions.len() as Register - 1)
    }
}
