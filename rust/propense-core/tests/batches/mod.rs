//! Random rows in batches of every layout, the logs built from them, and the same by definition.

pub mod building;
pub mod content;
pub mod expected;
pub mod rows;
pub mod types;
