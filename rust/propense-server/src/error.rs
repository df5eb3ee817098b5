//! What can go wrong: at the start, and in a call.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::{io, sync::Arc};

use propense_core::expr::did_you_mean;
use thiserror::Error;

use crate::auth::Scope;

/// Why a server does not start or did not end well.
#[derive(Debug, Clone, Error)]
pub enum ServerError {
    /// An address is not one.
    #[error("address {address:?} cannot be used: {source}; expected HOST:PORT, such as 127.0.0.1:50051")]
    Address {
        /// As given.
        address: String,
        /// Why not.
        source: Arc<io::Error>,
    },
    /// The port cannot be opened.
    #[error("cannot listen at {address}: {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: Arc<io::Error>,
    },
    /// Others than this machine could reach the server, and nothing would protect it.
    #[error(
        "{address} can be reached from other machines, so the server needs TLS and either tokens or client \
         certificates; {missing}; give them, or listen at 127.0.0.1"
    )]
    Exposed {
        /// Where it was to listen.
        address: SocketAddr,
        /// What is not there.
        missing: &'static str,
    },
    /// A file of the configuration cannot be used.
    #[error("{}: {problem}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The store cannot be opened.
    #[error("the store cannot be opened: {0}")]
    Open(Arc<dyn Error + Send + Sync>),
    /// Threads cannot be started.
    #[error("the server's threads cannot be started: {0}")]
    Threads(Arc<io::Error>),
}

/// Why a call, or a row or message of one, failed. No variant holds a user id or a value that a caller sent.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ServiceError {
    /// A field is not what it must be.
    #[error("{path}: {problem}")]
    Invalid {
        /// Such as `events[3].user_id`.
        path: String,
        /// What was expected.
        problem: String,
    },
    /// The store holds nothing of the user.
    #[error("{path}: the store knows no such user")]
    UserUnknown {
        /// The field with the id.
        path: String,
    },
    /// A model is not served.
    #[error("{path}: no such model is served; ListModels names those that are")]
    ModelUnknown {
        /// The field with the name.
        path: String,
    },
    /// A value has another kind than its property has in the store.
    #[error("{path}: {problem}")]
    KindConflict {
        /// The value's field.
        path: String,
        /// Which kinds.
        problem: String,
    },
    /// A model reads what the events do not hold in that form.
    #[error("model {model}: {problem}")]
    ModelUnfit {
        /// The model's name.
        model: String,
        /// What it misses.
        problem: String,
    },
    /// A model's scores cannot be shared out among its features exactly.
    #[error("model {model}: {problem}")]
    NotExplained {
        /// The model's name.
        model: String,
        /// Why not.
        problem: String,
    },
    /// The call came with no token, or one that is not known.
    #[error("a token is needed: metadata `authorization: Bearer TOKEN`")]
    TokenUnknown,
    /// The token has expired.
    #[error("the token has expired; ask for a new one")]
    TokenExpired,
    /// The token's scopes do not cover the method.
    #[error("the token lacks the scope {needed}")]
    ScopeMissing {
        /// The scope that the method needs.
        needed: Scope,
    },
    /// There is no such segment.
    #[error(
        "{path}: there is no such segment{}",
        nearest.as_ref().map_or("; ListSegments names those that there are".to_owned(), |name| did_you_mean(Some(name)))
    )]
    SegmentUnknown {
        /// The field with the name.
        path: String,
        /// The name of the one that was probably meant.
        nearest: Option<String>,
    },
    /// Another segment reads it.
    #[error("{path}: segment {by:?} reads it; change or delete that one first")]
    SegmentInUse {
        /// The field with the name.
        path: String,
        /// The one that reads it.
        by: String,
    },
    /// A model's tier cannot be deleted.
    #[error("{path}: it is a tier of a model, and goes when the model is no longer served")]
    SegmentOfModel {
        /// The field with the name.
        path: String,
    },
    /// The server keeps no segments.
    #[error("this server keeps no segments")]
    SegmentsOff,
    /// A segment's users could not be evaluated, or its notes not read.
    #[error("segments: {problem}")]
    SegmentsFailed {
        /// What went wrong.
        problem: String,
    },
    /// Transitions so far back are no longer kept.
    #[error("{path}: transitions are kept from number {first} on; read ListMembers, then resume from there")]
    TransitionsGone {
        /// The field with the number.
        path: String,
        /// The first that is kept.
        first: u64,
    },
    /// There are not so many transitions.
    #[error("{path}: the last transition is number {last}")]
    TransitionsAhead {
        /// The field with the number.
        path: String,
        /// The last number.
        last: u64,
    },
    /// The server runs by the system's clock.
    #[error("the server runs by the system's clock; only a simulated one can be advanced")]
    ClockNotSimulated,
    /// As many calls are under way as may be.
    #[error("the server is at its limit of calls; try again shortly")]
    Overloaded,
    /// A message is larger than the method takes.
    #[error("the message is larger than {limit} bytes; send less at a time")]
    MessageTooLarge {
        /// Bytes that are taken.
        limit: usize,
    },
    /// An answer would be larger than all such answers together may be.
    #[error("the answer would take more than {limit} bytes; ask for fewer users at a time, or without features")]
    AnswerTooLarge {
        /// Bytes that there are for answers.
        limit: usize,
    },
    /// A message has more repeated fields than any may.
    #[error("the message has more than {limit} fields; send less at a time")]
    TooManyFields {
        /// Fields that are taken.
        limit: usize,
    },
    /// The store's queue is full.
    #[error("the store is behind with its writes; try again shortly")]
    StoreBusy,
    /// The disk is full.
    #[error("the store's disk is full; nothing was written")]
    NoSpace,
    /// The disk failed.
    #[error("the store's disk failed; what was sent may or may not be there, so send it again")]
    DiskFailed,
    /// The store is still opening.
    #[error("the server is starting")]
    Starting,
    /// The server is ending.
    #[error("the server is stopping")]
    Stopping,
    /// Nothing of a stream was read for too long.
    #[error("the answers were not read for too long, and there are more; call again and read on")]
    ReaderStalled,
    /// The call's deadline has passed.
    #[error("the deadline has passed")]
    DeadlineExceeded,
    /// A defect.
    #[error("internal error: {problem}")]
    Internal {
        /// Where.
        problem: &'static str,
    },
}

impl ServiceError {
    pub(crate) fn invalid(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { path: path.into(), problem: problem.into() }
    }
}
