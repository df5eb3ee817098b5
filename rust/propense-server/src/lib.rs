//! Scores, events, users and models over gRPC.
//!
//! [`Server::bind`] opens the port at once and everything else behind it; [`Backend`] is what the services stand on: a
//! durable store of events and a way to load and run models. The contract is `proto/propense/v1`.

#![forbid(unsafe_code)]

mod answering;
mod audit;
mod auth;
mod backend;
mod batches;
mod beside;
mod call;
mod call_body;
mod clock;
mod codec;
mod computing;
mod connections;
mod deliveries;
mod error;
mod gate;
mod instants;
mod life;
mod limits;
mod log;
mod methods;
mod metrics;
mod metrics_page;
mod models;
mod options;
pub mod proto;
mod request_body;
mod rows;
mod running;
mod segments;
mod server;
mod services;
mod serving;
mod state;
mod status;
mod tls;
mod validation;

pub use auth::{Scope, hash_token};
pub use backend::{
    Backend, Explained, Explains, LoadedModel, ModelError, ReadFeature, Scored, ScoredUser, Serving, Snapshot,
    StoreSize, Tier,
};
pub use clock::Clock;
pub use deliveries::DeliveryCounts;
pub use error::{ServerError, ServiceError};
pub use log::LogLines;
pub use methods::{Class, METHODS, Method};
pub use options::{Limits, ServerOptions, TlsFiles};
pub use propense_store::{Receipt, Reply, Write, WriteError};
pub use rows::{events_of_arrow, profiles_of_request};
pub use segments::{
    Cause, LiveSegments, SegmentState, SegmentsError, SegmentsList, Transition, TransitionPage, UserStanding,
};
pub use server::{Server, Stopper};
pub use serving::{LiveOptions, StoreBackend};
