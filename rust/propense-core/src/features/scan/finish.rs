//! From a user's cells to a row of the matrix.

use super::instructions::Instructions;
use super::layout::Reading;
use super::states::Held;
use crate::events::EventLog;
use crate::expr::Program;

/// Where the columns of a row come from.
///
/// A user's values are worked out in an order of their own: all counts, all numbers, then what has to be evaluated. Only
/// where they are written do they get into the order of the columns.
#[derive(Debug)]
pub(super) struct Finish {
    /// What is evaluated.
    programs: Vec<Program>,
    /// For each column that is read, where its value stands and which column it is, by the first.
    columns: Vec<(u32, u32)>,
}

impl Finish {
    /// How the columns that are read are made; the others stay as they are.
    pub(super) fn new(
        outputs: &[Program],
        readings: &[Reading],
        counts: usize,
        numbers: usize,
        is_read: impl Fn(usize) -> bool,
    ) -> Self {
        let (mut programs, mut columns) = (Vec::new(), Vec::new());
        for (output, program) in outputs.iter().enumerate().filter(|(output, _)| is_read(*output)) {
            let place = match program.as_leaf().map(|leaf| readings[leaf]) {
                Some(Reading::Count(cell)) => cell,
                Some(Reading::Number(cell)) => counts + cell,
                _ => {
                    programs.push(program.clone());
                    counts + numbers + programs.len() - 1
                }
            };
            columns.push((place as u32, output as u32));
        }
        columns.sort_unstable();
        Self { programs, columns }
    }

    /// For each column that is read, the place of its value and its number.
    pub(super) fn columns(&self) -> &[(u32, u32)] {
        &self.columns
    }

    /// How many values are evaluated.
    pub(super) fn evaluated(&self) -> usize {
        self.programs.len()
    }

    /// Writes a user's values.
    pub(super) fn write(&self, instructions: Instructions, held: &Held, user: &User, values: &mut [f32]) {
        let (cells, values) = values.split_at_mut(held.counts.len() + held.numbers.len());
        instructions.narrow(&held.counts, &held.numbers, cells);
        for (value, program) in values.iter_mut().zip(&self.programs) {
            *value = program.eval(&|leaf| user.readings[leaf].value(held, user)) as f32;
        }
    }
}

/// What leaves are read from, beside the cells.
pub(super) struct User<'a> {
    pub(super) readings: &'a [Reading],
    pub(super) log: &'a EventLog,
    pub(super) profile_row: Option<usize>,
    /// The values from outside; features have none.
    pub(super) externals: &'a [f64],
}

impl Reading {
    /// The leaf's value; NaN if missing.
    pub(super) fn value(&self, held: &Held, user: &User) -> f64 {
        match *self {
            Self::Attribute(column) => {
                user.profile_row.map_or(f64::NAN, |row| user.log.attributes()[column].number(row))
            }
            Self::Count(cell) => held.counts[cell].into(),
            Self::Number(cell) => held.numbers[cell],
            Self::External(number) => user.externals.get(number).copied().unwrap_or(f64::NAN),
            Self::Unread => f64::NAN,
        }
    }
}
