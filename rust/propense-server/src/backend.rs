//! What the services stand on: a durable store, and models that score what it holds.

use std::path::Path;
use std::sync::Arc;

use propense_core::events::{EventLog, EventsError};
use thiserror::Error;

use crate::proto;
use crate::segments::LiveSegments;
use propense_store::{Reply, Write, WriteError};

/// A model that is served.
#[derive(Debug)]
pub struct Serving<'a, M> {
    /// Its name.
    pub name: &'a str,
    /// The digest of its version.
    pub digest: &'a str,
    /// Whether there is an audit of this version, and it is a pass.
    pub is_audited: bool,
    /// It.
    pub model: &'a M,
}

/// A store of events and profiles, and the scoring of its users. All methods are called from many threads; those that
/// read or score may take long and are kept off the threads that serve connections where they do.
pub trait Backend: Send + Sync + 'static {
    /// One view of the store.
    type Snapshot: Snapshot;
    /// A loaded model, bound to the store.
    type Model: Send + Sync + 'static;

    /// Takes a write on, or refuses it at once; never blocks. `reply` is called when the write is durable or has failed,
    /// and not at all if this refuses.
    ///
    /// # Errors
    /// [`WriteError::Busy`] if the queue is full, or that the store is closed.
    fn submit(&self, write: Write, reply: Reply) -> Result<(), WriteError>;

    /// Whether [`Self::submit`] would not find the queue full now.
    fn has_room(&self, write: &Write) -> bool;

    /// Whether it will never take a write again.
    fn has_broken_down(&self) -> bool;

    /// The store as it is now; cheap.
    fn snapshot(&self) -> Self::Snapshot;

    /// How large the store is; cheap.
    fn size(&self) -> StoreSize;

    /// Loads and checks the model in a directory.
    ///
    /// # Errors
    /// The directory does not hold a model that this server can run.
    fn load_model(&self, folder: &Path) -> Result<LoadedModel<Self::Model>, ModelError>;

    /// Told which models are served, at the start and whenever that changes, or what is known of them.
    ///
    /// # Errors
    /// What follows could not be written.
    fn serve_models(&self, models: &[Serving<'_, Self::Model>]) -> Result<(), WriteError> {
        let _ = models;
        Ok(())
    }

    /// The live segments, if there are any to be had.
    fn segments(&self) -> Option<&Arc<LiveSegments>> {
        None
    }

    /// Scores users of a snapshot: `users` are ascending, distinct, and all known to it.
    ///
    /// # Errors
    /// The store holds a property in a form that the model cannot read.
    fn score(
        &self,
        model: &Self::Model,
        snapshot: &Self::Snapshot,
        users: &[&str],
        as_of_us: i64,
        with_features: bool,
    ) -> Result<Scored, ModelError>;

    /// What a model's explanations have in common.
    ///
    /// # Errors
    /// The model cannot be explained exactly; the text says why.
    fn explains(&self, model: &Self::Model) -> Result<Arc<Explains>, ModelError>;

    /// Scores one user whom a snapshot knows, of a model that explains, and says why; `None` outside the audience.
    ///
    /// # Errors
    /// As [`Self::score`].
    fn explain(
        &self,
        model: &Self::Model,
        snapshot: &Self::Snapshot,
        user: &str,
        as_of_us: i64,
    ) -> Result<Option<Explained>, ModelError>;

    /// Scores all users of a log that is not the store's.
    ///
    /// # Errors
    /// As [`Self::score`].
    fn score_log(
        &self,
        model: &Self::Model,
        log: &EventLog,
        as_of_us: i64,
        with_features: bool,
    ) -> Result<Scored, ModelError>;
}

/// The store at one moment.
pub trait Snapshot: Send + Sync + 'static {
    /// Whether there is an event or a profile of a user.
    fn has_user(&self, user: &str) -> bool;

    /// How many events there are of a user; none if there is no profile either.
    fn event_count_of(&self, user: &str) -> Option<usize>;

    /// Up to `limit` users after one, ascending by bytes.
    fn users_from(&self, after: Option<&str>, limit: usize) -> Vec<String>;

    /// The events and profiles of users that are ascending, distinct and known; one user of the log each.
    ///
    /// # Errors
    /// None that a caller can cause.
    fn gather(&self, users: &[&str]) -> Result<EventLog, EventsError>;
}

/// How large a store is.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreSize {
    /// Events.
    pub events: u64,
    /// Users with an event or a profile.
    pub users: u64,
    /// Sealed parts.
    pub parts: u64,
    /// Bytes of log that are not sealed yet.
    pub log_bytes: u64,
    /// Bytes of memory.
    pub resident_bytes: u64,
}

/// A model and what is told of it.
pub struct LoadedModel<M> {
    /// SHA-256 of its manifest, 64 hex digits.
    pub digest: String,
    /// For `GetModel`; the version is filled in by the server.
    pub description: proto::Model,
    /// What scores.
    pub model: M,
}

/// Why a model was refused, or cannot score what there is. It names files, columns and kinds, never values.
#[derive(Debug, Clone, Error)]
#[error("{0}")]
pub struct ModelError(pub String);

/// The scores of users, in their order.
#[derive(Debug, Clone, Default)]
pub struct Scored {
    /// `None` for users outside the audience.
    pub users: Vec<Option<ScoredUser>>,
    /// If asked for: row after row, as wide as the model's features; rows outside the audience are there and mean nothing.
    pub features: Vec<f32>,
}

/// What a model's explanations have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Explains {
    /// The logit where every user starts.
    pub base: f64,
    /// The features that the model reads, in the plan's order; no other contributes anything.
    pub features: Vec<ReadFeature>,
}

/// A feature that a model reads.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadFeature {
    /// Its column name.
    pub name: String,
    /// Its text.
    pub expression: String,
    /// If it is a text: the texts of its codes.
    pub vocabulary: Option<Vec<String>>,
    /// The median over the training rows, NaN if usually missing; `None` if the model does not say.
    pub usual: Option<f64>,
}

/// Why one user has the score.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// The standing.
    pub user: ScoredUser,
    /// One a feature that is read; NaN is missing.
    pub values: Vec<f32>,
    /// What each of them contributed to the logit.
    pub contributions: Vec<f32>,
}

/// One user's standing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredUser {
    /// The calibrated probability.
    pub score: f32,
    /// In [0, 100].
    pub percentile: f32,
    /// By the model's cut-offs.
    pub tier: Tier,
}

/// A tier, in ascending order of score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Below both cut-offs.
    LeastLikely,
    /// Between them.
    ModeratelyLikely,
    /// At or above the upper one.
    MostLikely,
}

impl Tier {
    /// All, in the order of their codes in Arrow batches.
    pub(crate) const NAMES: [&str; 3] = ["least_likely", "moderately_likely", "most_likely"];

    pub(crate) fn to_proto(self) -> proto::Tier {
        match self {
            Self::LeastLikely => proto::Tier::LeastLikely,
            Self::ModeratelyLikely => proto::Tier::ModeratelyLikely,
            Self::MostLikely => proto::Tier::MostLikely,
        }
    }
}
