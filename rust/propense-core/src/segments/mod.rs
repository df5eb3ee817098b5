//! Segments: who is in a named set of users, since when, and at which instant that may change.
//!
//! A [`SegmentDefinition`] is what people write. A [`RuleSet`] is all of them with the tiers of the models, put in an
//! order in which every segment stands after those it reads. [`BoundRules`] is that bound to the columns of a log. An
//! [`Evaluator`] answers for one user after another.
//!
//! At an instant a user is in a segment if the rule is true of the events before it, and the segment is valid. With a
//! `stay` or `min_stay`, who is in it depends on who was: membership is then what a replay of the user's timeline
//! gives, which visits the user's first event, every instant at which anything that the rules read may change
//! ([`Evaluator::next_change_us`]), and the instant that is asked for. So it depends on nothing but events,
//! attributes, definitions and models.
//!
//! [`mod@reference`] is the definition of truth that the tests hold all of it to.

mod bound;
mod definition;
mod error;
mod evaluator;
mod order;
mod reads;
pub mod reference;
mod rules;
mod running;
mod settle;
mod since;
mod standing;

/// The type of the events that delivered messages become. Rules may name it before there is one, for caps on messages.
pub const MESSAGE: &str = "message";

pub use bound::BoundRules;
pub use definition::SegmentDefinition;
pub use error::{Part, SegmentError};
pub use evaluator::Evaluator;
pub use rules::{Reads, RuleSet};
pub use standing::{NoScores, Score, Standing, Transition, UserScores};
