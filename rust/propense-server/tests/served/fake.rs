//! The store and the models that a test talks to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use propense_core::events::{EventColumns, EventLog, EventLogBuilder, EventsError, ProfilesBuilder};
use propense_server::{
    Backend, Explained, Explains, LoadedModel, ModelError, ReadFeature, Receipt, Reply, Scored, ScoredUser, Snapshot,
    StoreSize, Tier, Write, WriteError, proto,
};
use propense_store::{BatchProblem, EventBatch, PropertyValues};

/// What a test tells the store to do.
#[derive(Default)]
pub struct Knobs {
    /// Writes wait for as long as this is set.
    pub hold_writes: AtomicBool,
    /// Writes are refused as if the queue were full.
    pub busy: AtomicBool,
    /// The thread that writes is gone.
    pub broken: AtomicBool,
    /// Models cannot be explained.
    pub unexplained: AtomicBool,
    /// Milliseconds that scoring takes, those under way included.
    pub score_ms: AtomicU64,
    /// Scorings of this user wait for as long as this is set.
    pub held_user: Mutex<Option<String>>,
    /// Scoring breaks down.
    pub panics: AtomicBool,
    /// Writes that have been taken on.
    pub submitted: AtomicUsize,
    /// Scorings that have begun.
    pub scorings: AtomicUsize,
}

/// (time, event type, event id) → amount, by user.
type Events = BTreeMap<String, BTreeMap<(i64, String, u64), f64>>;

#[derive(Clone, Default)]
pub struct Rows {
    events: Events,
    countries: BTreeMap<String, String>,
    erased: BTreeSet<String>,
    sequence: u64,
}

/// The rows as they were at one moment.
pub struct View(Arc<Rows>);

pub struct Fake {
    rows: Arc<Mutex<Arc<Rows>>>,
    writes: Sender<(Write, Reply)>,
    knobs: Arc<Knobs>,
}

impl Fake {
    pub fn new(knobs: Arc<Knobs>) -> Self {
        let rows = Arc::new(Mutex::new(Arc::new(Rows::default())));
        let (writes, waiting) = channel::<(Write, Reply)>();
        let (committed, told) = (Arc::clone(&rows), Arc::clone(&knobs));
        thread::spawn(move || {
            for (write, reply) in waiting {
                while told.hold_writes.load(SeqCst) {
                    thread::sleep(Duration::from_millis(2));
                }
                let mut committed = committed.lock().expect("rows");
                let written = Arc::make_mut(&mut committed).apply(write);
                drop(committed);
                reply(written);
            }
        });
        Self { rows, writes, knobs }
    }

    fn score_rows(&self, users: &[&str], events: impl Fn(&str) -> usize) -> Scored {
        self.knobs.scorings.fetch_add(1, SeqCst);
        assert!(!self.knobs.panics.load(SeqCst), "as the test has asked for");
        while self.knobs.held_user.lock().expect("a user").as_deref().is_some_and(|held| users.contains(&held)) {
            thread::sleep(Duration::from_millis(1));
        }
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(self.knobs.score_ms.load(SeqCst)) {
            thread::sleep(Duration::from_millis(1));
        }
        let counts: Vec<usize> = users.iter().map(|user| events(user)).collect();
        let scored = |count: &usize| {
            let score = *count as f32 / (*count as f32 + 1.0);
            let tier = match count {
                1 => Tier::LeastLikely,
                2 => Tier::ModeratelyLikely,
                _ => Tier::MostLikely,
            };
            (*count > 0).then_some(ScoredUser { score, percentile: 100.0 * score, tier })
        };
        Scored {
            users: counts.iter().map(scored).collect(),
            features: counts.iter().flat_map(|count| [*count as f32, f32::NAN]).collect(),
        }
    }
}

impl Rows {
    fn apply(&mut self, write: Write) -> Result<Receipt, WriteError> {
        self.sequence += 1;
        let mut receipt = Receipt { sequence: self.sequence, ..Receipt::default() };
        match write {
            Write::Ask(_) => return Err(WriteError::Refused("there is no observer".to_owned())),
            Write::Erase(user) => {
                self.events.remove(&user);
                self.countries.remove(&user);
                self.erased.insert(user);
            }
            Write::Profiles(batch) => {
                for row in 0..batch.len() {
                    let country = batch.columns.iter().find(|column| column.name == "country");
                    if let Some(PropertyValues::Text(places, texts)) = country.map(|column| &column.values) {
                        let country = texts.get(places[row] as usize).to_owned();
                        self.countries.insert(batch.user_ids.get(row).to_owned(), country);
                    }
                    receipt.accepted += 1;
                }
            }
            Write::Events(batch) => {
                let amounts = Self::amounts(&batch)?;
                for (row, amount) in amounts.into_iter().enumerate() {
                    let user = batch.user_ids.get(row).to_owned();
                    let key = (batch.time_us[row], batch.event_types.get(row).to_owned(), batch.event_id(row));
                    let count = if self.erased.contains(&user) {
                        &mut receipt.erased
                    } else if self.events.entry(user.clone()).or_default().contains_key(&key) {
                        &mut receipt.duplicates
                    } else {
                        self.events.entry(user).or_default().insert(key, amount);
                        &mut receipt.accepted
                    };
                    *count += 1;
                }
            }
        }
        Ok(receipt)
    }

    fn amounts(batch: &EventBatch) -> Result<Vec<f64>, WriteError> {
        match batch.properties.iter().find(|column| column.name == "amount").map(|column| &column.values) {
            None => Ok(vec![f64::NAN; batch.len()]),
            Some(PropertyValues::Number(numbers)) => {
                Ok((0..batch.len()).map(|row| numbers.get(row).copied().unwrap_or(f64::NAN)).collect())
            }
            Some(_) => {
                let problem = BatchProblem::Kind { name: "amount".to_owned(), expected: "number", found: "text" };
                Err(WriteError::Invalid(problem.in_row(0)))
            }
        }
    }
}

impl Backend for Fake {
    type Snapshot = View;
    type Model = ();

    fn submit(&self, write: Write, reply: Reply) -> Result<(), WriteError> {
        if self.knobs.busy.load(SeqCst) {
            return Err(WriteError::Busy);
        }
        self.knobs.submitted.fetch_add(1, SeqCst);
        self.writes.send((write, reply)).map_err(|_| WriteError::Closed)
    }

    fn has_room(&self, _: &Write) -> bool {
        !self.knobs.busy.load(SeqCst)
    }

    fn has_broken_down(&self) -> bool {
        self.knobs.broken.load(SeqCst)
    }

    fn snapshot(&self) -> View {
        View(Arc::clone(&self.rows.lock().expect("rows")))
    }

    fn size(&self) -> StoreSize {
        let View(rows) = self.snapshot();
        StoreSize { events: rows.events.values().map(|events| events.len() as u64).sum(), ..StoreSize::default() }
    }

    fn load_model(&self, folder: &Path) -> Result<LoadedModel<()>, ModelError> {
        let manifest = std::fs::read_to_string(folder.join("manifest.json"))
            .map_err(|error| ModelError(format!("manifest.json: {}", error.kind())))?;
        if manifest.contains("bad") {
            return Err(ModelError("model.onnx: its checksum is not the manifest's".to_owned()));
        }
        let digest = propense_server::hash_token(&manifest);
        let features = vec!["purchase_count".to_owned(), "purchase_amount_mean".to_owned()];
        Ok(LoadedModel { digest, description: proto::Model { features, ..proto::Model::default() }, model: () })
    }

    fn score(&self, (): &(), View(rows): &View, users: &[&str], as_of_us: i64, _: bool) -> Result<Scored, ModelError> {
        assert!(users.is_sorted_by(|a, b| a < b), "users must ascend and be distinct");
        let count = |user: &str| {
            rows.events.get(user).map_or(0, |events| events.keys().filter(|(time_us, ..)| *time_us < as_of_us).count())
        };
        Ok(self.score_rows(users, count))
    }

    /// What is read of a user is the count of events, a text that is `view` for one event and another for more, and nothing.
    fn explains(&self, (): &()) -> Result<Arc<Explains>, ModelError> {
        if self.knobs.unexplained.load(SeqCst) {
            return Err(ModelError("the model cannot be explained exactly: it is a stand-in".to_owned()));
        }
        let feature = |name: &str, usual, texts: &[&str]| ReadFeature {
            name: name.to_owned(),
            expression: format!("the text of {name}"),
            vocabulary: (!texts.is_empty()).then(|| texts.iter().map(|text| (*text).to_owned()).collect()),
            usual,
        };
        let features = vec![
            feature("purchase_count", Some(1.0), &[]),
            feature("kind", Some(f64::NAN), &["none", "view"]),
            feature("purchase_amount_mean", None, &[]),
        ];
        Ok(Arc::new(Explains { base: -1.5, features }))
    }

    fn explain(&self, model: &(), view: &View, user: &str, as_of_us: i64) -> Result<Option<Explained>, ModelError> {
        let scored = self.score(model, view, &[user], as_of_us, true)?;
        let count = scored.features[0];
        let explained = |user| Explained {
            user,
            values: vec![count, count, f32::NAN],
            contributions: vec![0.25 * count, -0.5 * count, 0.125],
        };
        Ok(scored.users[0].map(explained))
    }

    fn score_log(&self, (): &(), log: &EventLog, as_of_us: i64, _: bool) -> Result<Scored, ModelError> {
        let places: Vec<String> = (0..log.users().len()).map(|place| place.to_string()).collect();
        let places: Vec<&str> = places.iter().map(String::as_str).collect();
        let count = |place: &str| {
            let rows = log.rows(place.parse().expect("a place"));
            log.time_us()[rows].iter().filter(|time_us| **time_us < as_of_us).count()
        };
        Ok(self.score_rows(&places, count))
    }
}

impl Snapshot for View {
    fn has_user(&self, user: &str) -> bool {
        self.0.events.contains_key(user) || self.0.countries.contains_key(user)
    }

    fn event_count_of(&self, user: &str) -> Option<usize> {
        self.has_user(user).then(|| self.0.events.get(user).map_or(0, BTreeMap::len))
    }

    fn users_from(&self, after: Option<&str>, limit: usize) -> Vec<String> {
        let all = self.0.events.keys().chain(self.0.countries.keys()).cloned().collect::<BTreeSet<_>>();
        all.into_iter().filter(|user| after.is_none_or(|after| user.as_str() > after)).take(limit).collect()
    }

    fn gather(&self, users: &[&str]) -> Result<EventLog, EventsError> {
        let rows = users.iter().flat_map(|user| {
            self.0
                .events
                .get(*user)
                .into_iter()
                .flatten()
                .map(|((time_us, event, _), amount)| (*user, *time_us, event, *amount))
        });
        let rows: Vec<_> = rows.collect();
        let columns: [(&str, ArrayRef); 4] = [
            ("user", Arc::new(rows.iter().map(|row| Some(row.0)).collect::<StringArray>())),
            ("time", Arc::new(rows.iter().map(|row| Some(row.1)).collect::<TimestampMicrosecondArray>())),
            ("event", Arc::new(rows.iter().map(|row| Some(row.2)).collect::<StringArray>())),
            ("amount", Arc::new(rows.iter().map(|row| Some(row.3)).collect::<Float64Array>())),
        ];
        let batch = RecordBatch::try_from_iter(columns).expect("columns");
        let names = ["user", "time", "event"].map(str::to_owned);
        let [user, time, event] = names;
        let mut builder = EventLogBuilder::new(EventColumns { user, time, event });
        builder.push(&batch).expect("events");
        let log = builder.finish().expect("a log");
        let users: StringArray = self.0.countries.keys().map(Some).collect();
        let countries: StringArray = self.0.countries.values().map(Some).collect();
        let columns: [(&str, ArrayRef); 2] = [("user", Arc::new(users)), ("country", Arc::new(countries))];
        let mut profiles = ProfilesBuilder::new("user".to_owned());
        profiles.push(&RecordBatch::try_from_iter(columns).expect("columns")).expect("profiles");
        log.with_profiles(profiles.finish()?)
    }
}
