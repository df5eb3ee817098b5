//! Which ops an event of each type sets off.

use super::layout::Selection;
use super::ops::{Op, Ops};
use crate::events::{Cells, EventLog};
use crate::expr::{BoundFilter, EventLeaf, EventSet};

/// What events of one type do.
#[derive(Debug, Default)]
pub(super) struct EventOps {
    /// Every event.
    pub(super) always: Ops,
    /// By the value of one column.
    pub(super) switches: Vec<Switch>,
    /// By conditions that no table can hold.
    pub(super) guards: Vec<Guard>,
}

/// Filters over one column of few values, made into a table.
#[derive(Debug)]
pub(super) struct Switch {
    pub(super) column: usize,
    /// For each place of [`Cells::place`], the ops that its events set off; the first are none.
    pub(super) choice: Vec<u32>,
    pub(super) choices: Vec<Ops>,
}

/// A filter and the ops of those events that pass it.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) filter: BoundFilter,
    pub(super) ops: Ops,
}

/// A filter with the ops of its selection.
type Filtered<'a> = (&'a BoundFilter, &'a [Op]);

/// The ops of every event type of a log.
pub(super) fn dispatch(selections: &[Selection], log: &EventLog) -> Vec<EventOps> {
    (0..log.event_types().len() as u32).map(|code| event_ops(selections, log, code)).collect()
}

fn event_ops(selections: &[Selection], log: &EventLog, code: u32) -> EventOps {
    let mut of_type = EventOps::default();
    // For each column, the filters over it.
    let mut by_column: Vec<(usize, Vec<Filtered>)> = Vec::new();
    for selection in selections {
        let takes = match selection.events {
            EventSet::All => true,
            EventSet::One(one) => one == code,
            EventSet::Empty => false,
        };
        if !takes {
            continue;
        }
        let Some(filter) = &selection.filter else {
            of_type.always.extend(&selection.ops);
            continue;
        };
        if filter.leaves.iter().all(|leaf| *leaf == EventLeaf::EventType) {
            if filter.program.holds(&|_| f64::from(code)) {
                of_type.always.extend(&selection.ops);
            }
        } else if let Some(column) = switch_column(filter, log) {
            match by_column.iter_mut().find(|(known, _)| *known == column) {
                Some((_, filters)) => filters.push((filter, &selection.ops)),
                None => by_column.push((column, vec![(filter, &selection.ops)])),
            }
        } else {
            let mut ops = Ops::default();
            ops.extend(&selection.ops);
            of_type.guards.push(Guard { filter: filter.clone(), ops });
        }
    }
    of_type.switches = by_column.iter().map(|(column, filters)| switch(*column, filters, log, code)).collect();
    of_type
}

/// The only column that a filter reads beside the event type, if it has few values.
fn switch_column(filter: &BoundFilter, log: &EventLog) -> Option<usize> {
    let mut columns = filter.leaves.iter().filter_map(|leaf| match leaf {
        EventLeaf::Column(column) => Some(*column),
        EventLeaf::EventType => None,
    });
    let column = columns.next()?;
    let only = columns.next().is_none() && log.columns()[column].cells.places().is_some();
    only.then_some(column)
}

fn switch(column: usize, filters: &[Filtered], log: &EventLog, code: u32) -> Switch {
    let cells: &Cells = &log.columns()[column].cells;
    let mut choices = vec![Ops::default()];
    // Values that pass the same filters share their ops.
    let mut known: Vec<Vec<bool>> = vec![vec![false; filters.len()]];
    let choice = (0..cells.places().unwrap_or(0)).map(|place| {
        let value = cells.number_at(place);
        let holds = |(filter, _): &Filtered| {
            filter.program.holds(&|leaf| match filter.leaves[leaf] {
                EventLeaf::EventType => f64::from(code),
                EventLeaf::Column(_) => value,
            })
        };
        let passed: Vec<bool> = filters.iter().map(holds).collect();
        let same = known.iter().position(|known| *known == passed);
        same.unwrap_or_else(|| {
            let mut ops = Ops::default();
            filters
                .iter()
                .zip(&passed)
                .filter(|(_, passed)| **passed)
                .for_each(|((_, of_filter), _)| ops.extend(of_filter));
            choices.push(ops);
            known.push(passed);
            choices.len() - 1
        }) as u32
    });
    let choice = choice.collect();
    Switch { column, choice, choices }
}

/// Whether an event passes a filter.
pub(super) fn passes(filter: &BoundFilter, columns: &[&Cells], code: u32, row: usize) -> bool {
    filter.program.holds(&|leaf| match filter.leaves[leaf] {
        EventLeaf::EventType => f64::from(code),
        EventLeaf::Column(column) => columns[column].number(row),
    })
}
