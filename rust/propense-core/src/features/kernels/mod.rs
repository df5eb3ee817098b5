//! The inner loops: one event into a running state, a running state into a value.
//!
//! A state is a few 64-bit cells of one array that holds the states of all aggregates of a user, so that one copy
//! keeps them all. Events come newest first and windows are nested, so what a state holds when the walk leaves a
//! window is the answer for that window, and does not depend on which other windows are asked for. A cell is a count,
//! an instant, or the bits of an f64.

pub(super) mod calendar_days;
pub(super) mod distinct_values;
pub(super) mod extent;
pub(super) mod half_life;
pub(super) mod property;
pub(super) mod welford;
