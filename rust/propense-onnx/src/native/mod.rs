//! ONNX files of trees as native forests, with the arithmetic around them.

mod arithmetic;
mod arrange;
mod attributes;
mod elementary;
mod explanation;
mod file;
mod graph;
mod model;
mod monotone;
mod operators;
mod preparation;
mod program;
mod stop;
mod tensor;
mod thresholds;
mod tree_lists;
mod tree_nodes;
mod tree_scores;
mod tree_sets;
mod trees;
mod value;
mod wire;

pub use explanation::{ModelExplainer, NotExplained};
pub use model::{Lowered, NativeModel};
pub use stop::Unsupported;
