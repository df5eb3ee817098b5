//! A spec bound to a log: what each column is made of.

use std::collections::{BTreeMap, HashMap};

use super::calendar::Calendar;
use super::error::FeatureError;
use super::spec::{Feature, FeatureSpec};
use crate::events::{ColumnKind, EventLog};
use crate::expr::{Binder, BoundAggregate, Expr, ExprError, Node, Program, UnknownEvents, UserLeaf, parse};

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

/// A spec whose expressions are parsed, ready to be bound to one log after another.
#[derive(Debug)]
pub struct ParsedSpec {
    spec: FeatureSpec,
    expressions: Vec<Expr>,
}

impl ParsedSpec {
    /// Parses a spec's expressions.
    ///
    /// # Errors
    /// A text cannot be parsed (says which feature), or there is none.
    pub fn new(spec: &FeatureSpec) -> Result<Self, FeatureError> {
        if spec.features.is_empty() {
            return Err(FeatureError::NoFeatures);
        }
        let expression = |feature: &Feature| {
            parse(&feature.expression).map_err(|source| FeatureError::Feature { name: feature.name.clone(), source })
        };
        let expressions = spec.features.iter().map(expression).collect::<Result<_, _>>()?;
        Ok(Self { spec: spec.clone(), expressions })
    }
}

/// A spec ready to run over one log.
#[derive(Debug)]
pub struct Plan {
    spec: FeatureSpec,
    /// What the outputs are made of.
    pub(super) leaves: Vec<UserLeaf>,
    /// One for each column of the matrix.
    pub(super) outputs: Vec<Program>,
    pub(super) calendar: Calendar,
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
        let span_us = log.time_span_us().unwrap_or((0, 0));
        Self::bind(&ParsedSpec::new(spec)?, log, unknown_events, before_us, span_us)
    }

    /// [`Plan::compile`] for a spec that is parsed, with a calendar from the first to the last instant of `span_us`, both
    /// in: days and hours of events beyond it may be wrong, which [`ScanPlan::fits`](super::ScanPlan::fits) sees.
    ///
    /// # Errors
    /// As [`Plan::compile`].
    pub fn bind(
        parsed: &ParsedSpec,
        log: &EventLog,
        unknown_events: UnknownEvents,
        before_us: i64,
        span_us: (i64, i64),
    ) -> Result<Self, FeatureError> {
        let mut spec = parsed.spec.clone();
        let mut binder = Binder::new(log, unknown_events);
        let mut outputs = Vec::with_capacity(spec.features.len());
        for (feature, expr) in spec.features.iter().zip(&parsed.expressions) {
            let located = |source| FeatureError::Feature { name: feature.name.clone(), source };
            let bound = binder.bind(expr, &feature.expression).map_err(located)?;
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
        let calendar = Calendar::new(&spec.timezone, span_us.0, span_us.1)?;
        Ok(Self { spec, leaves, outputs, calendar })
    }

    /// A plan of programs that are bound, over these leaves, without names; its calendar covers a span as in [`Plan::bind`].
    ///
    /// # Errors
    /// The time zone is unknown.
    pub(crate) fn of_programs(
        leaves: Vec<UserLeaf>,
        outputs: Vec<Program>,
        timezone: &str,
        span_us: (i64, i64),
    ) -> Result<Self, FeatureError> {
        let calendar = Calendar::new(timezone, span_us.0, span_us.1)?;
        let spec =
            FeatureSpec { features: Vec::new(), timezone: timezone.to_owned(), vocabularies: BTreeMap::default() };
        Ok(Self { spec, leaves, outputs, calendar })
    }

    /// A plan of some of the leaves as they are.
    pub(super) fn of_leaves(&self, leaves: &[usize]) -> Self {
        let outputs = leaves.iter().map(|&leaf| Program { root: Node::Leaf(leaf) }).collect();
        self.with_programs(self.leaves.clone(), outputs)
    }

    /// A plan of other programs over the same columns, without names.
    pub(super) fn with_programs(&self, leaves: Vec<UserLeaf>, outputs: Vec<Program>) -> Self {
        let timezone = self.spec.timezone.clone();
        let spec = FeatureSpec { features: Vec::new(), timezone, vocabularies: BTreeMap::default() };
        Self { spec, leaves, outputs, calendar: self.calendar.clone() }
    }

    /// The local hour, 0 to 23, and day of the week, 1 (Monday) to 7.
    pub(crate) fn wall_clock(&self, time_us: i64) -> (u8, u8) {
        let local = self.calendar.local(time_us);
        (local.hour, local.weekday + 1)
    }

    /// The first instant after another at which the local hour or day of the week may change.
    pub(crate) fn next_hour_us(&self, after_us: i64) -> i64 {
        self.calendar.next_hour_us(after_us)
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
        // Missing is no place, and a code beyond the dictionary can only come from a damaged file.
        if let Some(seen) = (!code.is_nan()).then(|| seen.get_mut(code as usize)).flatten() {
            *seen = true;
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
