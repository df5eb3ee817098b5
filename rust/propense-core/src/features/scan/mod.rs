//! One user's events through a plan, in one walk from the newest to the oldest.

mod chunk;
mod dispatch;
mod finish;
mod layout;
mod ops;
mod shape;

use self::chunk::{CHUNK_EVENTS, Chunk};
use self::dispatch::{EventOps, dispatch, passes};
use self::finish::{Finish, User};
use self::layout::{Layout, Reading};
use self::ops::{Event, OpKind};
pub use self::shape::DictionarySizes;
use self::shape::Shape;
use super::calendar::Calendar;
use super::kernels::distinct_values::DistinctSet;
use super::plan::{ALL_HISTORY, Period, Plan};
use crate::events::{Cells, EventLog};
use crate::expr::Program;

/// A plan made ready to run: what each event sets off, and what each column of a row is made of.
///
/// It runs over the log that it was made for, and over any other of the same shape ([`ScanPlan::fits`]).
pub struct ScanPlan {
    shape: Shape,
    /// `None` if nothing reads it.
    calendar: Option<Calendar>,
    width: usize,
    windows_us: Vec<i64>,
    of_type: Vec<EventOps>,
    initial: Vec<u64>,
    kept: usize,
    readings: Vec<Reading>,
    distinct_columns: Vec<usize>,
    half_lives_us: Vec<i64>,
    finish: Finish,
}

impl ScanPlan {
    /// Readies those columns of a plan that are read; the others are never written. `None` reads all.
    #[must_use]
    pub fn new(log: &EventLog, plan: &Plan, reads: Option<&[bool]>) -> Self {
        let is_read = |output: usize| reads.is_none_or(|reads| reads.get(output) == Some(&true));
        let mut leaf_is_read = vec![false; plan.leaves.len()];
        for (output, program) in plan.outputs.iter().enumerate() {
            if is_read(output) {
                program.for_each_leaf(&mut |leaf| leaf_is_read[leaf] = true);
            }
        }
        let Layout { windows_us, selections, initial, kept, readings, distinct_columns, half_lives_us } =
            Layout::new(&plan.leaves, |leaf| leaf_is_read[leaf]);
        let reads_calendar = |kind| matches!(kind, OpKind::Days | OpKind::Hours | OpKind::Weekdays);
        let reads_calendar = selections.iter().flat_map(|selection| &selection.ops).any(|op| reads_calendar(op.kind));
        let leaves = || plan.leaves.iter().zip(&leaf_is_read).filter(|(_, is_read)| **is_read).map(|(leaf, _)| leaf);
        Self {
            shape: Shape::of(log, leaves()),
            calendar: reads_calendar.then(|| plan.calendar.clone()),
            width: plan.width(),
            windows_us,
            of_type: dispatch(&selections, log),
            initial,
            kept,
            finish: Finish::new(&plan.outputs, &readings, is_read),
            readings,
            distinct_columns,
            half_lives_us,
        }
    }

    /// How many values a row has.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Whether the plan gives a log's features as if it had been made for it: codes mean the same event types and texts,
    /// what is read lies in cells of the same type, and no event is beyond the time that the calendar covers.
    ///
    /// That equal codes stand for equal texts is for the caller to know: the two logs must share dictionaries that only
    /// grow. What is compared is how far they have grown, which for `log` is `sizes`: no further than for the plan.
    #[must_use]
    pub fn fits(&self, log: &EventLog, sizes: &DictionarySizes) -> bool {
        self.shape.fits(log, sizes) && self.calendar.as_ref().is_none_or(|calendar| covers(calendar, log))
    }
}

/// The first instant of a window.
fn window_start_us(window_us: i64, end_us: i64) -> i64 {
    if window_us == ALL_HISTORY { i64::MIN } else { end_us.saturating_sub(window_us) }
}

/// Whether a calendar's offsets reach to every event of a log.
fn covers(calendar: &Calendar, log: &EventLog) -> bool {
    log.time_span_us().is_none_or(|(first_us, last_us)| calendar.covers(first_us) && calendar.covers(last_us))
}

/// A plan at work over a period; one a thread, as it keeps its scratch.
pub struct Scan<'a> {
    plan: &'a ScanPlan,
    log: &'a EventLog,
    columns: Vec<&'a Cells>,
    end_us: i64,
    /// The earliest instant of each window, ascending windows; later windows reach further back.
    starts_us: Vec<i64>,
    /// What was kept of each window but the longest, then the running states.
    cells: Vec<u64>,
    sets: Vec<DistinctSet>,
    /// The current user's number in the distinct sets.
    user: u32,
    chunk: Chunk,
}

impl<'a> Scan<'a> {
    /// A scan that has seen no user of a log that the plan was made for or fits.
    #[must_use]
    pub fn new(plan: &'a ScanPlan, log: &'a EventLog, period: Period) -> Self {
        let start = |&window_us: &i64| window_start_us(window_us, period.end_us);
        let earliest_us = period.start_us.unwrap_or(i64::MIN);
        let starts_us: Vec<i64> = plan.windows_us.iter().map(|window| start(window).max(earliest_us)).collect();
        let columns: Vec<&Cells> = log.columns().iter().map(|column| &column.cells).collect();
        Self {
            plan,
            log,
            end_us: period.end_us,
            cells: vec![0; plan.kept * starts_us.len().saturating_sub(1) + plan.initial.len()],
            starts_us,
            sets: plan.distinct_columns.iter().map(|&column| DistinctSet::of(columns[column])).collect(),
            columns,
            user: 0,
            chunk: Chunk::new(plan.half_lives_us.len()),
        }
    }

    /// Writes a user's row of the matrix: `row` has one f32 a feature, of which those that are read are written.
    pub fn write_row(&mut self, user: usize, row: &mut [f32]) {
        self.write(user, row, 1);
    }

    /// Writes a user's values into `out`, `stride` places apart: the row of a matrix, or a column of its transpose.
    pub(super) fn write(&mut self, user: usize, out: &mut [f32], stride: usize) {
        self.gather(user);
        let Self { plan, log, end_us, cells, .. } = self;
        let readings = plan.readings.as_slice();
        let profile_row = log.profile_row(user);
        let leaves = User { readings, log, profile_row, end_us: *end_us, externals: &[] };
        plan.finish.write(cells, &leaves, out, stride);
    }

    /// The value of a program of the plan for the user whom [`Scan::gather`] has gathered, in f64; NaN if missing.
    pub(crate) fn value(&self, program: &Program, user: usize, externals: &[f64]) -> f64 {
        let Self { plan, log, end_us, cells, .. } = self;
        let readings = plan.readings.as_slice();
        let leaves = User { readings, log, profile_row: log.profile_row(user), end_us: *end_us, externals };
        program.eval(&|leaf| readings[leaf].value(cells, &leaves))
    }

    /// The value of a leaf of the plan that is read, for the user whom [`Scan::gather`] has gathered; NaN if missing.
    pub(super) fn leaf(&self, leaf: usize, user: usize) -> f64 {
        let Self { plan, log, end_us, cells, .. } = self;
        let readings = plan.readings.as_slice();
        let leaves = User { readings, log, profile_row: log.profile_row(user), end_us: *end_us, externals: &[] };
        readings[leaf].value(cells, &leaves)
    }

    /// Moves to another `as_of`, all history before it.
    pub fn move_to(&mut self, as_of_us: i64) {
        self.end_us = as_of_us;
        for (start_us, window_us) in self.starts_us.iter_mut().zip(&self.plan.windows_us) {
            *start_us = window_start_us(*window_us, as_of_us);
        }
    }

    /// Walks a user's events, so that [`Scan::value`] can be asked.
    pub(crate) fn gather(&mut self, user: usize) {
        self.next_user();
        match self.log.event() {
            Cells::U8(codes) => self.walk(user, codes),
            Cells::U16(codes) => self.walk(user, codes),
            Cells::U32(codes) => self.walk(user, codes),
            // A log's event types are codes: `EventLog::from_parts` sees to it.
            _ => {}
        }
    }

    fn next_user(&mut self) {
        if self.user == u32::MAX {
            self.sets.iter_mut().for_each(DistinctSet::reset);
            self.user = 0;
        }
        self.user += 1;
    }

    /// Leaves in the cells what every window holds.
    fn walk<C: Copy + Into<u32>>(&mut self, user: usize, codes: &[C]) {
        let Self { plan, log, columns, end_us, starts_us, cells, sets, user: user_number, chunk } = self;
        let columns = columns.as_slice();
        let Some(&longest_us) = starts_us.last() else { return };
        let (before, states) = cells.split_at_mut(plan.kept * (starts_us.len() - 1));
        states.copy_from_slice(&plan.initial);
        let rows = log.rows(user);
        let (times, codes) = (&log.time_us()[rows.clone()], &codes[rows.clone()]);
        let mut newest = match times.last() {
            Some(&last) if last >= *end_us => times.partition_point(|&time| time < *end_us),
            _ => times.len(),
        };
        let oldest = match times.first() {
            Some(&first) if first < longest_us => times.partition_point(|&time| time < longest_us),
            _ => 0,
        };
        let mut window = 0;
        while newest > oldest {
            let first = newest.saturating_sub(CHUNK_EVENTS).max(oldest);
            chunk.fill(&times[first..newest], *end_us, plan.calendar.as_ref(), &plan.half_lives_us);
            for place in (first..newest).rev() {
                let time_us = times[place];
                // Of a log in order no event is before the longest window; of a damaged one, any may be.
                while window + 1 < starts_us.len() && time_us < starts_us[window] {
                    before[window * plan.kept..][..plan.kept].copy_from_slice(&states[..plan.kept]);
                    window += 1;
                }
                let code: u32 = codes[place].into();
                // A code beyond the event types can only come from a damaged file: such an event is of no known type.
                let Some(ops) = plan.of_type.get(code as usize) else { continue };
                let row = rows.start + place;
                let event = Event { row, place: place - first, time_us, user: *user_number, columns };
                ops.always.apply(&event, chunk, states, sets);
                for switch in &ops.switches {
                    let choice = switch.choice[columns[switch.column].place(row)] as usize;
                    if choice > 0 {
                        switch.choices[choice].apply(&event, chunk, states, sets);
                    }
                }
                for guard in &ops.guards {
                    if passes(&guard.filter, columns, code, row) {
                        guard.ops.apply(&event, chunk, states, sets);
                    }
                }
            }
            newest = first;
        }
        for window in before[window * plan.kept..].chunks_exact_mut(plan.kept.max(1)) {
            window.copy_from_slice(&states[..plan.kept]);
        }
    }
}
