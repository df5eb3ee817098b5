//! A durable store and the models that read it, as the services ask for them.

use std::path::Path;
use std::sync::Arc;

use propense_core::events::{EventLog, EventsError};
use propense_core::segments::SegmentDefinition;
use propense_onnx::{Direction, LoadedModel as Loaded, ModelDirectory};
use propense_store::{Reply, Snapshot as StoreSnapshot, Store, StoreOptions, Write, WriteError};

use super::error::ServingError;
use super::served_model::ServedModel;
use crate::backend::{Backend, Explained, Explains, LoadedModel, ModelError, Scored, Serving, Snapshot, StoreSize};
use crate::clock::Clock;
use crate::error::ServerError;
use crate::instants::timestamp;
use crate::log::LogLines;
use crate::proto;
use crate::segments::{Engaged, LiveSegments, SegmentsError};

/// What a server of one store stands on.
pub struct StoreBackend {
    /// Gone before the store is, which it works on.
    segments: Option<Arc<LiveSegments>>,
    store: Arc<Store>,
}

/// How segments are kept alive.
#[derive(Debug, Clone, Default)]
pub struct LiveOptions {
    /// What they take for now: the server's clock.
    pub clock: Clock,
    /// Put at the start, unless they are in force already.
    pub segments: Vec<SegmentDefinition>,
    /// Where failures are told.
    pub log: Option<LogLines>,
}

impl StoreBackend {
    /// Serves a store; the caller keeps a hand on it, to seal or to close it.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, segments: None }
    }

    /// Opens a store with live segments.
    ///
    /// # Errors
    /// [`ServerError::Open`] as [`Store::open_observed`], and [`ServerError::Threads`].
    pub fn open(folder: impl AsRef<Path>, options: StoreOptions, live: LiveOptions) -> Result<Self, ServerError> {
        let LiveOptions { clock, segments, log } = live;
        let (engaged, observer) = Engaged::new(clock, log.unwrap_or_else(LogLines::stderr), segments);
        let store = Store::open_observed(folder, options, observer);
        let store = Arc::new(store.map_err(|error| ServerError::Open(Arc::new(error)))?);
        let segments = engaged.live(&store).map_err(|error| ServerError::Threads(Arc::new(error)))?;
        Ok(Self { segments: Some(Arc::new(segments)), store })
    }

    /// The store, to be sealed or compacted.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    fn load(&self, folder: &Path) -> Result<ServedModel, ServingError> {
        let model = ServedModel::new(ModelDirectory::load(folder)?)?;
        // What the model reads is there from now on, if only as missing values.
        let columns = &model.loaded().columns;
        self.store.declare(&columns.properties, &columns.attributes)?;
        Ok(model)
    }
}

impl Backend for StoreBackend {
    type Snapshot = StoreSnapshot;
    type Model = Arc<ServedModel>;

    fn submit(&self, write: Write, reply: Reply) -> Result<(), WriteError> {
        self.store.submit(write, reply)
    }

    fn has_room(&self, write: &Write) -> bool {
        self.store.has_room(write)
    }

    fn has_broken_down(&self) -> bool {
        self.store.has_broken_down()
    }

    fn snapshot(&self) -> StoreSnapshot {
        self.store.snapshot()
    }

    fn size(&self) -> StoreSize {
        let (stats, snapshot) = (self.store.stats(), self.store.snapshot());
        StoreSize {
            events: snapshot.event_count(),
            users: snapshot.user_count(),
            parts: stats.parts,
            log_bytes: stats.wal_bytes,
            resident_bytes: stats.mapped_bytes + stats.memtable_bytes,
        }
    }

    fn serve_models(&self, models: &[Serving<'_, Arc<ServedModel>>]) -> Result<(), WriteError> {
        let Some(segments) = &self.segments else { return Ok(()) };
        match segments.serve_models(models) {
            Ok(()) => Ok(()),
            Err(SegmentsError::Write(error)) => Err(error),
            Err(error) => Err(WriteError::Refused(error.to_string())),
        }
    }

    fn segments(&self) -> Option<&Arc<LiveSegments>> {
        self.segments.as_ref()
    }

    fn load_model(&self, folder: &Path) -> Result<LoadedModel<Arc<ServedModel>>, ModelError> {
        let model = Arc::new(self.load(folder)?);
        let (digest, description) = (model.loaded().digest.clone(), describe(model.loaded()));
        Ok(LoadedModel { digest, description, model })
    }

    fn score(
        &self,
        model: &Arc<ServedModel>,
        snapshot: &StoreSnapshot,
        users: &[&str],
        as_of_us: i64,
        with_features: bool,
    ) -> Result<Scored, ModelError> {
        Ok(model.score(snapshot, users, as_of_us, with_features)?)
    }

    fn explains(&self, model: &Arc<ServedModel>) -> Result<Arc<Explains>, ModelError> {
        Ok(model.explains()?)
    }

    fn explain(
        &self,
        model: &Arc<ServedModel>,
        snapshot: &StoreSnapshot,
        user: &str,
        as_of_us: i64,
    ) -> Result<Option<Explained>, ModelError> {
        Ok(model.explain(snapshot, user, as_of_us)?)
    }

    fn score_log(
        &self,
        model: &Arc<ServedModel>,
        log: &EventLog,
        as_of_us: i64,
        with_features: bool,
    ) -> Result<Scored, ModelError> {
        Ok(model.score_log(log, as_of_us, with_features)?)
    }
}

impl Snapshot for StoreSnapshot {
    fn has_user(&self, user: &str) -> bool {
        Self::has_user(self, user)
    }

    fn event_count_of(&self, user: &str) -> Option<usize> {
        Self::event_count_of(self, user)
    }

    fn users_from(&self, after: Option<&str>, limit: usize) -> Vec<String> {
        Self::users_from(self, after, limit)
    }

    fn gather(&self, users: &[&str]) -> Result<EventLog, EventsError> {
        self.gather_whole(users)
    }
}

fn describe(loaded: &Loaded) -> proto::Model {
    let direction = match loaded.goal.direction {
        Direction::Encourage => proto::Direction::Encourage,
        Direction::Prevent => proto::Direction::Prevent,
    };
    proto::Model {
        version: None,
        goal: loaded.goal.name.clone(),
        when: loaded.goal.when.clone(),
        horizon: loaded.goal.horizon.clone(),
        direction: direction.into(),
        audience: loaded.audience.clone(),
        timezone: loaded.timezone().to_owned(),
        trained_as_of: Some(timestamp(loaded.as_of_us)),
        features: loaded.spec.features.iter().map(|feature| feature.name.clone()).collect(),
        feature_fingerprint: loaded.fingerprint.clone(),
        most_likely_from: loaded.cut_offs.most as f32,
        least_likely_below: loaded.cut_offs.least as f32,
        metrics_json: serde_json::Value::Object(loaded.metrics.clone()).to_string(),
    }
}
