//! From a user's states to a row of the matrix.

use super::layout::Reading;
use super::ops::OpKind;
use crate::events::EventLog;
use crate::expr::{Function, Program};
use crate::features::kernels::calendar_days::{HOURS, WEEKDAYS, running_sums, share};
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
    /// Means: the state's first cell and the column.
    means: Vec<(u32, u32)>,
    /// Functions of instants: the state's first cell and the column.
    extents: Vec<(Function, u32, u32)>,
    /// Shares of hours, by state.
    hours: Vec<Shares>,
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
                None => finish.push_leaf(readings[leaf], column),
            }
        }
        finish
    }

    fn push_leaf(&mut self, reading: Reading, column: u32) {
        match reading {
            Reading::State { function, kind: OpKind::Extent, at } => self.extents.push((function, at as u32, column)),
            Reading::State { kind: OpKind::Moments, at, .. } => self.means.push((at as u32, column)),
            Reading::State { function: Function::HourShare { from, to }, at, .. } => {
                let known = self.hours.iter().position(|shares| shares.at == at);
                let place = known.unwrap_or_else(|| {
                    self.hours.push(Shares { at, spans: Vec::new() });
                    self.hours.len() - 1
                });
                self.hours[place].spans.push((from, to, column));
            }
            _ => self.leaves.push((reading, column)),
        }
    }

    /// Writes a row from the cells of all windows; `row` has its columns `stride` apart.
    pub(super) fn write(&self, cells: &[u64], user: &User, row: &mut [f32], stride: usize) {
        let mut put = |column: u32, value: f32| row[column as usize * stride] = value;
        for &(cell, column) in &self.counts {
            put(column, cells[cell as usize] as f32);
        }
        for &(cell, column) in &self.numbers {
            put(column, f64::from_bits(cells[cell as usize]) as f32);
        }
        for &(at, column) in &self.means {
            put(column, first(cells, at as usize).map_or(f64::NAN, mean) as f32);
        }
        for &(function, at, column) in &self.extents {
            let value = |state| extent_value(state, function, user.end_us);
            put(column, first(cells, at as usize).map_or(f64::NAN, value) as f32);
        }
        for shares in &self.hours {
            let sums = running_sums(&cells[shares.at..][..HOURS.len()]);
            for &(from, to, column) in &shares.spans {
                put(column, share(&sums, from.into(), to.into()) as f32);
            }
        }
        for (reading, column) in &self.leaves {
            put(*column, reading.value(cells, user) as f32);
        }
        for (program, column) in &self.programs {
            put(*column, program.eval(&|leaf| user.readings[leaf].value(cells, user)) as f32);
        }
    }
}

/// The shares that are read from one state.
#[derive(Debug)]
struct Shares {
    at: usize,
    /// First and last place, both in, and the column.
    spans: Vec<(u8, u8, u32)>,
}

/// The cells of a state.
#[inline]
fn first<const N: usize>(cells: &[u64], at: usize) -> Option<&[u64; N]> {
    cells[at..].first_chunk()
}

/// What leaves are read from, beside the cells.
pub(super) struct User<'a> {
    pub(super) readings: &'a [Reading],
    pub(super) log: &'a EventLog,
    pub(super) profile_row: Option<usize>,
    pub(super) end_us: i64,
    /// The values from outside; features have none.
    pub(super) externals: &'a [f64],
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
    pub(super) fn value(&self, cells: &[u64], user: &User) -> f64 {
        match *self {
            Self::Attribute(column) => {
                user.profile_row.map_or(f64::NAN, |row| user.log.attributes()[column].number(row))
            }
            Self::State { function, kind, at } => match self.cell() {
                Some(Cell::Count(cell)) => cells[cell] as f64,
                Some(Cell::Number(cell)) => f64::from_bits(cells[cell]),
                None => of_state(function, kind, &cells[at..], user.end_us),
            },
            Self::External(number) => user.externals.get(number).copied().unwrap_or(f64::NAN),
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
            share(&running_sums(&hours[..HOURS.len()]), from.into(), to.into())
        }
        (_, Function::WeekdayShare { from, to }, days) => {
            share(&running_sums(&days[..WEEKDAYS.len()]), usize::from(from) - 1, usize::from(to) - 1)
        }
        _ => f64::NAN,
    }
}
