//! What names mean: inside a FILTER they are an event's properties, outside a user's aggregates and attributes.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::aggregate::{Aggregate, Function};
use super::ast::Expr;
use super::bind::{BoundAggregate, EventSet, UnknownEvents, UserLeaf, bind_filter};
use super::error::ExprError;
use super::externals::Externals;
use super::nearest::nearest;
use super::parts::ColumnNames;
use super::program::Node;
use crate::events::{Column, ColumnKind, EventLog};

/// The property under which a FILTER sees the event type itself.
pub(crate) const EVENT_TYPE: &str = "event";

/// The properties of delivered messages, all of them texts; rules may name them before there is one.
pub(super) const MESSAGE_PROPERTIES: [&str; 3] = ["channel", "destination", "segment"];

/// A node with the type of its value.
pub(super) struct Typed<'a> {
    pub(super) node: Node,
    pub(super) kind: ColumnKind,
    /// For a text leaf, the dictionary of its codes.
    pub(super) dictionary: Option<&'a [String]>,
}

impl<'a> Typed<'a> {
    pub(super) fn new(node: Node, kind: ColumnKind) -> Self {
        Self { node, kind, dictionary: None }
    }

    fn leaf(leaf: usize, kind: ColumnKind, dictionary: &'a [String]) -> Self {
        let dictionary = (kind == ColumnKind::Text).then_some(dictionary);
        Self { node: Node::Leaf(leaf), kind, dictionary }
    }
}

/// Resolves names to leaves.
pub(super) trait Scope<'a> {
    fn property(&mut self, text: &str, name: &str, position: u64) -> Result<Typed<'a>, ExprError>;
    fn attribute(&mut self, text: &str, name: &str, position: u64) -> Result<Typed<'a>, ExprError>;
    fn aggregate(&mut self, text: &str, aggregate: &Aggregate) -> Result<Typed<'a>, ExprError>;
    fn external(&mut self, text: &str, expr: &Expr) -> Result<Typed<'a>, ExprError>;
}

/// What a leaf of a FILTER is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventLeaf {
    /// The event type.
    EventType,
    /// The property column with this place.
    Column(usize),
}

pub(super) struct EventScope<'a> {
    pub(super) log: &'a EventLog,
    pub(super) leaves: Vec<EventLeaf>,
    /// Texts that events to come will have; what is bound to them is to be checked, not to be run.
    pub(super) expected: &'static [&'static str],
}

impl<'a> Scope<'a> for EventScope<'a> {
    fn property(&mut self, text: &str, name: &str, position: u64) -> Result<Typed<'a>, ExprError> {
        let (leaf, kind, dictionary) = if name == EVENT_TYPE {
            (EventLeaf::EventType, ColumnKind::Text, self.log.event_types())
        } else {
            match find(self.log.columns(), "property", text, name, position) {
                Ok(place) => {
                    let column = &self.log.columns()[place];
                    (EventLeaf::Column(place), column.kind, column.dictionary.as_slice())
                }
                Err(_) if self.expected.contains(&name) => (EventLeaf::EventType, ColumnKind::Text, &[][..]),
                Err(unknown) => return Err(self.nearer(unknown)),
            }
        };
        let number = self.leaves.iter().position(|known| *known == leaf).unwrap_or_else(|| {
            self.leaves.push(leaf);
            self.leaves.len() - 1
        });
        Ok(Typed::leaf(number, kind, dictionary))
    }

    fn attribute(&mut self, text: &str, name: &str, _: u64) -> Result<Typed<'a>, ExprError> {
        Err(ExprError::Misplaced {
            text: text.to_owned(),
            what: format!("attr({name})"),
            reason: "a FILTER looks at one event's properties; compare attributes outside it",
        })
    }

    fn aggregate(&mut self, text: &str, aggregate: &Aggregate) -> Result<Typed<'a>, ExprError> {
        Err(ExprError::Misplaced {
            text: text.to_owned(),
            what: aggregate.to_string(),
            reason: "a FILTER looks at one event at a time and cannot hold another function over events",
        })
    }

    fn external(&mut self, text: &str, expr: &Expr) -> Result<Typed<'a>, ExprError> {
        Err(ExprError::Misplaced {
            text: text.to_owned(),
            what: expr.to_string(),
            reason: "a FILTER looks at one event's properties; read scores and segments outside it",
        })
    }
}

impl EventScope<'_> {
    /// An unknown name beside those that are expected.
    fn nearer(&self, mut unknown: ExprError) -> ExprError {
        if let ExprError::UnknownName { name, nearest: found, .. } = &mut unknown {
            let known = self.log.columns().iter().map(|column| column.name.as_str());
            *found = nearest(name, known.chain(self.expected.iter().copied()));
        }
        unknown
    }
}

/// The texts of tiers, as a dictionary.
static TIERS: LazyLock<Vec<String>> = LazyLock::new(|| Externals::TIERS.map(str::to_owned).to_vec());

pub(super) struct UserScope<'a, 'b> {
    pub(super) log: &'a EventLog,
    pub(super) unknown_events: UnknownEvents,
    pub(super) externals: Option<Externals<'a>>,
    pub(super) leaves: &'b mut Vec<UserLeaf>,
    pub(super) index: &'b mut HashMap<String, usize>,
}

impl<'a> Scope<'a> for UserScope<'a, '_> {
    fn property(&mut self, text: &str, name: &str, _: u64) -> Result<Typed<'a>, ExprError> {
        Err(ExprError::Misplaced {
            text: text.to_owned(),
            what: format!("the property {name:?}"),
            reason: "a property stands inside a function or its FILTER",
        })
    }

    fn attribute(&mut self, text: &str, name: &str, position: u64) -> Result<Typed<'a>, ExprError> {
        let place = find(self.log.attributes(), "attribute", text, name, position)?;
        let column = &self.log.attributes()[place];
        let key = format!("attr {name}");
        Ok(Typed::leaf(self.leaf(key, || UserLeaf::Attribute(place)), column.kind, &column.dictionary))
    }

    fn aggregate(&mut self, text: &str, aggregate: &Aggregate) -> Result<Typed<'a>, ExprError> {
        let events = self.event_set(text, aggregate)?;
        // The rule of a segment is in force before the first event that it waits for.
        let waits = self.externals.is_some() || matches!(self.unknown_events, UnknownEvents::RefuseBut(_));
        if events == EventSet::Empty && waits && !self.knows_properties(aggregate) {
            if let (UnknownEvents::RefuseBut(_), Some(condition)) = (self.unknown_events, &aggregate.selector.filter) {
                // A misspelt one would be noticed only when the first of these events comes.
                bind_filter(self.log, condition, text, &MESSAGE_PROPERTIES)?;
            }
            return Ok(Self::of_no_events(aggregate));
        }
        let place = match &aggregate.argument {
            None => None,
            Some(argument) => Some(find(self.log.columns(), "property", text, &argument.property, argument.position)?),
        };
        let column = place.map(|place| &self.log.columns()[place]);
        let kind = result_kind(text, aggregate.function, column)?;
        let filter = match &aggregate.selector.filter {
            None => None,
            Some(condition) => Some(bind_filter(self.log, condition, text, &[])?),
        };
        let bound = BoundAggregate {
            function: aggregate.function,
            events,
            filter,
            selector_text: Aggregate {
                function: Function::Count,
                argument: None,
                window_us: None,
                ..aggregate.clone()
            }
            .to_string(),
            column: place,
            window_us: aggregate.window_us,
        };
        let leaf = self.leaf(aggregate.to_string(), || UserLeaf::Aggregate(bound));
        Ok(Typed::leaf(leaf, kind, column.map_or(&[], |column| column.dictionary.as_slice())))
    }

    fn external(&mut self, text: &str, expr: &Expr) -> Result<Typed<'a>, ExprError> {
        let number = self.externals.and_then(|externals| externals.number(expr, text)).unwrap_or_else(|| {
            Err(ExprError::Misplaced {
                text: text.to_owned(),
                what: expr.to_string(),
                reason: "scores, tiers, segments and the present hour can be read in segments only",
            })
        })?;
        let kind = match expr {
            Expr::Tier { .. } => ColumnKind::Text,
            Expr::InSegment { .. } => ColumnKind::Boolean,
            _ => ColumnKind::Number,
        };
        Ok(Typed::leaf(self.leaf(format!("external {number}"), || UserLeaf::External(number)), kind, &TIERS))
    }
}

impl UserScope<'_, '_> {
    fn leaf(&mut self, key: String, make: impl FnOnce() -> UserLeaf) -> usize {
        let Self { leaves, index, .. } = self;
        *index.entry(key).or_insert_with(|| {
            leaves.push(make());
            leaves.len() - 1
        })
    }

    /// Whether the log has every property that an aggregate reads.
    fn knows_properties(&self, aggregate: &Aggregate) -> bool {
        let mut names = ColumnNames::default();
        Expr::Aggregate(aggregate.clone()).name_columns(&mut names);
        let known = |name: &String| self.log.columns().iter().any(|column| column.name == *name);
        names.properties.iter().all(known)
    }

    /// What an aggregate gives over no events, whatever properties those would have: zero or missing, of any type.
    fn of_no_events(aggregate: &Aggregate) -> Typed<'static> {
        let value = match aggregate.function {
            Function::Count
            | Function::Sum
            | Function::Distinct
            | Function::ActiveDays
            | Function::DecayedCount { .. } => 0.0,
            _ => f64::NAN,
        };
        Typed::new(Node::Constant(value), ColumnKind::Number)
    }

    fn event_set(&self, text: &str, aggregate: &Aggregate) -> Result<EventSet, ExprError> {
        let Some(event) = &aggregate.selector.event else { return Ok(EventSet::All) };
        let types = self.log.event_types();
        // They ascend in a log that was grouped; a store's stand in the order in which they came.
        let code = types.binary_search(event).ok().or_else(|| types.iter().position(|known| known == event));
        match (code, self.unknown_events) {
            (Some(code), _) => Ok(EventSet::One(code as u32)),
            (None, UnknownEvents::Empty) => Ok(EventSet::Empty),
            (None, UnknownEvents::RefuseBut(expected)) if expected == event => Ok(EventSet::Empty),
            (None, UnknownEvents::Refuse | UnknownEvents::RefuseBut(_)) => Err(ExprError::UnknownName {
                text: text.to_owned(),
                what: "event type",
                name: event.clone(),
                position: aggregate.selector.position,
                nearest: nearest(event, types.iter().map(String::as_str)),
            }),
        }
    }
}

/// The type of an aggregate's value, if its property has a type that the function reads.
fn result_kind(text: &str, function: Function, column: Option<&Column>) -> Result<ColumnKind, ExprError> {
    let reads_any = matches!(function, Function::Count | Function::Distinct);
    match (function, column.map(|column| column.kind)) {
        (Function::First | Function::Last, Some(kind @ (ColumnKind::Text | ColumnKind::Boolean))) => Ok(kind),
        (_, Some(found @ (ColumnKind::Text | ColumnKind::Time))) if !reads_any => Err(ExprError::Type {
            text: text.to_owned(),
            what: function.name().to_owned(),
            expected: "a property that is a number or a truth value",
            found: found.name(),
        }),
        _ => Ok(ColumnKind::Number),
    }
}

fn find(columns: &[Column], what: &'static str, text: &str, name: &str, position: u64) -> Result<usize, ExprError> {
    columns.binary_search_by(|column| column.name.as_str().cmp(name)).map_err(|_| ExprError::UnknownName {
        text: text.to_owned(),
        what,
        name: name.to_owned(),
        position,
        nearest: nearest(name, columns.iter().map(|column| column.name.as_str())),
    })
}
