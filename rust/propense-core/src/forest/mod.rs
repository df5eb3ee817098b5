//! Ensembles of decision trees, scored natively.
//!
//! An [`Ensemble`] says what a file holds. [`Forest::compile`] checks it, turns every test into a comparison of
//! ranks and picks an [`Engine`]. All engines send a row to the same leaves as comparing its floats would, and add
//! the leaves' values in the order of the trees in f64, so that a score has the same bits on any of them, in any
//! batch. [`mod@reference`] says what is right. An [`Explainer`] says what each feature contributed to a sum.

mod bins;
mod check;
mod compiled;
mod engine;
mod ensemble;
mod error;
mod explain;
mod graph;
mod isa;
mod oblivious;
mod one_row;
mod portable;
mod program;
pub mod reference;
mod row_layout;
mod rule;
mod search_tree;
mod tiles;
mod tree;
mod walk;
mod walk_lines;
mod walk_nodes;
mod walk_steps;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_bin;
#[cfg(target_arch = "x86_64")]
mod avx512_lanes;
#[cfg(target_arch = "x86_64")]
mod avx512_row;

pub use check::{MAX_MEMBERS, MAX_NODES, MAX_OUTPUTS, MAX_TREES, MAX_WEIGHTS, MAX_WIDTH};
pub use compiled::Forest;
pub use engine::Engine;
pub use ensemble::{Aggregate, Ensemble, Node, Test, Weight};
pub use error::ForestError;
pub use explain::{ExplainError, Explainer, MAX_PATH_FEATURES};
pub use isa::Isa;
