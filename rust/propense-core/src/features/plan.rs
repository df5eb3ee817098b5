//! A spec bound to a log: which events go where, which windows share a pass, what each column is.

use std::collections::HashMap;

use super::calendar::Calendar;
use super::error::FeatureError;
use super::spec::FeatureSpec;
use crate::events::{ColumnKind, EventLog};
use crate::expr::{
    Binder, BoundAggregate, BoundFilter, EventSet, ExprError, Function, Node, Program, UnknownEvents, UserLeaf, parse,
};

/// The half-open span `[start, end)` of the events that are looked at; windows are measured back from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Earliest instant that is in, microseconds since 1970-01-01 UTC; `None` is all history.
    pub start_us: Option<i64>,
    /// First instant that is out; the `as_of` of features.
    pub end_us: i64,
}

impl Period {
    /// All history before an `as_of`.
    #[must_use]
    pub fn before(as_of_us: i64) -> Self {
        Self { start_us: None, end_us: as_of_us }
    }
}

/// The window that stands for all history.
pub(super) const ALL_HISTORY: i64 = i64::MAX;

/// What a pass over one selection of events computes. Kernels run over the selection newest event first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Pass {
    /// Counts, recency, tenure and mean gaps: only where the windows end matters.
    Extent,
    /// Standard deviations of gaps.
    Gaps,
    /// Distinct local days.
    Days,
    /// Decayed counts with this half-life.
    Decay(i64),
    /// Shares of local hours.
    Hours(u8, u8),
    /// Shares of local days of the week.
    Weekdays(u8, u8),
    /// Counts, sums and means of a property.
    Moments(usize),
    /// Standard deviations of a property.
    Spread(usize),
    /// Smallest and largest values of a property.
    Extremes(usize),
    /// Oldest and newest values of a property.
    Ends(usize),
    /// Distinct values of a property.
    Distinct(usize),
}

impl Pass {
    fn of(aggregate: &BoundAggregate) -> Self {
        match (aggregate.function, aggregate.column) {
            (Function::Count | Function::Sum | Function::Mean, Some(column)) => Self::Moments(column),
            (Function::Std, Some(column)) => Self::Spread(column),
            (Function::Min | Function::Max, Some(column)) => Self::Extremes(column),
            (Function::First | Function::Last, Some(column)) => Self::Ends(column),
            (Function::Distinct, Some(column)) => Self::Distinct(column),
            (Function::GapStd, _) => Self::Gaps,
            (Function::ActiveDays, _) => Self::Days,
            (Function::DecayedCount { half_life_us }, _) => Self::Decay(half_life_us),
            (Function::HourShare { from, to }, _) => Self::Hours(from, to),
            (Function::WeekdayShare { from, to }, _) => Self::Weekdays(from, to),
            _ => Self::Extent,
        }
    }

    /// Whether it reads local time.
    pub(super) fn reads_calendar(self) -> bool {
        matches!(self, Self::Days | Self::Hours(..) | Self::Weekdays(..))
    }
}

/// One value that a pass writes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Write {
    pub(super) function: Function,
    pub(super) slot: usize,
}

/// A pass with, for each window of its stream, what it writes there.
#[derive(Debug)]
pub(super) struct PassPlan {
    pub(super) pass: Pass,
    pub(super) writes: Vec<Vec<Write>>,
}

/// A selection of events with the passes over it.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) events: EventSet,
    pub(super) filter: Option<BoundFilter>,
    /// Windows in microseconds, ascending; [`ALL_HISTORY`] is the last if it is asked for.
    pub(super) windows_us: Vec<i64>,
    pub(super) passes: Vec<PassPlan>,
}

/// A spec ready to run over one log.
#[derive(Debug)]
pub struct Plan {
    spec: FeatureSpec,
    pub(super) streams: Vec<Stream>,
    /// For each event type, the streams that may take its events.
    pub(super) streams_of_type: Vec<Vec<usize>>,
    /// Every slot's value for a user without events.
    pub(super) empty: Vec<f64>,
    /// Slots that hold attributes, with their columns.
    pub(super) attributes: Vec<(usize, usize)>,
    pub(super) outputs: Vec<Program>,
    pub(super) calendar: Calendar,
    /// The longest window; events before it need no look.
    pub(super) reach_us: i64,
}

impl Plan {
    /// Binds a spec to a log. The codes of a text feature without a vocabulary are the texts that its property has
    /// before `before_us`, so that they tell nothing of what came later.
    ///
    /// # Errors
    /// A feature does not fit the log (says which), there is none, or the time zone is unknown.
    pub fn compile(
        spec: &FeatureSpec,
        log: &EventLog,
        unknown_events: UnknownEvents,
        before_us: i64,
    ) -> Result<Self, FeatureError> {
        if spec.features.is_empty() {
            return Err(FeatureError::NoFeatures);
        }
        let mut spec = spec.clone();
        let mut binder = Binder::new(log, unknown_events);
        let mut outputs = Vec::with_capacity(spec.features.len());
        for feature in &spec.features {
            let located = |source| FeatureError::Feature { name: feature.name.clone(), source };
            let expr = parse(&feature.expression).map_err(located)?;
            let bound = binder.bind(&expr, &feature.expression).map_err(located)?;
            if bound.kind == ColumnKind::Time {
                return Err(located(ExprError::Type {
                    text: feature.expression.clone(),
                    what: "a feature".to_owned(),
                    expected: "a number, a truth value or a text; compare the time with an instant such as '2024-05-01'",
                    found: "a time",
                }));
            }
            outputs.push(match (bound.kind, bound.program.as_leaf()) {
                (ColumnKind::Text, Some(leaf)) => {
                    let known = spec.vocabularies.entry(feature.name.clone());
                    let known =
                        known.or_insert_with(|| seen_before(log, binder.leaf(leaf), &bound.dictionary, before_us));
                    Program { root: Node::Lookup(leaf, recode(&bound.dictionary, known)) }
                }
                _ => bound.program,
            });
        }
        let leaves = binder.into_leaves();
        let (first_us, last_us) = log.time_span_us().unwrap_or((0, 0));
        let calendar = Calendar::new(&spec.timezone, first_us, last_us)?;
        let (streams, attributes) = streams(&leaves);
        let reach_us = streams.iter().filter_map(|stream| stream.windows_us.last().copied()).max().unwrap_or(0);
        let empty = leaves.iter().map(empty_value).collect();
        let streams_of_type = streams_of_type(&streams, log.event_types().len());
        Ok(Self { spec, streams, streams_of_type, empty, attributes, outputs, calendar, reach_us })
    }

    /// The spec with every vocabulary filled in.
    #[must_use]
    pub fn spec(&self) -> &FeatureSpec {
        &self.spec
    }

    /// How many columns the matrix has.
    #[must_use]
    pub fn width(&self) -> usize {
        self.outputs.len()
    }
}

/// The texts of a leaf's dictionary that events before an instant have; of an attribute, all.
fn seen_before(log: &EventLog, leaf: &UserLeaf, dictionary: &[String], before_us: i64) -> Vec<String> {
    let UserLeaf::Aggregate(BoundAggregate { column: Some(column), .. }) = leaf else { return dictionary.to_vec() };
    let mut seen = vec![false; dictionary.len()];
    for (row, _) in log.time_us().iter().enumerate().filter(|(_, time)| **time < before_us) {
        let code = log.columns()[*column].number(row);
        if !code.is_nan() {
            seen[code as usize] = true;
        }
    }
    dictionary.iter().zip(seen).filter(|(_, seen)| *seen).map(|(text, _)| text.clone()).collect()
}

/// For each code of a dictionary, its place in a vocabulary; missing if it is not there.
fn recode(dictionary: &[String], vocabulary: &[String]) -> Vec<f64> {
    let places: HashMap<&str, usize> =
        vocabulary.iter().enumerate().map(|(place, text)| (text.as_str(), place)).collect();
    dictionary.iter().map(|text| places.get(text.as_str()).map_or(f64::NAN, |&place| place as f64)).collect()
}

fn empty_value(leaf: &UserLeaf) -> f64 {
    match leaf {
        UserLeaf::Aggregate(aggregate) => aggregate.function.empty(),
        UserLeaf::Attribute(_) => f64::NAN,
    }
}

/// Groups aggregates that look at the same events, and within them those that share a pass.
fn streams(leaves: &[UserLeaf]) -> (Vec<Stream>, Vec<(usize, usize)>) {
    let mut attributes = Vec::new();
    let mut order: Vec<&str> = Vec::new();
    let mut of_selector: HashMap<&str, Vec<(usize, &BoundAggregate)>> = HashMap::new();
    for (slot, leaf) in leaves.iter().enumerate() {
        match leaf {
            UserLeaf::Attribute(column) => attributes.push((slot, *column)),
            UserLeaf::Aggregate(aggregate) => {
                let members = of_selector.entry(&aggregate.selector_text).or_insert_with(|| {
                    order.push(&aggregate.selector_text);
                    Vec::new()
                });
                members.push((slot, aggregate));
            }
        }
    }
    (order.iter().map(|selector| stream(&of_selector[selector])).collect(), attributes)
}

fn stream(members: &[(usize, &BoundAggregate)]) -> Stream {
    let window = |aggregate: &BoundAggregate| aggregate.window_us.unwrap_or(ALL_HISTORY);
    let mut windows_us: Vec<i64> = members.iter().map(|(_, aggregate)| window(aggregate)).collect();
    windows_us.sort_unstable();
    windows_us.dedup();
    let mut passes: Vec<PassPlan> = Vec::new();
    for (slot, aggregate) in members {
        let pass = Pass::of(aggregate);
        let place = windows_us.partition_point(|&length| length < window(aggregate));
        if !passes.iter().any(|planned| planned.pass == pass) {
            passes.push(PassPlan { pass, writes: vec![Vec::new(); windows_us.len()] });
        }
        for planned in passes.iter_mut().filter(|planned| planned.pass == pass) {
            planned.writes[place].push(Write { function: aggregate.function, slot: *slot });
        }
    }
    let first = members[0].1;
    Stream { events: first.events, filter: first.filter.clone(), windows_us, passes }
}

fn streams_of_type(streams: &[Stream], types: usize) -> Vec<Vec<usize>> {
    let takes = |stream: &Stream, code: usize| match stream.events {
        EventSet::All => true,
        EventSet::One(one) => one as usize == code,
        EventSet::Empty => false,
    };
    (0..types).map(|code| (0..streams.len()).filter(|&number| takes(&streams[number], code)).collect()).collect()
}
