//! Events that come to be seen and leave windows.

use crate::events::EventLog;
use crate::expr::{BoundAggregate, BoundFilter, EventLeaf, EventSet};

/// The windows that selections of events are looked at through.
#[derive(Debug, Default)]
pub(super) struct Watches {
    /// What is seen at all, whatever the window.
    seen: Watch,
    /// Windows in microseconds, ascending.
    windows: Vec<(i64, Watch)>,
}

/// Which events matter.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Those of any type, if they pass one of the filters.
    any: Passing,
    /// The same of single types, by code.
    by_type: Vec<Passing>,
}

/// Which events of a type matter.
#[derive(Debug, Default, Clone)]
enum Passing {
    #[default]
    None,
    Some(Vec<BoundFilter>),
    All,
}

impl Watches {
    pub(super) fn add(&mut self, aggregate: &BoundAggregate) {
        self.seen.add(aggregate);
        if let Some(window_us) = aggregate.window_us {
            let place = self.windows.partition_point(|(known_us, _)| *known_us < window_us);
            if self.windows.get(place).is_none_or(|(known_us, _)| *known_us != window_us) {
                self.windows.insert(place, (window_us, Watch::default()));
            }
            self.windows[place].1.add(aggregate);
        }
    }

    /// The first instant after another at which an event that matters comes to be seen or leaves a window.
    pub(super) fn next_us(&self, log: &EventLog, user: usize, after_us: i64) -> i64 {
        let rows = log.rows(user);
        let times_us = &log.time_us()[rows.clone()];
        let mut next_us = i64::MAX;
        let watches = self.windows.iter().map(|(window_us, watch)| (*window_us, watch));
        for (window_us, watch) in [(0, &self.seen)].into_iter().chain(watches) {
            // An event at e is out of the window from e + w + 1 on, so those that are not yet are at after − w or later.
            let from_us = after_us.saturating_sub(window_us);
            let first = times_us.partition_point(|&time_us| time_us < from_us);
            for (place, &time_us) in times_us.iter().enumerate().skip(first) {
                // An event that would leave after the end of time never does.
                let Some(change_us) = time_us.checked_add(window_us).and_then(|end_us| end_us.checked_add(1)) else {
                    break;
                };
                if change_us >= next_us {
                    break;
                }
                if watch.takes(log, rows.start + place) {
                    next_us = change_us;
                    break;
                }
            }
        }
        next_us
    }
}

impl Watch {
    pub(super) fn add(&mut self, aggregate: &BoundAggregate) {
        let passing = match aggregate.events {
            EventSet::Empty => return,
            EventSet::All => &mut self.any,
            EventSet::One(code) => {
                let code = code as usize;
                if self.by_type.len() <= code {
                    self.by_type.resize(code + 1, Passing::None);
                }
                &mut self.by_type[code]
            }
        };
        passing.add(aggregate.filter.as_ref());
    }

    /// Whether the event in a row matters.
    pub(super) fn takes(&self, log: &EventLog, row: usize) -> bool {
        let Some(code) = log.event().code(row) else { return false };
        self.any.takes(log, code, row) || self.by_type.get(code as usize).is_some_and(|of| of.takes(log, code, row))
    }
}

impl Passing {
    fn add(&mut self, filter: Option<&BoundFilter>) {
        match (&mut *self, filter) {
            (Self::All, _) => {}
            (_, None) => *self = Self::All,
            (Self::None, Some(filter)) => *self = Self::Some(vec![filter.clone()]),
            (Self::Some(filters), Some(filter)) => {
                if !filters.contains(filter) {
                    filters.push(filter.clone());
                }
            }
        }
    }

    fn takes(&self, log: &EventLog, code: u32, row: usize) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(filters) => filters.iter().any(|filter| passes(filter, log, code, row)),
        }
    }
}

/// Whether an event passes a filter.
fn passes(filter: &BoundFilter, log: &EventLog, code: u32, row: usize) -> bool {
    filter.program.holds(&|leaf| match filter.leaves[leaf] {
        EventLeaf::EventType => f64::from(code),
        EventLeaf::Column(column) => log.columns()[column].number(row),
    })
}
