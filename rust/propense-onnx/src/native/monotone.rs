//! What the trees distinguish, seen from before the arithmetic that stands between the features and them.

use super::program::{Binary, Operation, Program, Register, Unary};

/// What a register is as a function of the features.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Constant,
    /// Rises or falls with one feature and reads no other.
    Monotone(u32),
    Other,
}

/// For each feature, ascending, where one of the columns that it makes passes one of the column's steps; `None` if a
/// column that is tested does not rise or fall with one feature.
pub(super) fn steps_before(before: &Program, of_columns: &[Vec<f32>], width: usize) -> Option<Vec<Vec<f32>>> {
    let kinds = kinds(before);
    let mut steps = vec![Vec::new(); width];
    for (column, (register, of_column)) in before.outputs().iter().zip(of_columns).enumerate() {
        let feature = match kinds[*register as usize] {
            _ if of_column.is_empty() => continue,
            Kind::Constant => continue,
            Kind::Monotone(feature) => feature,
            Kind::Other => return None,
        };
        let probe = Probe { before, width, feature: feature as usize, column };
        let (low, high) = (probe.value(f32::MIN), probe.value(f32::MAX));
        // An overflow on the way, which only odd constants cause, could hide a step.
        if low.is_nan() || high.is_nan() {
            return None;
        }
        let rises = low <= high;
        steps[feature as usize].extend(of_column.iter().filter_map(|&step| probe.first(step, rises)));
    }
    for of_feature in &mut steps {
        of_feature.sort_unstable_by(f32::total_cmp);
        of_feature.dedup();
    }
    Some(steps)
}

fn kinds(before: &Program) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = Vec::new();
    let of = |kinds: &[Kind], register: Register| kinds[register as usize];
    for instruction in before.instructions() {
        let kind = match instruction.operation {
            Operation::Input(feature) => Kind::Monotone(feature),
            Operation::Constant(_) => Kind::Constant,
            Operation::Unary(unary, operand) => match (unary, of(&kinds, operand)) {
                (_, Kind::Constant) => Kind::Constant,
                (Unary::Negate, kind) => kind,
                _ => Kind::Other,
            },
            Operation::Binary(binary, left, right) => match (binary, of(&kinds, left), of(&kinds, right)) {
                (_, Kind::Constant, Kind::Constant) => Kind::Constant,
                (
                    Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Divide | Binary::Impute,
                    kind,
                    Kind::Constant,
                )
                | (Binary::Add | Binary::Subtract | Binary::Multiply, Kind::Constant, kind) => kind,
                _ => Kind::Other,
            },
        };
        kinds.push(kind);
    }
    kinds
}

/// One column as a function of one feature.
struct Probe<'p> {
    before: &'p Program,
    width: usize,
    feature: usize,
    column: usize,
}

impl Probe<'_> {
    fn value(&self, number: f32) -> f32 {
        let mut row = vec![f32::NAN; self.width];
        row[self.feature] = number;
        let mut columns = vec![0.0; self.before.outputs().len()];
        self.before.run(&row, self.width, &mut self.before.registers(), &mut columns);
        columns[self.column]
    }

    /// The least number at which the column is on the other side of a step than at the lowest of all; `None` if it
    /// never gets there.
    fn first(&self, step: f32, rises: bool) -> Option<f32> {
        let beyond = |number: f32| (self.value(number) >= step) == rises;
        if beyond(f32::MIN) || !beyond(f32::MAX) {
            return None;
        }
        // The places of all numbers in their order.
        let number = |place: i32| f32::from_bits((place ^ (((place >> 31) as u32) >> 1) as i32) as u32);
        let place = |number: f32| {
            let bits = number.to_bits() as i32;
            bits ^ (((bits >> 31) as u32) >> 1) as i32
        };
        let (mut below, mut at) = (place(f32::MIN), place(f32::MAX));
        while i64::from(at) - i64::from(below) > 1 {
            let middle = below.midpoint(at);
            if beyond(number(middle)) { at = middle } else { below = middle }
        }
        Some(number(at))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::native::program::Instruction;

    /// Features 0 and 1, then the operations; the columns are the last instructions, `columns` of them.
    fn program(operations: &[Operation], columns: usize) -> Program {
        let inputs = [Operation::Input(0), Operation::Input(1)];
        let all: Vec<Instruction> =
            inputs.iter().chain(operations).map(|&operation| Instruction { operation, single: true }).collect();
        let outputs: Vec<Register> = (all.len() - columns..all.len()).map(|place| place as Register).collect();
        Program::of(&all, &outputs)
    }

    fn column(before: &Program, row: [f32; 2]) -> f32 {
        let mut columns = vec![0.0; before.outputs().len()];
        before.run(&row, 2, &mut before.registers(), &mut columns);
        columns[0]
    }

    #[test]
    fn a_step_lies_where_the_column_passes_it() {
        let scaled = [
            Operation::Constant(3.3),
            Operation::Binary(Binary::Subtract, 1, 2),
            Operation::Constant(7.1),
            Operation::Binary(Binary::Divide, 3, 4),
        ];
        let falling = [
            Operation::Constant(0.013),
            Operation::Unary(Unary::Negate, 1),
            Operation::Binary(Binary::Multiply, 2, 3),
            Operation::Binary(Binary::Impute, 4, 2),
        ];
        let of_columns = [vec![-0.45_f32, 0.0, 0.1, 12.5]];
        for operations in [scaled, falling] {
            let before = program(&operations, 1);
            let steps = steps_before(&before, &of_columns, 2).unwrap();
            assert!(steps[0].is_empty() && steps[1].is_sorted() && steps[1].len() == 4);
            for &at in &steps[1] {
                let passed = |number: f32| {
                    let value = column(&before, [f32::NAN, number]);
                    of_columns[0].iter().map(|&step| value >= step).collect::<Vec<_>>()
                };
                assert_ne!(passed(at), passed(at.next_down()), "{at}");
                assert_eq!(passed(at), passed(at.next_up()), "{at}");
            }
        }
    }

    #[test]
    fn what_does_not_rise_or_fall_with_one_feature_is_not_known() {
        let absolute = program(&[Operation::Unary(Unary::Absolute, 0)], 1);
        assert_eq!(steps_before(&absolute, &[vec![1.0]], 2), None);
        assert_eq!(steps_before(&absolute, &[vec![]], 2), Some(vec![vec![], vec![]]));
        let both = program(&[Operation::Binary(Binary::Add, 0, 1)], 1);
        assert_eq!(steps_before(&both, &[vec![1.0]], 2), None);
    }
}
