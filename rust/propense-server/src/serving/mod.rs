//! Models at work on users' events, wherever those come from: the store, or the caller of one request.
//!
//! One kernel and one model code give the scores here and in batch, so that they are equal to the bit. What is kept from
//! request to request is each model's plan, bound to the columns of the store; it is bound anew when they have grown.

mod bound;
mod error;
mod served_model;
mod source;

pub use error::ServingError;
pub use served_model::{ServedModel, Standing};
pub use source::{Gathered, UserEvents};
