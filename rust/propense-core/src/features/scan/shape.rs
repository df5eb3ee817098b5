//! What a plan made ready has taken from its log beside the events themselves.

use std::mem::{Discriminant, discriminant};

use crate::events::{Cells, Column, ColumnKind, EventLog};
use crate::expr::{BoundAggregate, EventLeaf, Function, UserLeaf};

/// How far a log's dictionaries had grown, and the cells of the columns that are read.
#[derive(Debug)]
pub(super) struct Shape {
    event_types: usize,
    event: Discriminant<Cells>,
    columns: usize,
    attributes: usize,
    properties_read: Vec<Read>,
    attributes_read: Vec<Read>,
}

/// How many texts each dictionary of a log holds, or would hold: a log of few users may leave its dictionaries out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DictionarySizes {
    /// The event types.
    pub event_types: usize,
    /// One a property, in order.
    pub properties: Vec<usize>,
    /// One an attribute, in order.
    pub attributes: Vec<usize>,
}

impl DictionarySizes {
    /// Those of a log that has its dictionaries.
    #[must_use]
    pub fn of(log: &EventLog) -> Self {
        let sizes = |columns: &[Column]| columns.iter().map(|column| column.dictionary.len()).collect();
        let (properties, attributes) = (sizes(log.columns()), sizes(log.attributes()));
        Self { event_types: log.event_types().len(), properties, attributes }
    }
}

/// A column that is read.
#[derive(Debug)]
struct Read {
    column: usize,
    cells: Discriminant<Cells>,
    /// How many texts its dictionary had, if what they say is read and not only whether they differ.
    texts: Option<usize>,
}

impl Shape {
    /// What the leaves that are read take from a log.
    pub(super) fn of<'a>(log: &EventLog, leaves: impl Iterator<Item = &'a UserLeaf>) -> Self {
        let mut shape = Self {
            event_types: log.event_types().len(),
            event: discriminant(log.event()),
            columns: log.columns().len(),
            attributes: log.attributes().len(),
            properties_read: Vec::new(),
            attributes_read: Vec::new(),
        };
        for leaf in leaves {
            match leaf {
                UserLeaf::Attribute(column) => shape.attributes_read.push(Read::of(log.attributes(), *column, true)),
                UserLeaf::Aggregate(aggregate) => shape.add(log, aggregate),
                UserLeaf::External(_) => {}
            }
        }
        shape
    }

    fn add(&mut self, log: &EventLog, aggregate: &BoundAggregate) {
        if let Some(column) = aggregate.column {
            let only_differ = matches!(aggregate.function, Function::Count | Function::Distinct);
            self.properties_read.push(Read::of(log.columns(), column, !only_differ));
        }
        for leaf in aggregate.filter.iter().flat_map(|filter| &filter.leaves) {
            if let EventLeaf::Column(column) = *leaf {
                self.properties_read.push(Read::of(log.columns(), column, true));
            }
        }
    }

    /// Whether a log is still of this shape. A dictionary may be shorter, as what it holds means the same, but not longer.
    pub(super) fn fits(&self, log: &EventLog, sizes: &DictionarySizes) -> bool {
        self.event_types >= sizes.event_types
            && self.event == discriminant(log.event())
            && self.columns == log.columns().len()
            && self.attributes == log.attributes().len()
            && self.properties_read.iter().all(|read| read.fits(log.columns(), &sizes.properties))
            && self.attributes_read.iter().all(|read| read.fits(log.attributes(), &sizes.attributes))
    }
}

impl Read {
    fn of(columns: &[Column], column: usize, says: bool) -> Self {
        let Column { kind, cells, dictionary, .. } = &columns[column];
        let texts = (says && *kind == ColumnKind::Text).then_some(dictionary.len());
        Self { column, cells: discriminant(cells), texts }
    }

    fn fits(&self, columns: &[Column], sizes: &[usize]) -> bool {
        columns.get(self.column).is_some_and(|column| self.cells == discriminant(&column.cells))
            && self.texts.is_none_or(|texts| sizes.get(self.column).is_some_and(|&size| texts >= size))
    }
}
