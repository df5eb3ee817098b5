//! What the whole store knows of event types, properties and attributes.
//!
//! Codes are given in order of first sight and mean the same for as long as the store is open; after that they are
//! given anew, as sealed parts have dictionaries of their own.

use std::collections::BTreeMap;

use propense_core::events::ColumnKind;

use crate::batch::{MOST_PROPERTIES, kinds};
use crate::batch_error::{BatchError, BatchProblem};
use crate::dictionary::Dictionary;
use crate::property::PropertyColumn;

/// Event types, properties and attributes.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) event_types: Dictionary,
    pub(crate) properties: Columns,
    pub(crate) attributes: Columns,
}

/// Properties, or attributes, numbered in order of first sight.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    entries: Vec<Entry>,
    by_name: BTreeMap<String, u16>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) kind: ColumnKind,
    /// The values of a text property.
    pub(crate) texts: Dictionary,
}

/// Kinds that batches of one commit give to properties and attributes new to the store.
#[derive(Debug, Default)]
pub struct NewKinds {
    pub(crate) properties: BTreeMap<String, ColumnKind>,
    pub(crate) attributes: BTreeMap<String, ColumnKind>,
}

impl Columns {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The numbers in order of name.
    pub(crate) fn by_name(&self) -> impl Iterator<Item = u16> {
        self.by_name.values().copied()
    }

    pub(crate) fn find(&self, name: &str) -> Option<u16> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn texts_mut(&mut self, id: u16) -> &mut Dictionary {
        &mut self.entries[id as usize].texts
    }

    /// The number of a property, new or known; the kind was checked.
    pub(crate) fn add(&mut self, name: &str, kind: ColumnKind) -> u16 {
        if let Some(id) = self.find(name) {
            return id;
        }
        let id = self.entries.len() as u16;
        self.entries.push(Entry { name: name.to_owned(), kind, texts: Dictionary::default() });
        self.by_name.insert(name.to_owned(), id);
        id
    }

    /// Checks kinds against those known here and those that came before in the same commit, and adds new ones there.
    pub(crate) fn check<'a>(
        &self,
        columns: impl Iterator<Item = (&'a str, ColumnKind)>,
        new: &mut BTreeMap<String, ColumnKind>,
    ) -> Result<(), BatchProblem> {
        let mut brought = Vec::new();
        for (name, found) in columns {
            let known = self.find(name).map(|id| self.entries[id as usize].kind).or_else(|| new.get(name).copied());
            match known {
                Some(expected) if expected != found => {
                    let (expected, found) = (expected.name(), found.name());
                    return Err(BatchProblem::Kind { name: name.to_owned(), expected, found });
                }
                Some(_) => {}
                None => brought.push((name, found)),
            }
        }
        if self.len() + new.len() + brought.len() > MOST_PROPERTIES {
            return Err(BatchProblem::TooManyProperties);
        }
        new.extend(brought.into_iter().map(|(name, kind)| (name.to_owned(), kind)));
        Ok(())
    }

    /// [`Self::check`] for the columns of a batch, naming the row of a conflict.
    pub(crate) fn check_batch(
        &self,
        columns: &[PropertyColumn],
        new: &mut BTreeMap<String, ColumnKind>,
    ) -> Result<(), BatchError> {
        self.check(kinds(columns), new).map_err(|problem| {
            let row = match &problem {
                BatchProblem::Kind { name, .. } => {
                    columns.iter().find(|column| column.name == *name).and_then(PropertyColumn::first_row)
                }
                _ => None,
            };
            BatchError { row, problem }
        })
    }

    fn memory_bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.texts.memory_bytes()).sum()
    }
}

impl Catalog {
    /// Memory in use, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.event_types.memory_bytes() + self.properties.memory_bytes() + self.attributes.memory_bytes()
    }
}
