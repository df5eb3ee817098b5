//! The arithmetic around the trees, as a list of instructions over columns of at most 64 rows.
//!
//! Every instruction computes one number a row from earlier ones, so what a row gives depends on
//! neither its place nor its company. Registers hold f64; an instruction whose result is float32 in
//! the model rounds it, which for +, −, × and ÷ is the float32 result itself to the bit.

use super::elementary::{exp, ln};

/// Rows in a tile.
pub(super) const TILE: usize = 64;

type Column = [f64; TILE];

/// The place of an instruction, which holds its result.
pub(super) type Register = u32;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Unary {
    Negate,
    Absolute,
    Reciprocal,
    Exponential,
    Logarithm,
    Sigmoid,
    /// To float32, from double.
    Round,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    /// NaN if either is.
    Maximum,
    Minimum,
    Power,
    /// The left if it is no NaN, else the right.
    Impute,
    /// A term of ONNX Runtime's `SOFTMAX_ZERO`: left is the score, right the greatest of the row.
    SoftmaxZero,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Operation {
    /// A column of the input: a feature, or an output of the forest.
    Input(u32),
    Constant(f64),
    Unary(Unary, Register),
    Binary(Binary, Register, Register),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Instruction {
    pub(super) operation: Operation,
    /// The result is a float32.
    pub(super) single: bool,
}

/// Instructions, each after those it reads, and the registers that are the answer.
#[derive(Debug)]
pub(super) struct Program {
    instructions: Vec<Instruction>,
    outputs: Vec<Register>,
}

/// Memory that a program runs in.
pub(super) struct Registers(Vec<Column>);

impl Program {
    /// Keep, of `all`, what `outputs` need.
    pub(super) fn of(all: &[Instruction], outputs: &[Register]) -> Self {
        let mut needed = vec![false; all.len()];
        for &output in outputs {
            needed[output as usize] = true;
        }
        for place in (0..all.len()).rev() {
            if needed[place] {
                for source in sources(all[place].operation).into_iter().flatten() {
                    needed[source as usize] = true;
                }
            }
        }
        let mut moved = vec![0; all.len()];
        let mut instructions = Vec::new();
        for (place, instruction) in all.iter().enumerate().filter(|(place, _)| needed[*place]) {
            moved[place] = instructions.len() as Register;
            let operation = match instruction.operation {
                Operation::Unary(kind, of) => Operation::Unary(kind, moved[of as usize]),
                Operation::Binary(kind, left, right) => {
                    Operation::Binary(kind, moved[left as usize], moved[right as usize])
                }
                other => other,
            };
            instructions.push(Instruction { operation, ..*instruction });
        }
        Self { instructions, outputs: outputs.iter().map(|&output| moved[output as usize]).collect() }
    }

    pub(super) fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    pub(super) fn outputs(&self) -> &[Register] {
        &self.outputs
    }

    /// The same over an input that lacks its first columns, none of which is read.
    pub(super) fn without_inputs(mut self, first: u32) -> Self {
        for instruction in &mut self.instructions {
            if let Operation::Input(column) = &mut instruction.operation {
                *column -= first;
            }
        }
        self
    }

    /// The columns of the input that are read, ascending.
    pub(super) fn inputs(&self) -> Vec<u32> {
        let mut inputs: Vec<u32> = self
            .instructions
            .iter()
            .filter_map(|instruction| match instruction.operation {
                Operation::Input(column) => Some(column),
                _ => None,
            })
            .collect();
        inputs.sort_unstable();
        inputs.dedup();
        inputs
    }

    pub(super) fn registers(&self) -> Registers {
        Registers(vec![[0.0; TILE]; self.instructions.len()])
    }

    /// Run on at most [`TILE`] rows, row-major with `width` columns, and write the outputs row-major.
    pub(super) fn run(&self, rows: &[f32], width: usize, registers: &mut Registers, results: &mut [f32]) {
        let count = results.len() / self.outputs.len().max(1);
        debug_assert!(count <= TILE && rows.len() == count * width);
        for (place, instruction) in self.instructions.iter().enumerate() {
            let (before, rest) = registers.0.split_at_mut(place);
            let result = &mut rest[0];
            match instruction.operation {
                Operation::Input(column) => {
                    for (value, row) in result.iter_mut().zip(rows.chunks_exact(width)) {
                        *value = f64::from(row[column as usize]);
                    }
                }
                Operation::Constant(constant) => result[..count].fill(constant),
                Operation::Unary(kind, of) => unary(kind, &before[of as usize], result, count),
                Operation::Binary(kind, left, right) => {
                    binary(kind, &before[left as usize], &before[right as usize], result, count);
                }
            }
            if instruction.single {
                for value in &mut result[..count] {
                    *value = f64::from(*value as f32);
                }
            }
        }
        for (place, &output) in self.outputs.iter().enumerate() {
            let column = &registers.0[output as usize];
            for (row, value) in results.chunks_exact_mut(self.outputs.len()).zip(column) {
                row[place] = *value as f32;
            }
        }
    }
}

fn sources(operation: Operation) -> [Option<Register>; 2] {
    match operation {
        Operation::Input(_) | Operation::Constant(_) => [None, None],
        Operation::Unary(_, of) => [Some(of), None],
        Operation::Binary(_, left, right) => [Some(left), Some(right)],
    }
}

fn unary(kind: Unary, of: &Column, result: &mut Column, count: usize) {
    let apply = |result: &mut Column, function: fn(f64) -> f64| {
        for (result, value) in result.iter_mut().zip(of).take(count) {
            *result = function(*value);
        }
    };
    match kind {
        Unary::Negate => apply(result, |value| -value),
        Unary::Absolute => apply(result, f64::abs),
        Unary::Reciprocal => apply(result, |value| 1.0 / value),
        Unary::Exponential => apply(result, exp),
        Unary::Logarithm => apply(result, ln),
        Unary::Sigmoid => apply(result, |value| 1.0 / (1.0 + exp(-value))),
        Unary::Round => apply(result, |value| value),
    }
}

fn binary(kind: Binary, left: &Column, right: &Column, result: &mut Column, count: usize) {
    let apply = |result: &mut Column, function: fn(f64, f64) -> f64| {
        for (result, (left, right)) in result.iter_mut().zip(left.iter().zip(right)).take(count) {
            *result = function(*left, *right);
        }
    };
    match kind {
        Binary::Add => apply(result, |left, right| left + right),
        Binary::Subtract => apply(result, |left, right| left - right),
        Binary::Multiply => apply(result, |left, right| left * right),
        Binary::Divide => apply(result, |left, right| left / right),
        Binary::Maximum => apply(result, |left, right| if left.is_nan() || left > right { left } else { right }),
        Binary::Minimum => apply(result, |left, right| if left.is_nan() || left < right { left } else { right }),
        Binary::Power => apply(result, power),
        Binary::Impute => apply(result, |left, right| if left.is_nan() { right } else { left }),
        Binary::SoftmaxZero => apply(result, |score, greatest| {
            if score.abs() > f64::from(0.000_000_1_f32) { exp(score - greatest) } else { score * exp(-greatest) }
        }),
    }
}

/// `base` to the power of `exponent`, for a base that is not negative.
fn power(base: f64, exponent: f64) -> f64 {
    if exponent == 0.0 || base == 1.0 { 1.0 } else { exp(exponent * ln(base)) }
}
