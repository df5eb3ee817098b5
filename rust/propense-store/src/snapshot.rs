//! The store as it was at an instant.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, RwLock};

use arrow_array::LargeStringArray;
use arrow_array::builder::LargeStringBuilder;
use foldhash::quality::RandomState;
use propense_core::events::{Column, ColumnKind, EventLog, Events, EventsError, UserIds};
use propense_core::features::DictionarySizes;

use crate::catalog::Catalog;
use crate::gather::Gatherer;
use crate::lock::read;
use crate::memtable::Limits;
use crate::shape::{Shape, ShapeColumn, ShapeColumns, Values};
use crate::source::{Rows, Source};
use crate::users::users_after;

/// So many users are gathered while a writer waits.
const BLOCK_USERS: usize = 128;
/// So many users are listed while a writer waits.
const LISTED_USERS: usize = 1024;
static LINEAGES: AtomicU64 = AtomicU64::new(1);

/// What never changes while a store is open, or only grows.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) catalog: RwLock<Catalog>,
    pub(crate) hasher: RandomState,
    lineage: u64,
}

impl Shared {
    pub(crate) fn new() -> Self {
        let lineage = LINEAGES.fetch_add(1, Ordering::Relaxed);
        Self { catalog: RwLock::default(), hasher: RandomState::default(), lineage }
    }
}

/// What there is at an instant.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// Parts, then frozen memtables, each oldest first; the active memtable is the last.
    pub(crate) sources: Arc<[Source]>,
    /// How much there is of the active memtable.
    pub(crate) limits: Limits,
    pub(crate) shape: Arc<Shape>,
    pub(crate) users: u64,
}

/// Events of some users, whose dictionaries are left out.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// The log; a code means what it means in [`Snapshot::shape`].
    pub log: EventLog,
    /// How many texts its dictionaries would hold.
    pub sizes: DictionarySizes,
    /// Which dictionaries they are: equal numbers stand for dictionaries that only grow.
    pub lineage: u64,
}

/// The store as it was at an instant; cheap to take and to clone, and nothing waits for it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    shared: Arc<Shared>,
    view: View,
    /// The active memtable's users in order of id.
    sorted: Arc<OnceLock<Arc<[u32]>>>,
}

impl Snapshot {
    pub(crate) fn new(shared: Arc<Shared>, view: View) -> Self {
        Self { shared, view, sorted: Arc::default() }
    }

    pub(crate) fn catalog(&self) -> &RwLock<Catalog> {
        &self.shared.catalog
    }

    fn gatherer(&self) -> Gatherer<'_> {
        let View { sources, limits, shape, .. } = &self.view;
        Gatherer::new(sources, *limits, shape, &self.shared.catalog, &self.shared.hasher)
    }

    /// Whether a user has an event or a profile.
    #[must_use]
    pub fn has_user(&self, user: &str) -> bool {
        let mut slots = Vec::new();
        self.gatherer().find(user, &mut slots);
        slots.iter().any(Option::is_some)
    }

    /// How many events there are of a user; none if there is no profile either.
    #[must_use]
    pub fn event_count_of(&self, user: &str) -> Option<usize> {
        let (gatherer, mut slots) = (self.gatherer(), Vec::new());
        gatherer.find(user, &mut slots);
        slots.iter().any(Option::is_some).then(|| gatherer.count(&slots))
    }

    /// How many users have an event or a profile.
    #[must_use]
    pub fn user_count(&self) -> u64 {
        self.view.users
    }

    /// How many events there are, those of erased users included until their parts are merged.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        let events = |source: &Source| match &source.rows {
            Rows::Part(part) => part.time_us.len() as u64,
            Rows::Recent(memtable) => u64::from(read(&memtable.table).limits().rows),
        };
        let (active, older) = self.view.sources.split_last().map_or((0, &[][..]), |(_, older)| (1, older));
        older.iter().map(events).sum::<u64>() + u64::from(self.view.limits.rows) * active
    }

    /// Up to `limit` users after an id, ascending.
    #[must_use]
    pub fn users_from(&self, after: Option<&str>, limit: usize) -> Vec<String> {
        let last = self.view.sources.len().wrapping_sub(1);
        let order = |(at, source): (usize, &'_ Source)| match &source.rows {
            Rows::Part(_) => Vec::new().into(),
            Rows::Recent(memtable) if at == last => {
                let sorted = || read(&memtable.table).sorted(self.view.limits.users).into();
                Arc::clone(self.sorted.get_or_init(sorted))
            }
            Rows::Recent(memtable) => memtable.sorted(),
        };
        let orders: Vec<Arc<[u32]>> = self.view.sources.iter().enumerate().map(order).collect();
        let orders: Vec<&[u32]> = orders.iter().map(AsRef::as_ref).collect();
        let mut users: Vec<String> = Vec::new();
        while users.len() < limit {
            let after = users.last().map(String::as_str).or(after);
            let page = users_after(&self.gatherer(), &orders, after, LISTED_USERS.min(limit - users.len()));
            if page.is_empty() {
                break;
            }
            users.extend(page);
        }
        users
    }

    /// A log of no rows: event types in order of their codes, properties and attributes ascending by name, with the
    /// dictionaries as they were. Codes mean the same in all snapshots of an open store; dictionaries only grow.
    ///
    /// # Errors
    /// None: the parts fit together.
    pub fn shape(&self) -> Result<EventLog, EventsError> {
        self.view.shape.log(&read(&self.shared.catalog))
    }

    /// How many texts the dictionaries of [`Self::shape`] hold, without making them.
    #[must_use]
    pub fn sizes(&self) -> DictionarySizes {
        self.view.shape.sizes()
    }

    /// The events and profiles of users, who ascend and are distinct: one user of the log an id, even if not known.
    ///
    /// Codes, columns and types of cells are those of [`Self::shape`]; numbers are f64. A user's events are in canonical
    /// order: by time, ties by event type, then by each property in order of name, texts by their bytes.
    ///
    /// # Errors
    /// None: the parts fit together.
    pub fn gather(&self, users: &[&str]) -> Result<Gathered, EventsError> {
        let shape = self.view.shape.as_ref();
        let none = |columns: &ShapeColumns, rows| -> Vec<Values> {
            columns.columns.iter().map(|column| Values::none(column.kind, column.texts, rows)).collect()
        };
        let mut columns = none(&shape.properties, 0);
        let mut attributes = none(&shape.attributes, users.len());
        let mut event = Values::none(ColumnKind::Text, shape.event_types, 0);
        let (mut offsets, mut time_us) = (Vec::with_capacity(users.len() + 1), Vec::new());
        offsets.push(0_u64);
        let (mut places, mut slots) = (Vec::new(), Vec::new());
        for (block, of_block) in users.chunks(BLOCK_USERS).enumerate() {
            let gatherer = self.gatherer();
            places.clear();
            let done = time_us.len();
            for (user, id) in of_block.iter().enumerate() {
                gatherer.find(id, &mut slots);
                gatherer.collect(&slots, &mut places);
                gatherer.fill_attributes(&slots, block * BLOCK_USERS + user, &mut attributes);
                offsets.push((done + places.len()) as u64);
            }
            let rows = done + places.len();
            time_us.extend(places.iter().map(|place| place.time_us));
            event.resize(rows);
            gatherer.fill_events(&places, done, &mut event);
            for column in &mut columns {
                column.resize(rows);
            }
            gatherer.fill(&places, done, 0, &mut columns);
        }
        let log = EventLog::from_parts(Events {
            users: UserIds::Texts(ids(users)),
            offsets: offsets.into(),
            time_us: time_us.into(),
            event: event.cells(),
            event_types: Vec::new(),
            columns: named(&shape.properties, columns),
            dropped: 0,
        })?;
        let log = if attributes.is_empty() { log } else { log.with_attributes(named(&shape.attributes, attributes))? };
        Ok(Gathered { log, sizes: shape.sizes(), lineage: self.shared.lineage })
    }
}

fn named(columns: &ShapeColumns, values: Vec<Values>) -> Vec<Column> {
    let column = |(column, values): (&ShapeColumn, Values)| Column {
        name: column.name.to_string(),
        kind: column.kind,
        cells: values.cells(),
        dictionary: Vec::new(),
    };
    columns.columns.iter().zip(values).map(column).collect()
}

fn ids(users: &[&str]) -> LargeStringArray {
    let mut ids = LargeStringBuilder::with_capacity(users.len(), users.iter().map(|user| user.len()).sum());
    for user in users {
        ids.append_value(user);
    }
    ids.finish()
}
