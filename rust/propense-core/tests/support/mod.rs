//! Random logs, moments and expressions, and the comparison of the engine with the reference.

pub mod comparison;
pub mod expressions;
pub mod logs;
pub mod moments;
