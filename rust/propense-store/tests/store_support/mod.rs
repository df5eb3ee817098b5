//! A store's memory without its log on disk, and a slow model of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use propense_core::events::{Column, ColumnKind, EventColumns, EventLog, EventLogBuilder, UserIds};
use propense_store::{Applied, ErasedUsers, EventBatch, LocalDisk, Memory, ProfileBatch, SourceId, open};
use proptest::prelude::*;

#[derive(Debug, Clone, Default, PartialEq)]
#[allow(clippy::struct_field_names)]
pub struct Event {
    pub user: String,
    pub time_us: i64,
    pub event: u8,
    pub id: Option<u8>,
    pub text: Option<u8>,
    pub number: Option<f64>,
    pub truth: Option<bool>,
    pub instant: Option<i64>,
    /// A property that few events have, whose name comes last.
    pub rare: Option<u8>,
}

impl Event {
    pub fn event(&self) -> String {
        // Codes are given in order of arrival, which must not be that of the texts.
        ["purchase", "app_open", "view", "é"][self.event as usize % 4].to_owned()
    }

    pub fn identity(&self) -> (String, i64, String, Option<u8>) {
        (self.user.clone(), self.time_us, self.event(), self.id)
    }

    fn retold(&self) -> Self {
        Self { number: Some(0.5), text: None, rare: Some(3), ..self.clone() }
    }

    fn text(&self) -> Option<String> {
        self.text.map(text)
    }
}

pub fn text(seed: u8) -> String {
    format!("{}-{}", ["z", "m", "a", "ü", ""][seed as usize % 5], seed / 2)
}

#[derive(Debug, Clone)]
pub struct Profile {
    pub user: String,
    pub country: Option<u8>,
    pub age: Option<f64>,
    pub is_member: Option<bool>,
}

#[derive(Debug, Clone)]
pub enum Step {
    Events(Vec<Event>),
    /// Events of a step before come again, saying something else: the first ones count.
    Again(prop::sample::Index),
    Profiles(Vec<Profile>),
    Erase(String),
    Freeze,
    /// Seals the oldest frozen memtable.
    Seal,
    /// Merges parts that lie side by side: the first, and how many more.
    Merge(usize, usize),
}

pub fn user() -> impl Strategy<Value = String> {
    prop_oneof![8 => (0..12_u8).prop_map(|user| format!("u{user}")), 1 => "[é\u{0}\u{202e}a-c]{1,3}"]
}

pub fn event() -> impl Strategy<Value = Event> {
    let numbers = prop_oneof![
        Just(-0.0),
        Just(0.0),
        Just(f64::INFINITY),
        (-300..300_i32).prop_map(f64::from),
        any::<f64>().prop_filter("NaN is missing", |number| !number.is_nan()),
    ];
    let optional = |weight| prop::option::weighted(weight, 0..8_u8);
    let number = prop::option::weighted(0.5, numbers);
    let instant = prop::option::weighted(0.2, -5..5_i64);
    let truth = prop::option::of(any::<bool>());
    // Few instants, so that there are ties, and a few far away.
    let time = prop_oneof![6 => 0..12_i64, 2 => (0..4_i64).prop_map(|day| day * 86_400_000_000)];
    (user(), time, 0..4_u8, optional(0.4), optional(0.6), number, truth, instant, optional(0.1)).prop_map(
        |(user, time_us, event, id, text, number, truth, instant, rare)| Event {
            user,
            time_us,
            event,
            id,
            text,
            number,
            truth,
            instant,
            rare,
        },
    )
}

fn profile_write() -> impl Strategy<Value = Profile> {
    let age = prop::option::of((0..90_u8).prop_map(f64::from));
    (user(), prop::option::of(0..9_u8), age, prop::option::of(any::<bool>()))
        .prop_map(|(user, country, age, is_member)| Profile { user, country, age, is_member })
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => prop::collection::vec(event(), 0..25).prop_map(Step::Events),
        3 => any::<prop::sample::Index>().prop_map(Step::Again),
        2 => prop::collection::vec(profile_write(), 0..6).prop_map(Step::Profiles),
        1 => user().prop_map(Step::Erase),
        2 => Just(Step::Freeze),
        2 => Just(Step::Seal),
        1 => (0..4_usize, 0..3_usize).prop_map(|(first, more)| Step::Merge(first, more)),
    ];
    prop::collection::vec(step, 0..25).prop_map(|mut steps| {
        for at in 0..steps.len() {
            if let Step::Again(which) = &steps[at] {
                let again = match steps[..at].get(which.index(at.max(1))) {
                    Some(Step::Events(events)) => events.iter().rev().map(Event::retold).collect(),
                    _ => Vec::new(),
                };
                steps[at] = Step::Events(again);
            }
        }
        steps
    })
}

pub struct Store {
    pub memory: Memory,
    folder: tempfile::TempDir,
    next: usize,
}

impl Store {
    pub fn new() -> Self {
        let memory = Memory::new(ErasedUsers::with_salt(b"salt"), 10);
        Self { memory, folder: tempfile::tempdir().unwrap(), next: 0 }
    }

    pub fn take(&mut self, step: &Step) {
        match step {
            Step::Again(_) => {}
            Step::Events(events) => drop(self.events(events)),
            Step::Profiles(profiles) => self.profiles(profiles),
            Step::Erase(user) => drop(self.memory.erase(user)),
            Step::Freeze => drop(self.memory.freeze()),
            Step::Seal => {
                if let Some(&oldest) = self.memory.frozen().first() {
                    self.replace(&[oldest]);
                }
            }
            Step::Merge(first, more) => {
                let parts: Vec<SourceId> = self.memory.parts().iter().map(|part| part.id).collect();
                let some: Vec<SourceId> = parts.iter().skip(*first).take(more + 1).copied().collect();
                if !some.is_empty() {
                    self.replace(&some);
                }
            }
        }
    }

    pub fn events(&self, events: &[Event]) -> Applied {
        let batch = batch(events);
        let mut bytes = Vec::new();
        batch.encode(&mut bytes);
        assert_eq!(EventBatch::decode(&bytes).unwrap(), batch);
        self.memory.apply_events(&batch).unwrap()
    }

    fn profiles(&self, profiles: &[Profile]) {
        let mut batch = ProfileBatch::new();
        for profile in profiles {
            let row = batch.push_user(&profile.user).unwrap();
            if let Some(country) = profile.country {
                batch.columns.set_text(row, "country", &text(country)).unwrap();
            }
            if let Some(age) = profile.age {
                batch.columns.set_number(row, "age", age).unwrap();
            }
            if let Some(is_member) = profile.is_member {
                batch.columns.set_boolean(row, "is_member", is_member).unwrap();
            }
        }
        let mut bytes = Vec::new();
        batch.encode(&mut bytes);
        assert_eq!(ProfileBatch::decode(&bytes).unwrap(), batch);
        self.memory.apply_profiles(&batch).unwrap();
    }

    pub fn write(&mut self, sources: &[SourceId]) -> PathBuf {
        self.next += 1;
        let path = self.folder.path().join(format!("{:06}", self.next));
        let written = self.memory.write_part(sources, &LocalDisk, &path, &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(written, path.exists());
        path
    }

    fn replace(&mut self, sources: &[SourceId]) {
        let path = self.write(sources);
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        self.memory.replace(sources, path.exists().then_some((name.as_str(), path.as_path()))).unwrap();
    }

    /// Every part is a sound log, and a memory that opens them all holds what this one holds of them.
    pub fn check_parts(&mut self) {
        self.memory.freeze();
        while !self.memory.frozen().is_empty() {
            self.take(&Step::Seal);
        }
        let before = self.all_rows();
        let reopened = Memory::new(ErasedUsers::with_salt(b"salt"), 0);
        for part in self.memory.parts() {
            let path = self.folder.path().join(&part.name);
            propense_store::verify(&path, &mut |_| ControlFlow::Continue(())).unwrap();
            assert_eq!(open(&path).unwrap().log.len() as u64, part.events);
            reopened.add_part(&part.name, &path).unwrap();
        }
        if self.memory.parts().iter().all(|part| part.erased_users == 0) {
            assert_eq!(before, all_rows(&reopened));
            assert_eq!(reopened.snapshot().user_count(), self.memory.snapshot().user_count());
        }
    }

    pub fn all_rows(&self) -> Vec<(String, Vec<Row>)> {
        all_rows(&self.memory)
    }

    /// Whether the files of the store's parts hold a text.
    pub fn bytes_hold(&self, text: &str) -> bool {
        self.memory.parts().iter().any(|part| {
            let log = open(&self.folder.path().join(&part.name)).unwrap().log;
            let UserIds::Texts(users) = log.users() else { panic!("text ids") };
            users.iter().any(|user| user == Some(text))
        })
    }
}

fn all_rows(memory: &Memory) -> Vec<(String, Vec<Row>)> {
    let snapshot = memory.snapshot();
    let users = snapshot.users_from(None, usize::MAX);
    let ids: Vec<&str> = users.iter().map(String::as_str).collect();
    let gathered = snapshot.gather(&ids).unwrap();
    assert_eq!(gathered.sizes, snapshot.sizes());
    let shape = snapshot.shape().unwrap();
    users.iter().enumerate().map(|(user, id)| (id.clone(), rows(&gathered.log, &shape, user))).collect()
}

pub fn batch(events: &[Event]) -> EventBatch {
    let mut batch = EventBatch::new();
    for event in events {
        let id = event.id.map(|id| format!("id {id}"));
        let row = batch.push_event(&event.user, event.time_us, &event.event(), id.as_deref()).unwrap();
        if let Some(text) = event.text() {
            batch.set_text(row, "category", &text).unwrap();
        }
        if let Some(number) = event.number {
            batch.set_number(row, "amount", number).unwrap();
        }
        if let Some(truth) = event.truth {
            batch.set_boolean(row, "is_gift", truth).unwrap();
        }
        if let Some(instant) = event.instant {
            batch.set_time(row, "due", instant).unwrap();
        }
        if let Some(rare) = event.rare {
            batch.set_text(row, "zone", &text(rare)).unwrap();
        }
    }
    batch
}

/// Time, event type, and every property that is there, as text.
pub type Row = (i64, String, BTreeMap<String, String>);

fn value(column: &Column, dictionary: &[String], row: usize) -> Option<String> {
    match column.kind {
        ColumnKind::Text => column.cells.code(row).map(|code| dictionary[code as usize].clone()),
        _ => Some(column.number(row)).filter(|number| !number.is_nan()).map(|number| format!("{:x}", number.to_bits())),
    }
}

fn values(columns: &[Column], shape: &[Column], row: usize) -> BTreeMap<String, String> {
    assert!(
        columns
            .iter()
            .map(|column| (&column.name, column.kind))
            .eq(shape.iter().map(|column| (&column.name, column.kind)))
    );
    for (column, shape) in columns.iter().zip(shape) {
        assert_eq!(std::mem::discriminant(&column.cells), std::mem::discriminant(&shape.cells));
    }
    let values =
        columns.iter().zip(shape).map(|(column, shape)| (column.name.clone(), value(column, &shape.dictionary, row)));
    values.filter_map(|(name, value)| Some((name, value?))).collect()
}

pub fn rows(log: &EventLog, shape: &EventLog, user: usize) -> Vec<Row> {
    log.rows(user)
        .map(|row| {
            let event = shape.event_types()[log.event().code(row).unwrap() as usize].clone();
            (log.time_us()[row], event, values(log.columns(), shape.columns(), row))
        })
        .collect()
}

pub fn profile(log: &EventLog, shape: &EventLog, user: usize) -> BTreeMap<String, String> {
    log.profile_row(user).map(|row| values(log.attributes(), shape.attributes(), row)).unwrap_or_default()
}

pub fn texts_of(shape: &EventLog) -> BTreeSet<String> {
    shape.event_types().iter().cloned().collect()
}

type Profiles = BTreeMap<String, BTreeMap<String, String>>;

/// The users' rows as a builder of logs orders the distinct events, and their profiles.
pub fn expected(steps: &[Step]) -> (BTreeMap<String, Vec<Row>>, Profiles) {
    let (mut seen, mut events, mut profiles) = (BTreeSet::new(), Vec::new(), Profiles::new());
    let mut erased = BTreeSet::new();
    for step in steps {
        match step {
            Step::Events(new) => {
                for event in new.iter().filter(|event| !erased.contains(&event.user)) {
                    if seen.insert(event.identity()) {
                        events.push(event.clone());
                    }
                }
            }
            Step::Profiles(new) => {
                for write in new.iter().filter(|write| !erased.contains(&write.user)) {
                    let profile = profiles.entry(write.user.clone()).or_default();
                    let number = |number: f64| format!("{:x}", number.to_bits());
                    let new = [
                        ("country", write.country.map(text)),
                        ("age", write.age.map(number)),
                        ("is_member", write.is_member.map(|is_member| number(f64::from(u8::from(is_member))))),
                    ];
                    for (name, value) in new {
                        if let Some(value) = value {
                            profile.insert(name.to_owned(), value);
                        }
                    }
                }
            }
            Step::Erase(user) => {
                erased.insert(user.clone());
                events.retain(|event| event.user != *user);
                profiles.remove(user);
            }
            _ => {}
        }
    }
    let log = built(&events);
    let UserIds::Texts(users) = log.users() else { panic!("text ids") };
    let rows = |user: usize| rows(&log, &log, user);
    (users.iter().enumerate().map(|(user, id)| (id.unwrap().to_owned(), rows(user))).collect(), profiles)
}

fn built(events: &[Event]) -> EventLog {
    let (user, time, event) = ("u".to_owned(), "t".to_owned(), "e".to_owned());
    let mut builder = EventLogBuilder::new(EventColumns { user, time, event });
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("u", Arc::new(StringArray::from_iter_values(events.iter().map(|event| &event.user)))),
        ("t", Arc::new(TimestampMicrosecondArray::from_iter_values(events.iter().map(|event| event.time_us)))),
        ("e", Arc::new(StringArray::from_iter_values(events.iter().map(Event::event)))),
        ("category", Arc::new(events.iter().map(Event::text).collect::<StringArray>())),
        ("amount", Arc::new(events.iter().map(|event| event.number).collect::<Float64Array>())),
        ("is_gift", Arc::new(events.iter().map(|event| event.truth).collect::<BooleanArray>())),
        ("due", Arc::new(events.iter().map(|event| event.instant).collect::<TimestampMicrosecondArray>())),
        ("zone", Arc::new(events.iter().map(|event| event.rare.map(text)).collect::<StringArray>())),
    ];
    builder
        .push(
            &RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| {
                let nullable = array.null_count() > 0;
                (name, array, nullable)
            }))
            .unwrap(),
        )
        .unwrap();
    builder.finish().unwrap()
}
