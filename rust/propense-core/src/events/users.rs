//! The users of a log, in ascending order of id.

use arrow_array::{Array, LargeStringArray};
use arrow_buffer::ScalarBuffer;

/// Distinct user ids in ascending order: integers by value, texts by bytes.
#[derive(Debug, Clone)]
pub enum UserIds {
    /// Integer ids.
    Integers(ScalarBuffer<i64>),
    /// Text ids, none missing.
    Texts(LargeStringArray),
}

impl UserIds {
    /// How many users there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Integers(ids) => ids.len(),
            Self::Texts(ids) => ids.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids' type as error texts give it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Integers(_) => "integer",
            Self::Texts(_) => "text",
        }
    }

    /// The place of an integer id.
    #[must_use]
    pub fn find_integer(&self, id: i64) -> Option<usize> {
        match self {
            Self::Integers(ids) => ids.binary_search(&id).ok(),
            Self::Texts(_) => None,
        }
    }

    /// The place of a text id.
    #[must_use]
    pub fn find_text(&self, id: &str) -> Option<usize> {
        match self {
            Self::Integers(_) => None,
            Self::Texts(ids) => find_sorted(ids, id),
        }
    }
}

/// The place of a text in an ascending array.
fn find_sorted(ids: &LargeStringArray, id: &str) -> Option<usize> {
    let (mut low, mut high) = (0, ids.len());
    while low < high {
        let middle = low.midpoint(high);
        if ids.value(middle) < id { low = middle + 1 } else { high = middle }
    }
    (low < ids.len() && ids.value(low) == id).then_some(low)
}
