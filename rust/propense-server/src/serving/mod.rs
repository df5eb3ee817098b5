//! The backend: models at work on the events of a durable store.
//!
//! One kernel and one model code give the scores here and in batch, so that they are equal to the bit. What is kept from
//! request to request is each model's plan, bound to the columns of the store; it is bound anew when they have grown.

mod bound;
mod error;
mod joined;
mod known_columns;
mod merged;
mod served_model;
mod store_backend;

pub(crate) use bound::{USUAL_SPAN_US, span_us};
pub(crate) use error::ServingError;
pub(crate) use joined::{JoinedModels, JoinedScans, Next};
pub(crate) use served_model::ServedModel;
pub use store_backend::{LiveOptions, StoreBackend};
