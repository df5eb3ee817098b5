//! What can be asked of a store, and the answers.

pub use propense_store::{Receipt, Reply, Write, WriteError};
