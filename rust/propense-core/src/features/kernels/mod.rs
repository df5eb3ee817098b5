//! The inner loops: one event into a running state, a running state into a value.
//!
//! Events come newest first and windows are nested, so what a state holds after the events of a window is the answer for
//! that window, and does not depend on which other windows are asked for.

pub(super) mod calendar_days;
pub(super) mod distinct_values;
pub(super) mod extent;
pub(super) mod half_life;
pub(super) mod local_time;
pub(super) mod property;
pub(super) mod welford;
