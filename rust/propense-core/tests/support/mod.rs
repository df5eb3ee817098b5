//! Random logs, moments and expressions, and the comparison of the engine with the reference.

pub mod comparison;
pub mod expressions;
pub mod logs;
pub mod moments;
pub mod rules;

use proptest::prelude::*;

use logs::{Event, Profile, events, profiles};
use moments::{Moments, moments};

/// A log with a moment at which to look at it.
pub fn situation() -> impl Strategy<Value = (Moments, Vec<Event>, Vec<Profile>)> {
    moments().prop_flat_map(|moments| {
        let (events, profiles) = (events(moments.times_us.clone()), profiles(moments.times_us.clone()));
        (Just(moments), events, profiles)
    })
}
