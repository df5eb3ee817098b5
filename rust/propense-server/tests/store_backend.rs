//! What the service scores from a store is what the batch kernel scores from a log of the same events, to the bit: while
//! events arrive, dictionaries outgrow their cells, columns are new, and the store seals and merges.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

#[path = "../../propense-onnx/tests/fixtures/mod.rs"]
mod fixtures;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, Float64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use propense_core::events::{EventColumns, EventLog, EventLogBuilder, ProfilesBuilder};
use propense_core::expr::UnknownEvents;
use propense_core::features::{FeatureSpec, Period, Plan, Progress, audience};
use propense_core::scorer::score_users;
use propense_onnx::{LoadedModel, ModelDirectory};
use propense_server::{Backend, Snapshot, StoreBackend};
use propense_store::{EventBatch, ProfileBatch, Store, StoreOptions};
use tempfile::TempDir;

const DAY_US: i64 = 86_400_000_000;
const START_US: i64 = 1_700_000_000_000_000;
const USERS: u64 = 60;

fn model_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/buys_again")
}

/// A small generator of numbers: Knuth's, with the high bits.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

struct Event {
    user: String,
    time_us: i64,
    kind: &'static str,
    amount: Option<f64>,
    category: Option<String>,
    gift: Option<bool>,
    due_us: Option<i64>,
}

fn event(numbers: &mut Numbers, number: i64, categories: u64) -> Event {
    let due_us = START_US + numbers.below(400) as i64 * DAY_US;
    Event {
        user: format!("user {:03}", numbers.below(USERS)),
        // Late ones among them, no two at one time.
        time_us: START_US + (numbers.below(300) as i64) * DAY_US + number,
        kind: ["purchase", "view", "purchase", "open", "päckchen"][numbers.below(5) as usize],
        amount: (numbers.below(4) > 0).then(|| numbers.below(1_000) as f64 / 100.0),
        category: match numbers.below(8) {
            0 => None,
            1 | 2 => Some("café ☕".to_owned()),
            _ => Some(format!("category {}", numbers.below(categories))),
        },
        gift: (numbers.below(3) > 0).then(|| numbers.below(2) == 1),
        due_us: (numbers.below(3) > 0).then_some(due_us),
    }
}

fn stored(events: &[Event]) -> EventBatch {
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

const COUNTRIES: [&str; 4] = ["DE", "España", "GB", "elsewhere"];

fn profiles() -> ProfileBatch {
    let mut batch = ProfileBatch::new();
    for user in 0..USERS {
        let row = batch.push_user(&format!("user {user:03}")).unwrap();
        batch.columns.set_number(row, "age", 10.0 + user as f64).unwrap();
        batch.columns.set_text(row, "country", COUNTRIES[user as usize % 4]).unwrap();
    }
    batch
}

fn batch_log(events: &[Event]) -> EventLog {
    let (mut user, mut event, mut category) = (StringBuilder::new(), StringBuilder::new(), StringBuilder::new());
    let (mut time, mut due) = (TimestampMicrosecondBuilder::new(), TimestampMicrosecondBuilder::new());
    let (mut amount, mut gift) = (Float64Builder::new(), BooleanBuilder::new());
    for row in events {
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
    for number in 0..USERS {
        user.append_value(format!("user {number:03}"));
        age.append_value(10.0 + number as f64);
        country.append_value(COUNTRIES[number as usize % 4]);
    }
    let columns: [(&str, ArrayRef); 3] =
        [("user", Arc::new(user.finish())), ("age", Arc::new(age.finish())), ("country", Arc::new(country.finish()))];
    let mut attributes = ProfilesBuilder::new("user".to_owned());
    attributes.push(&RecordBatch::try_from_iter(columns).unwrap()).unwrap();
    builder.finish().unwrap().with_profiles(attributes.finish().unwrap()).unwrap()
}

/// A standing in a form that compares: the bits of the score and of the percentile, and the tier's place.
type Standing = Option<(u32, u32, usize)>;

/// The oracle: plans compiled for the log itself, all users in one run.
fn in_batch(model: &LoadedModel, log: &EventLog, users: &[String], as_of_us: i64) -> Vec<Standing> {
    let conditions: Vec<_> = model.audience.iter().map(|text| (None, text.clone())).collect();
    let conditions = FeatureSpec::declare(&conditions, model.timezone()).unwrap();
    let compile = |spec| Plan::compile(spec, log, UnknownEvents::Empty, as_of_us).unwrap();
    let (period, progress) = (Period::before(as_of_us), Progress::default());
    let members = audience(log, &compile(&conditions), period, &progress).unwrap();
    let scores = score_users(log, &compile(&model.spec), period, &members, &model.onnx, &progress).unwrap();
    let standing = |user: &String| {
        let place = log.users().find_text(user)? as u32;
        let score = scores[members.binary_search(&place).ok()?];
        Some((score.to_bits(), model.percentile(score).to_bits(), 2 - model.tier(score) as usize))
    };
    users.iter().map(standing).collect()
}

fn on_demand(
    backend: &StoreBackend,
    model: &<StoreBackend as Backend>::Model,
    users: &[&str],
    as_of_us: i64,
) -> Vec<Standing> {
    let scored = backend.score(model, &backend.snapshot(), users, as_of_us, false).unwrap();
    let standing = |user: &Option<propense_server::ScoredUser>| {
        user.map(|user| (user.score.to_bits(), user.percentile.to_bits(), user.tier as usize))
    };
    scored.users.iter().map(standing).collect()
}

#[test]
fn one_user_on_demand_is_the_same_as_all_in_batch_while_the_store_grows() {
    if !fixtures::ready() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let options = StoreOptions { background: false, ..StoreOptions::default() };
    let store = Arc::new(Store::open(folder.path().join("store"), options).unwrap());
    let backend = StoreBackend::new(Arc::clone(&store));
    let served = backend.load_model(&model_folder()).unwrap();
    let model = ModelDirectory::load(model_folder()).unwrap();
    let users: Vec<String> = (0..USERS).map(|user| format!("user {user:03}")).collect();
    let ids: Vec<&str> = users.iter().map(String::as_str).collect();

    // The fixture does not say how many training rows came by its nodes.
    let why = backend.explains(&served.model).unwrap_err().to_string();
    assert!(why.contains("cannot be explained exactly: its ONNX file does not say how many training rows"), "{why}");

    // Before there is any event nobody is in the audience, though the model's columns are not in the store.
    assert_eq!(on_demand(&backend, &served.model, &ids, START_US), vec![None; ids.len()]);
    store.put_profiles(profiles()).unwrap();

    let (mut numbers, mut events) = (Numbers(7), Vec::new());
    let mut compared = 0;
    for round in 0..14_u64 {
        // The categories outgrow first one byte, then two.
        let categories = if round == 12 { 90_000 } else { 40 + round * 60 };
        let count = if round == 12 { 80_000 } else { 150 };
        let first = events.len();
        events.extend((0..count).map(|number| event(&mut numbers, (first + number) as i64, categories)));
        let receipt = store.ingest(stored(&events[first..])).unwrap();
        assert_eq!((receipt.accepted, receipt.duplicates), (count as u64, 0));
        assert_eq!(backend.size().events, events.len() as u64, "profiles are no events");
        match round % 4 {
            1 => store.seal().unwrap(),
            3 => store.compact().unwrap(),
            _ => {}
        }
        let log = batch_log(&events);
        for as_of_us in [START_US, START_US + (20 + 20 * round as i64) * DAY_US, START_US + 400 * DAY_US] {
            let expected = in_batch(&model, &log, &users, as_of_us);
            assert_eq!(on_demand(&backend, &served.model, &ids, as_of_us), expected, "round {round}, all at once");
            let alone: Vec<Standing> =
                ids.iter().flat_map(|id| on_demand(&backend, &served.model, &[id], as_of_us)).collect();
            assert_eq!(alone, expected, "round {round}, one by one");
            compared += expected.iter().flatten().count();
        }
    }
    assert!(compared > 1_000, "only {compared} standings were compared");
}

#[test]
fn events_that_are_sent_along_need_not_have_every_column() {
    if !fixtures::ready() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let store = Arc::new(Store::open(folder.path().join("store"), StoreOptions::default()).unwrap());
    let backend = StoreBackend::new(store);
    let served = backend.load_model(&model_folder()).unwrap();
    let mut events: Vec<Event> = (0..40).map(|number| event(&mut Numbers(number as u64), number, 9)).collect();
    let whole = batch_log(&events);
    let as_of_us = START_US + 400 * DAY_US;
    let model = ModelDirectory::load(model_folder()).unwrap();
    let users: Vec<String> = (0..USERS).map(|user| format!("user {user:03}")).collect();
    let expected: Vec<_> = in_batch(&model, &whole, &users, as_of_us).into_iter().flatten().collect();
    let scored = backend.score_log(&served.model, &whole, as_of_us, true).unwrap();
    let found: Vec<_> = (scored.users.iter().flatten())
        .map(|user| (user.score.to_bits(), user.percentile.to_bits(), user.tier as usize))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(scored.features.len(), whole.users().len() * model.spec.features.len());

    // Without a gift or a due date among them, the columns are missing and not an error.
    for event in &mut events {
        (event.gift, event.due_us) = (None, None);
    }
    let snapshot = backend.snapshot();
    assert!(!snapshot.has_user("user 001"), "nothing that is sent along is stored");
    let mut bare = EventBatch::new();
    for event in &events {
        bare.push_event(&event.user, event.time_us, event.kind, None).unwrap();
    }
    let store = Store::open(folder.path().join("bare"), StoreOptions::default()).unwrap();
    store.ingest(bare).unwrap();
    let bare = StoreBackend::new(Arc::new(store));
    let log = bare.snapshot().users_from(None, 1_000);
    let ids: Vec<&str> = log.iter().map(String::as_str).collect();
    let log = Snapshot::gather(&bare.snapshot(), &ids).unwrap();
    assert_eq!(backend.score_log(&served.model, &log, as_of_us, false).unwrap().users.len(), ids.len());
}
