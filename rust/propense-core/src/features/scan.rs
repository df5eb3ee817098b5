//! One user's events through a plan.

use super::kernels::{self, DistinctSet};
use super::plan::{ALL_HISTORY, Pass, PassPlan, Period, Plan, Stream, Write};
use crate::events::EventLog;
use crate::expr::{BoundFilter, EventLeaf, Function};

/// A plan at work over a log and a period; one a thread, as it keeps its scratch.
pub struct Scan<'a> {
    log: &'a EventLog,
    plan: &'a Plan,
    period: Period,
    /// Row of the oldest event in the current user's reach.
    first_row: usize,
    slots: Vec<f64>,
    /// For each stream, the rows of its events, newest first.
    selected: Vec<Vec<u32>>,
    /// Local time of the current user's events, oldest first from `first_row`.
    local: Vec<super::calendar::LocalTime>,
    local_hint: usize,
    bounds: Vec<usize>,
    times_us: Vec<i64>,
    values: Vec<f64>,
    distinct: DistinctSet,
}

impl<'a> Scan<'a> {
    /// A scan without scratch yet.
    #[must_use]
    pub fn new(log: &'a EventLog, plan: &'a Plan, period: Period) -> Self {
        Self {
            log,
            plan,
            period,
            first_row: 0,
            slots: plan.empty.clone(),
            selected: vec![Vec::new(); plan.streams.len()],
            local: Vec::new(),
            local_hint: 0,
            bounds: Vec::new(),
            times_us: Vec::new(),
            values: Vec::new(),
            distinct: DistinctSet::default(),
        }
    }

    /// Writes a user's row of the matrix; `row` has one f32 a feature.
    pub fn write_row(&mut self, user: usize, row: &mut [f32]) {
        self.slots.copy_from_slice(&self.plan.empty);
        self.select(user);
        for (number, stream) in self.plan.streams.iter().enumerate() {
            if !self.selected[number].is_empty() {
                self.run(number, stream);
            }
        }
        if let Some(profile) = self.log.profile_row(user) {
            for &(slot, column) in &self.plan.attributes {
                self.slots[slot] = self.log.attributes()[column].number(profile);
            }
        }
        let slots = &self.slots;
        for (value, output) in row.iter_mut().zip(&self.plan.outputs) {
            *value = output.eval(&|slot| slots[slot]) as f32;
        }
    }

    /// Sorts the user's events in the period into the streams that take them.
    fn select(&mut self, user: usize) {
        let rows = self.log.rows(user);
        let times = &self.log.time_us()[rows.clone()];
        let oldest_us = match self.plan.reach_us {
            ALL_HISTORY => i64::MIN,
            reach_us => self.period.end_us.saturating_sub(reach_us),
        };
        let oldest_us = oldest_us.max(self.period.start_us.unwrap_or(i64::MIN));
        let end = rows.start + times.partition_point(|&time| time < self.period.end_us);
        self.first_row = (rows.start + times.partition_point(|&time| time < oldest_us)).min(end);
        self.selected.iter_mut().for_each(Vec::clear);
        for row in (self.first_row..end).rev() {
            for &number in &self.plan.streams_of_type[self.log.event().code(row).unwrap_or_default() as usize] {
                let filter = self.plan.streams[number].filter.as_ref();
                if filter.is_none_or(|filter| passes(filter, self.log, row)) {
                    self.selected[number].push(row as u32);
                }
            }
        }
        let reads_calendar = |stream: &Stream| stream.passes.iter().any(|planned| planned.pass.reads_calendar());
        if self.plan.streams.iter().any(reads_calendar) {
            let Self { local, local_hint, plan, .. } = self;
            local.clear();
            let times = &self.log.time_us()[self.first_row..end];
            local.extend(times.iter().map(|&time| plan.calendar.local(time, local_hint)));
        }
    }

    fn run(&mut self, number: usize, stream: &Stream) {
        let rows = &self.selected[number];
        let times = self.log.time_us();
        self.times_us.clear();
        self.times_us.extend(rows.iter().map(|&row| times[row as usize]));
        self.bounds.clear();
        let (end_us, selected) = (self.period.end_us, &self.times_us);
        self.bounds.extend(stream.windows_us.iter().map(|&window_us| match window_us {
            ALL_HISTORY => selected.len(),
            _ => selected.partition_point(|&time| time >= end_us.saturating_sub(window_us)),
        }));
        for planned in &stream.passes {
            self.run_pass(number, planned);
        }
    }

    fn run_pass(&mut self, number: usize, planned: &PassPlan) {
        let Self { slots, selected, local, first_row, values, bounds, times_us, distinct, log, period, .. } = self;
        let rows = selected[number].iter().map(|&row| row as usize);
        let first_row = *first_row;
        match planned.pass {
            Pass::Moments(column)
            | Pass::Spread(column)
            | Pass::Extremes(column)
            | Pass::Ends(column)
            | Pass::Distinct(column) => {
                let column = &log.columns()[column];
                values.clear();
                values.extend(rows.map(|row| column.number(row)));
            }
            Pass::Days => {
                values.clear();
                values.extend(rows.map(|row| local[row - first_row].day as f64));
            }
            Pass::Hours(..) => {
                values.clear();
                values.extend(rows.map(|row| f64::from(local[row - first_row].hour)));
            }
            Pass::Weekdays(..) => {
                values.clear();
                values.extend(rows.map(|row| f64::from(local[row - first_row].weekday)));
            }
            Pass::Extent | Pass::Gaps | Pass::Decay(_) => {}
        }
        let mut write = |window: usize, value: &dyn Fn(Function) -> f64| {
            for &Write { function, slot } in &planned.writes[window] {
                slots[slot] = value(function);
            }
        };
        match planned.pass {
            Pass::Extent => kernels::extent(times_us, bounds, period.end_us, |window, extent| {
                write(window, &|function| extent.value(function));
            }),
            Pass::Gaps => kernels::gap_spread(times_us, bounds, |window, spread| write(window, &|_| spread)),
            Pass::Decay(half_life_us) => {
                kernels::decay(times_us, bounds, period.end_us, half_life_us, |window, sum| write(window, &|_| sum));
            }
            Pass::Days => kernels::days(values, bounds, |window, days| write(window, &|_| days)),
            Pass::Hours(from, to) | Pass::Weekdays(from, to) => {
                kernels::share(values, bounds, from, to, |window, share| write(window, &|_| share));
            }
            Pass::Moments(_) => kernels::moments(values, bounds, |window, moments| {
                write(window, &|function| moments.value(function));
            }),
            Pass::Spread(_) => kernels::spread(values, bounds, |window, spread| write(window, &|_| spread)),
            Pass::Extremes(_) => kernels::extremes(values, bounds, |window, (min, max)| {
                write(window, &|function| if function == Function::Min { min } else { max });
            }),
            Pass::Ends(_) => kernels::ends(values, bounds, |window, (first, last)| {
                write(window, &|function| if function == Function::First { first } else { last });
            }),
            Pass::Distinct(_) => {
                kernels::distinct(values, bounds, distinct, |window, count| write(window, &|_| count));
            }
        }
    }
}

fn passes(filter: &BoundFilter, log: &EventLog, row: usize) -> bool {
    filter.program.holds(&|leaf| match filter.leaves[leaf] {
        EventLeaf::EventType => log.event().number(row),
        EventLeaf::Column(column) => log.columns()[column].number(row),
    })
}
