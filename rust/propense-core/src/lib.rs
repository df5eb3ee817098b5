//! From a log of events to features, labels and scores: the computing core of propense.
//!
//! An [`events::EventLog`] holds events grouped by user in a canonical order. The language of
//! [`expr`] states features, goals and audiences. [`features`] plans a set of expressions once and
//! computes them for every user at an `as_of`, seeing only events before it. [`scorer`] runs a
//! model over those rows block by block. [`segments`] decides who is in which segment, and since when.
//!
//! Nothing here reads a disk, a network or a clock, or knows of Python.
#![deny(unsafe_code)]

pub mod events;
pub mod expr;
pub mod features;
pub mod forest;
mod memory;
pub mod scorer;
pub mod segments;

/// Microseconds in a day of 24 hours; every duration in days is a multiple or fraction of this.
pub const DAY_US: i64 = 86_400_000_000;
