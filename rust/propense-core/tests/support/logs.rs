//! Small logs full of ties, missing values and odd numbers, built as a reader builds them.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
};
use propense_core::events::{EventColumns, EventLog, EventLogBuilder, ProfilesBuilder};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;

pub const EVENT_TYPES: [&str; 3] = ["Log In", "buy", "view"];
pub const TEXTS: [&str; 5] = ["", "book", "movie", "Ärger", "a_b%"];
pub const NUMBERS: [f64; 9] = [0.1, 0.2, 0.3, 1.0, 2.5, -3.0, 1e15, 7.0, 0.0];
const ODD_NUMBERS: [f64; 6] = [-0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, 5e-324];

/// One row of a log.
#[derive(Debug, Clone)]
pub struct Event {
    pub user: u32,
    pub time_us: i64,
    /// The event type.
    pub kind: &'static str,
    pub amount: Option<f64>,
    pub unit_price: Option<f64>,
    pub category: Option<&'static str>,
    pub gift: Option<bool>,
    pub due_us: Option<i64>,
}

/// One row of profiles.
#[derive(Debug, Clone)]
pub struct Profile {
    pub age: Option<f64>,
    pub country: Option<&'static str>,
    pub member: Option<bool>,
    pub joined_us: Option<i64>,
}

pub fn number() -> impl Strategy<Value = Option<f64>> {
    weighted(0.85, prop_oneof![12 => select(&NUMBERS[..]), 1 => select(&ODD_NUMBERS[..]), 1 => -50.0..50.0])
}

fn event(times_us: Vec<i64>, users: u32) -> impl Strategy<Value = Event> {
    let properties = (
        number(),
        number(),
        weighted(0.8, select(&TEXTS[..])),
        weighted(0.8, any::<bool>()),
        weighted(0.7, select(times_us.clone())),
    );
    (0..users, select(times_us), select(&EVENT_TYPES[..]), properties).prop_map(
        |(user, time_us, kind, (amount, unit_price, category, gift, due_us))| Event {
            user,
            time_us,
            kind,
            amount,
            unit_price,
            category,
            gift,
            due_us,
        },
    )
}

/// Up to 60 events of up to 8 users at the given times.
pub fn events(times_us: Vec<i64>) -> impl Strategy<Value = Vec<Event>> {
    (1_u32..=8).prop_flat_map(move |users| vec(event(times_us.clone(), users), 0..=60))
}

/// Profiles of users 0, 1, 2 …; they may be fewer than the users, or more.
pub fn profiles(times_us: Vec<i64>) -> impl Strategy<Value = Vec<Profile>> {
    let profile =
        (number(), weighted(0.8, select(&TEXTS[..])), weighted(0.8, any::<bool>()), weighted(0.8, select(times_us)));
    let profile = profile.prop_map(|(age, country, member, joined_us)| Profile { age, country, member, joined_us });
    vec(profile, 0..=10)
}

fn texts(values: impl Iterator<Item = Option<&'static str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn numbers(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.collect::<Float64Array>())
}

fn booleans(values: impl Iterator<Item = Option<bool>>) -> ArrayRef {
    Arc::new(values.collect::<BooleanArray>())
}

fn times(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMicrosecondArray>())
}

fn users(values: impl Iterator<Item = u32>) -> ArrayRef {
    Arc::new(values.collect::<UInt32Array>())
}

fn event_batch(events: &[Event]) -> RecordBatch {
    RecordBatch::try_from_iter([
        ("user_id", users(events.iter().map(|event| event.user))),
        ("event_time", times(events.iter().map(|event| Some(event.time_us)))),
        ("event", texts(events.iter().map(|event| Some(event.kind)))),
        ("amount", numbers(events.iter().map(|event| event.amount))),
        ("unit price", numbers(events.iter().map(|event| event.unit_price))),
        ("category", texts(events.iter().map(|event| event.category))),
        ("gift", booleans(events.iter().map(|event| event.gift))),
        ("due", times(events.iter().map(|event| event.due_us))),
    ])
    .unwrap()
}

fn profile_batch(profiles: &[Profile]) -> RecordBatch {
    RecordBatch::try_from_iter([
        ("user_id", users(0..profiles.len() as u32)),
        ("age", numbers(profiles.iter().map(|profile| profile.age))),
        ("country", texts(profiles.iter().map(|profile| profile.country))),
        ("member", booleans(profiles.iter().map(|profile| profile.member))),
        ("joined", times(profiles.iter().map(|profile| profile.joined_us))),
    ])
    .unwrap()
}

/// A log of batches of events, one after another.
pub fn log(batches: &[&[Event]], profiles: &[Profile]) -> EventLog {
    let [user, time, event] = ["user_id", "event_time", "event"].map(ToOwned::to_owned);
    let mut builder = EventLogBuilder::new(EventColumns { user: user.clone(), time, event });
    for events in batches {
        builder.push(&event_batch(events)).unwrap();
    }
    let mut attributes = ProfilesBuilder::new(user);
    attributes.push(&profile_batch(profiles)).unwrap();
    builder.finish().unwrap().with_profiles(attributes.finish().unwrap()).unwrap()
}
