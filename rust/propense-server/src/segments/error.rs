//! What can go wrong with live segments.

use propense_core::expr::{did_you_mean, nearest};
use propense_core::segments::{RuleSet, SegmentError};
use propense_store::WriteError;
use thiserror::Error;

use crate::backend::ModelError;

/// Why something about segments was not done.
#[derive(Debug, Clone, Error)]
pub enum SegmentsError {
    /// Definitions do not fit together, or do not fit the events; those in force stay.
    #[error(transparent)]
    Definition(Box<SegmentError>),
    /// There is no such segment.
    #[error("there is no segment {name:?}{}", did_you_mean(.nearest.as_deref()))]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The one that there is whose name is nearest, if any is near.
        nearest: Option<String>,
    },
    /// Another segment's rule reads it.
    #[error("segment {by:?} reads it; change or delete that one first")]
    InUse {
        /// The one that reads it.
        by: String,
    },
    /// It is a tier of a model, which comes and goes with the model.
    #[error("it is a tier of a model; it goes when the model is no longer served")]
    OfModel,
    /// Transitions so far back are kept no longer.
    #[error("transitions are kept from number {first} on; read ListMembers, then resume from there")]
    Gone {
        /// The first that is kept.
        first: u64,
    },
    /// There are not so many transitions.
    #[error("the last transition is number {last}")]
    Ahead {
        /// The last number.
        last: u64,
    },
    /// Notes of the store cannot be read.
    #[error("the store's notes cannot be read: {0}")]
    Unreadable(String),
    /// Events could not be evaluated.
    #[error(transparent)]
    Evaluation(#[from] ModelError),
    /// The server runs by the system's clock.
    #[error("the server runs by the system's clock; only a simulated one can be advanced")]
    ClockNotSimulated,
    /// Time does not go back.
    #[error("the clock stands at a later instant already, or the instant is beyond the year 9999")]
    ClockBackwards,
    /// The store did not write what followed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl SegmentsError {
    /// There is no segment of a name among these.
    pub(super) fn unknown(name: &str, set: &RuleSet) -> Self {
        let nearest = nearest(name, set.names().iter().map(String::as_str));
        Self::Unknown { name: name.to_owned(), nearest }
    }
}

impl From<SegmentError> for SegmentsError {
    fn from(error: SegmentError) -> Self {
        Self::Definition(Box::new(error))
    }
}
