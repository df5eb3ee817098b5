//! What the services share.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use crate::backend::Backend;
use crate::clock::Clock;
use crate::computing::Turns;
use crate::deliveries::Deliveries;
use crate::error::ServiceError;
use crate::limits::{AnswerMemory, Room};
use crate::log::LogLines;
use crate::metrics::{Gauges, Metrics};
use crate::models::{Catalogue, Models, Served, is_name};
use crate::options::Limits;

/// Shared by all services of a server.
pub(crate) struct State<B: Backend> {
    /// Empty until the store is open.
    pub(crate) backend: OnceLock<B>,
    pub(crate) models: Models<B::Model>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) deliveries: Arc<Deliveries>,
    pub(crate) room: Arc<Room>,
    pub(crate) turns: Turns,
    pub(crate) answer_memory: AnswerMemory,
    pub(crate) log: LogLines,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    /// True once the server is to stop.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl<B: Backend> State<B> {
    /// The store and the models' runner, once there.
    pub(crate) fn backend(&self) -> Result<&B, ServiceError> {
        self.backend.get().ok_or(ServiceError::Starting)
    }

    /// The models of a call: those named, in that order, or all by name.
    pub(crate) fn choose(&self, names: &[String]) -> Result<Vec<Arc<Served<B::Model>>>, ServiceError> {
        let served = self.models.current();
        if names.is_empty() {
            return Ok(served.values().cloned().collect());
        }
        let mut chosen: Vec<Arc<Served<B::Model>>> = Vec::new();
        for (place, name) in names.iter().enumerate() {
            let path = || format!("models[{place}]");
            let model = find_model::<B>(&served, name, path)?;
            if names[..place].contains(name) {
                return Err(ServiceError::invalid(path(), "the model is named twice"));
            }
            chosen.push(model);
        }
        Ok(chosen)
    }

    /// One model by name.
    pub(crate) fn model(&self, name: &str, path: &str) -> Result<Arc<Served<B::Model>>, ServiceError> {
        find_model::<B>(&self.models.current(), name, || path.to_owned())
    }

    /// What the metrics page shows besides counts.
    pub(crate) fn gauges(&self) -> Gauges {
        let models = self.models.current();
        Gauges {
            ready: self.backend.get().is_some() && !*self.stopping.borrow(),
            store: self.backend.get().map(Backend::size),
            models: models
                .values()
                .map(|served| (served.version.name.clone(), served.version.digest.clone()))
                .collect(),
            validations: self.models.validations(),
            free: self.room.free(),
            log_lines_dropped: self.log.dropped(),
            segments: self.backend.get().and_then(Backend::segments).map(|live| live.gauges()),
            deliveries: self.deliveries.all(),
        }
    }
}

fn find_model<B: Backend>(
    served: &Catalogue<B::Model>,
    name: &str,
    path: impl Fn() -> String,
) -> Result<Arc<Served<B::Model>>, ServiceError> {
    if !is_name(name) {
        let problem = "a model's name has letters, digits, '.', '_' and '-', does not start with a dot, \
                       and is 1 to 128 bytes long";
        return Err(ServiceError::invalid(path(), problem));
    }
    served.get(name).cloned().ok_or_else(|| ServiceError::ModelUnknown { path: path() })
}
