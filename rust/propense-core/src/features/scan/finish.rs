//! From a user's states to a row of the matrix.

use super::layout::Reading;
use super::ops::OpKind;
use crate::events::EventLog;
use crate::expr::{Function, Program};
use crate::features::kernels::calendar_days::{HOURS, WEEKDAYS, share};
use crate::features::kernels::extent::extent_value;
use crate::features::kernels::property::mean;
use crate::features::kernels::welford::deviation;

/// What each column of a row is made of. The commonest are lists of their own, so that their loops have no choice.
#[derive(Debug, Default)]
pub(super) struct Finish {
    /// Counts: the cell and the column.
    counts: Vec<(u32, u32)>,
    /// Numbers: the cell and the column.
    numbers: Vec<(u32, u32)>,
    /// Single leaves of any other kind, and the column.
    leaves: Vec<(Reading, u32)>,
    /// Expressions over leaves, and the column.
    programs: Vec<(Program, u32)>,
}

impl Finish {
    /// How the columns that are read are made; the others stay as they are.
    pub(super) fn new(outputs: &[Program], readings: &[Reading], is_read: impl Fn(usize) -> bool) -> Self {
        let mut finish = Self::default();
        for (output, program) in outputs.iter().enumerate().filter(|(output, _)| is_read(*output)) {
            let column = output as u32;
            let Some(leaf) = program.as_leaf() else {
                finish.programs.push((program.clone(), column));
                continue;
            };
            match readings[leaf].cell() {
                Some(Cell::Count(cell)) => finish.counts.push((cell as u32, column)),
                Some(Cell::Number(cell)) => finish.numbers.push((cell as u32, column)),
                None => finish.leaves.push((readings[leaf], column)),
            }
        }
        finish
    }

    /// Writes a row from the cells of all windows.
    pub(super) fn write(&self, cells: &[u64], user: &User, row: &mut [f32]) {
        for &(cell, column) in &self.counts {
            row[column as usize] = cells[cell as usize] as f32;
        }
        for &(cell, column) in &self.numbers {
            row[column as usize] = f64::from_bits(cells[cell as usize]) as f32;
        }
        for (reading, column) in &self.leaves {
            row[*column as usize] = reading.value(cells, user) as f32;
        }
        for (program, column) in &self.programs {
            row[*column as usize] = program.eval(&|leaf| user.readings[leaf].value(cells, user)) as f32;
        }
    }
}

/// What leaves are read from, beside the cells.
pub(super) struct User<'a> {
    pub(super) readings: &'a [Reading],
    pub(super) log: &'a EventLog,
    pub(super) profile_row: Option<usize>,
    pub(super) end_us: i64,
}

/// A cell that holds a leaf's value as it is.
enum Cell {
    Count(usize),
    Number(usize),
}

impl Reading {
    fn cell(&self) -> Option<Cell> {
        let Self::State { function, kind, at } = *self else { return None };
        match (kind, function) {
            (OpKind::Count | OpKind::Distinct | OpKind::Days, _)
            | (OpKind::Extent | OpKind::Moments, Function::Count) => Some(Cell::Count(at)),
            (OpKind::Moments, Function::Sum) => Some(Cell::Number(at + 1)),
            (OpKind::Decay { .. }, _) => Some(Cell::Number(at)),
            (OpKind::Extremes, _) => Some(Cell::Number(at + usize::from(function == Function::Max))),
            (OpKind::Ends, _) => Some(Cell::Number(at + usize::from(function == Function::Last))),
            _ => None,
        }
    }

    /// The leaf's value; NaN if missing.
    fn value(&self, cells: &[u64], user: &User) -> f64 {
        match *self {
            Self::Attribute(column) => {
                user.profile_row.map_or(f64::NAN, |row| user.log.attributes()[column].number(row))
            }
            Self::State { function, kind, at } => match self.cell() {
                Some(Cell::Count(cell)) => cells[cell] as f64,
                Some(Cell::Number(cell)) => f64::from_bits(cells[cell]),
                None => of_state(function, kind, &cells[at..], user.end_us),
            },
            Self::Unread => f64::NAN,
        }
    }
}

fn of_state(function: Function, kind: OpKind, state: &[u64], end_us: i64) -> f64 {
    match (kind, function, state) {
        (OpKind::Extent, _, &[count, newest, oldest, ..]) => extent_value(&[count, newest, oldest], function, end_us),
        (OpKind::Gaps | OpKind::Spread, _, &[count, mean, squares, ..]) => deviation(&[count, mean, squares]),
        (OpKind::Moments, _, &[count, sum, ..]) => mean(&[count, sum]),
        (_, Function::HourShare { from, to }, hours) => {
            hours.first_chunk::<{ HOURS.len() }>().map_or(f64::NAN, |hours| share(hours, from.into(), to.into()))
        }
        (_, Function::WeekdayShare { from, to }, days) => days
            .first_chunk::<{ WEEKDAYS.len() }>()
            .map_or(f64::NAN, |days| share(days, usize::from(from) - 1, usize::from(to) - 1)),
        _ => f64::NAN,
    }
}
