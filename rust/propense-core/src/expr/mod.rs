//! The language of features, goals and audiences: SQL expressions with functions over a user's events.
//!
//! [`parse()`] turns text into an [`Expr`] and refuses what the language does not know. A [`Binder`] checks it against a
//! log: every event type, property and attribute exists and every operation has operands of its type. A bound
//! expression is a [`Program`] over numbered leaves, with SQL's three-valued logic; missing is NaN.

mod aggregate;
mod ast;
mod bind;
mod call;
mod duration;
mod error;
mod externals;
mod name;
mod nearest;
mod parse;
mod parts;
mod program;
mod scope;
mod typing;

pub use aggregate::{Aggregate, Argument, Function, Selector};
pub use ast::{BinaryOp, Clock, Expr, Literal, MathFunction, UnaryOp};
pub use bind::{Binder, Bound, BoundAggregate, BoundFilter, EventSet, UnknownEvents, UserLeaf};
pub use duration::{format_duration, parse_duration_us};
pub use error::ExprError;
pub use externals::Externals;
pub use name::{feature_name, slug};
pub use nearest::{did_you_mean, nearest};
pub use parse::{parse, parse_segment_rule};
pub use parts::ColumnNames;
pub use program::{Node, Program};
pub use scope::EventLeaf;
