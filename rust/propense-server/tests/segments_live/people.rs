//! Events and profiles, for the store and for a log of batches alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, Float64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use propense_core::events::{EventColumns, EventLog, EventLogBuilder, ProfilesBuilder};
use propense_store::{EventBatch, ProfileBatch};

use crate::dice::Dice;

pub const USERS: u64 = 6;

#[derive(Debug, Clone)]
pub struct Event {
    pub user: String,
    pub time_us: i64,
    kind: &'static str,
    amount: Option<f64>,
    category: Option<String>,
    gift: Option<bool>,
    due_us: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
pub struct Profile {
    age: f64,
    country: &'static str,
}

/// All that was sent, of those who were not erased.
#[derive(Debug, Default, Clone)]
pub struct People {
    pub events: Vec<Event>,
    pub profiles: BTreeMap<String, Profile>,
}

pub fn event(dice: &mut Dice, number: i64, around_us: i64, back_us: i64, ahead_us: i64) -> Event {
    let ahead = ahead_us > 0 && dice.one_in(6);
    let distance_us = if ahead { dice.within_us(ahead_us) } else { -dice.within_us(back_us) };
    Event {
        user: format!("user {:03}", dice.below(USERS)),
        // No two at one time.
        time_us: (around_us + distance_us) / 10_000 * 10_000 + number,
        kind: dice.pick(&["purchase", "view", "purchase", "open"]),
        amount: (!dice.one_in(4)).then(|| dice.below(1_000) as f64 / 100.0),
        category: (!dice.one_in(5)).then(|| format!("category {}", dice.below(4))),
        gift: (!dice.one_in(3)).then(|| dice.one_in(2)),
        due_us: dice.one_in(2).then_some(around_us),
    }
}

pub fn profile(dice: &mut Dice) -> Profile {
    Profile { age: 10.0 + dice.below(20) as f64, country: dice.pick(&["DE", "España", "GB"]) }
}

pub fn stored(events: &[Event]) -> EventBatch {
    let mut batch = EventBatch::new();
    for event in events {
        let row = batch.push_event(&event.user, event.time_us, event.kind, None).unwrap();
        if let Some(amount) = event.amount {
            batch.set_number(row, "amount", amount).unwrap();
        }
        if let Some(category) = &event.category {
            batch.set_text(row, "category", category).unwrap();
        }
        if let Some(gift) = event.gift {
            batch.set_boolean(row, "gift", gift).unwrap();
        }
        if let Some(due_us) = event.due_us {
            batch.set_time(row, "due", due_us).unwrap();
        }
    }
    batch
}

pub fn stored_profile(user: &str, profile: Profile) -> ProfileBatch {
    let mut batch = ProfileBatch::new();
    let row = batch.push_user(user).unwrap();
    batch.columns.set_number(row, "age", profile.age).unwrap();
    batch.columns.set_text(row, "country", profile.country).unwrap();
    batch
}

impl People {
    /// The log that a reader would make of it.
    pub fn log(&self) -> EventLog {
        let (mut user, mut event, mut category) = (StringBuilder::new(), StringBuilder::new(), StringBuilder::new());
        let (mut time, mut due) = (TimestampMicrosecondBuilder::new(), TimestampMicrosecondBuilder::new());
        let (mut amount, mut gift) = (Float64Builder::new(), BooleanBuilder::new());
        for row in &self.events {
            user.append_value(&row.user);
            event.append_value(row.kind);
            category.append_option(row.category.as_deref());
            time.append_value(row.time_us);
            due.append_option(row.due_us);
            amount.append_option(row.amount);
            gift.append_option(row.gift);
        }
        let columns: [(&str, ArrayRef); 7] = [
            ("user", Arc::new(user.finish())),
            ("time", Arc::new(time.finish())),
            ("event", Arc::new(event.finish())),
            ("category", Arc::new(category.finish())),
            ("due", Arc::new(due.finish())),
            ("amount", Arc::new(amount.finish())),
            ("gift", Arc::new(gift.finish())),
        ];
        let names = EventColumns { user: "user".to_owned(), time: "time".to_owned(), event: "event".to_owned() };
        let mut builder = EventLogBuilder::new(names);
        builder.push(&RecordBatch::try_from_iter(columns).unwrap()).unwrap();
        let (mut user, mut age, mut country) = (StringBuilder::new(), Float64Builder::new(), StringBuilder::new());
        for (name, profile) in &self.profiles {
            user.append_value(name);
            age.append_value(profile.age);
            country.append_value(profile.country);
        }
        let columns: [(&str, ArrayRef); 3] = [
            ("user", Arc::new(user.finish())),
            ("age", Arc::new(age.finish())),
            ("country", Arc::new(country.finish())),
        ];
        let mut attributes = ProfilesBuilder::new("user".to_owned());
        attributes.push(&RecordBatch::try_from_iter(columns).unwrap()).unwrap();
        builder.finish().unwrap().with_profiles(attributes.finish().unwrap()).unwrap()
    }
}
