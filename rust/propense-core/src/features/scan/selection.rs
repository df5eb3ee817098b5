//! Which events an aggregate takes.

use crate::events::{Cells, EventLog};
use crate::expr::{BoundAggregate, BoundFilter, EventLeaf, EventSet};

/// The most places of a table of the values of all event types together: one is made for each plan.
const TABLE_PLACES: usize = 1 << 20;

/// The events of some types that pass a filter.
pub(super) struct Selection<'p> {
    pub(super) events: EventSet,
    filter: Option<&'p BoundFilter>,
    pub(super) test: Test,
}

/// What has to be looked at to tell whether an event is selected.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    /// Its type.
    Type,
    /// Its type and its value in a column of few values.
    Column(usize),
    /// Its type and a condition that no table can hold.
    Condition(BoundFilter),
}

impl<'p> Selection<'p> {
    pub(super) fn of(aggregate: &'p BoundAggregate, log: &EventLog) -> Self {
        let filter = aggregate.filter.as_ref();
        let test = filter.map_or(Test::Type, |filter| Test::of(filter, aggregate.events, log));
        Self { events: aggregate.events, filter, test }
    }

    /// Whether every event of its types is in it.
    pub(super) fn is_whole(&self) -> bool {
        self.filter.is_none()
    }

    /// Whether it takes events of a type at all.
    pub(super) fn takes(&self, event_type: u32) -> bool {
        match self.events {
            EventSet::All => true,
            EventSet::One(one) => one == event_type,
            EventSet::Empty => false,
        }
    }

    /// Whether it takes an event of a type whose only column that matters has this value.
    pub(super) fn takes_value(&self, event_type: u32, value: f64) -> bool {
        let holds = |filter: &BoundFilter| {
            filter.program.holds(&|leaf| match filter.leaves[leaf] {
                EventLeaf::EventType => f64::from(event_type),
                EventLeaf::Column(_) => value,
            })
        };
        self.takes(event_type) && self.filter.is_none_or(holds)
    }
}

impl Test {
    fn of(filter: &BoundFilter, events: EventSet, log: &EventLog) -> Self {
        let event_types = if events == EventSet::All { log.event_types().len() } else { 1 };
        let has_table = |column: usize| {
            log.columns()[column].cells.places().is_some_and(|places| places * event_types <= TABLE_PLACES)
        };
        let mut columns = filter.leaves.iter().filter_map(|leaf| match leaf {
            EventLeaf::Column(column) => Some(*column),
            EventLeaf::EventType => None,
        });
        match (columns.next(), columns.next()) {
            (None, _) => Self::Type,
            (Some(column), None) if has_table(column) => Self::Column(column),
            _ => Self::Condition(filter.clone()),
        }
    }
}

/// Whether an event passes a filter.
pub(super) fn passes(filter: &BoundFilter, columns: &[&Cells], event_type: u32, row: usize) -> bool {
    filter.program.holds(&|leaf| match filter.leaves[leaf] {
        EventLeaf::EventType => f64::from(event_type),
        EventLeaf::Column(column) => columns[column].number(row),
    })
}
