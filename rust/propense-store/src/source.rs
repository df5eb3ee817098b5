//! Where events are: sealed parts and memtables, side by side, oldest first.

use std::sync::Arc;

use crate::lock::read;
use crate::memtable::Memtable;
use crate::sealed::Sealed;

/// A source of events: a part or a memtable. Ids are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub(crate) u64);

/// A source and what is no longer to be seen of it.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) id: SourceId,
    pub(crate) rows: Rows,
    /// Places of erased users, ascending.
    pub(crate) dropped: Arc<Vec<u32>>,
}

/// The rows of a source.
#[derive(Debug, Clone)]
pub(crate) enum Rows {
    Part(Arc<Sealed>),
    Recent(Arc<Memtable>),
}

impl Source {
    /// Whether the user in a place was erased.
    #[inline]
    pub(crate) fn is_dropped(&self, place: u32) -> bool {
        !self.dropped.is_empty() && self.dropped.binary_search(&place).is_ok()
    }

    /// The ids of erased users.
    pub(crate) fn dropped_users(&self) -> Vec<String> {
        let user = |place: &u32| match &self.rows {
            Rows::Part(part) => part.user(*place).to_owned(),
            Rows::Recent(memtable) => read(&memtable.table).user(*place).to_owned(),
        };
        self.dropped.iter().map(user).collect()
    }

    /// The same source without one more user.
    pub(crate) fn without(&self, place: u32) -> Self {
        let mut dropped = self.dropped.as_ref().clone();
        if let Err(at) = dropped.binary_search(&place) {
            dropped.insert(at, place);
        }
        Self { dropped: Arc::new(dropped), ..self.clone() }
    }
}
