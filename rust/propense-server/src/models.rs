//! The models that are served: a directory of directories, each replaced while the others and itself go on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde_json::json;

use crate::audit::Audit;
use crate::backend::{Backend, LoadedModel, ModelError, Serving};
use crate::error::ServiceError;
use crate::log::LogLines;
use crate::metrics::Metrics;
use crate::proto;
use crate::status::{Rows, of_write};
use crate::validation::Validation;

/// Bytes of a model's name.
const NAME_LIMIT: usize = 128;

/// A version of a model, as it is served.
pub(crate) struct Served<M> {
    pub(crate) version: proto::ModelVersion,
    pub(crate) description: proto::Model,
    pub(crate) model: M,
}

/// Models by name; one call works on one of these from beginning to end.
pub(crate) type Catalogue<M> = BTreeMap<String, Arc<Served<M>>>;

/// The directory and what is served of it.
pub(crate) struct Models<M> {
    root: PathBuf,
    served: ArcSwap<Catalogue<M>>,
    /// How models were found to do, by name; perhaps versions that are not served.
    validations: Mutex<BTreeMap<String, Validation>>,
    /// One reload at a time.
    reloading: Mutex<()>,
}

impl<M> Models<M> {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            served: ArcSwap::from_pointee(BTreeMap::new()),
            validations: Mutex::default(),
            reloading: Mutex::new(()),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// What is served now.
    pub(crate) fn current(&self) -> Arc<Catalogue<M>> {
        self.served.load_full()
    }

    /// How the versions that are served were found to do, by name.
    pub(crate) fn validations(&self) -> Vec<(String, Validation)> {
        let found = self.validations.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current();
        let of_served = |(name, validation): (&String, &Validation)| {
            let digest = &current.get(name)?.version.digest;
            (*digest == validation.model_digest).then(|| (name.clone(), validation.clone()))
        };
        found.iter().filter_map(of_served).collect()
    }

    /// Reads how a model was found to do; what cannot be read is told and shown no more.
    fn read_validation(&self, name: &str, log: &LogLines) {
        let found = Validation::read(&self.root, name).unwrap_or_else(|problem| {
            log.line("error", "validation", json!({"model": name, "message": problem}));
            None
        });
        let mut all = self.validations.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Some(found) => all.insert(name.to_owned(), found),
            None => all.remove(name),
        };
    }

    /// Whether the audit beside a model's directory is a pass, of this version; what cannot be read is told, and none.
    fn is_audited(&self, name: &str, digest: &str, log: &LogLines) -> bool {
        let audit = Audit::read(&self.root, name).unwrap_or_else(|problem| {
            log.line("error", "audit", json!({"model": name, "message": problem}));
            None
        });
        audit.is_some_and(|audit| audit.passes(digest))
    }

    /// Looks at the directory: at the named models, or at all there and all that are served.
    pub(crate) fn reload<B: Backend<Model = M>>(
        &self,
        backend: &B,
        names: &BTreeSet<String>,
        metrics: &Metrics,
        log: &LogLines,
    ) -> Result<Vec<proto::ReloadedModel>, ServiceError> {
        let _one = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let names = if names.is_empty() { self.all_names()? } else { names.clone() };
        let reloaded: Vec<_> = names.iter().map(|name| self.reload_one(backend, name)).collect();
        for model in &reloaded {
            let outcome = model.outcome().as_str_name().trim_start_matches("RELOAD_OUTCOME_").to_lowercase();
            if model.outcome() == proto::ReloadOutcome::Refused {
                metrics.models_refused.fetch_add(1, Relaxed);
            }
            self.read_validation(&model.name, log);
            let (name, digest, message) = (&model.name, &model.digest, &model.message);
            log.line("info", "model", json!({"model": name, "outcome": outcome, "digest": digest, "message": message}));
        }
        let served = self.current();
        let model = |(name, served): (&'_ String, &'_ Arc<Served<M>>)| (name.clone(), Arc::clone(served));
        let held: Vec<(String, Arc<Served<M>>)> = served.iter().map(model).collect();
        let mut models = Vec::with_capacity(held.len());
        for (name, served) in &held {
            let digest = served.version.digest.as_str();
            let is_audited = self.is_audited(name, digest, log);
            models.push(Serving { name, digest, is_audited, model: &served.model });
        }
        backend.serve_models(&models).map_err(|error| of_write(error, Rows::Events))?;
        Ok(reloaded)
    }

    fn reload_one<B: Backend<Model = M>>(&self, backend: &B, name: &str) -> proto::ReloadedModel {
        let before = self.current().get(name).map(|served| served.version.digest.clone());
        let (outcome, digest, message) = match self.load(backend, name) {
            Ok(None) => {
                self.swap(|served| served.remove(name));
                let gone = if before.is_some() { proto::ReloadOutcome::Removed } else { proto::ReloadOutcome::Refused };
                (gone, None, if before.is_some() { String::new() } else { "there is no such directory".to_owned() })
            }
            Ok(Some(loaded)) if before.as_ref() == Some(&loaded.digest) => {
                (proto::ReloadOutcome::Unchanged, before, String::new())
            }
            Ok(Some(loaded)) => {
                let digest = loaded.digest.clone();
                let served = Arc::new(Served::of(name, loaded));
                self.swap(|all| all.insert(name.to_owned(), served));
                (proto::ReloadOutcome::Loaded, Some(digest), String::new())
            }
            Err(ModelError(message)) => (proto::ReloadOutcome::Refused, before, message),
        };
        proto::ReloadedModel {
            name: name.to_owned(),
            outcome: outcome.into(),
            digest: digest.unwrap_or_default(),
            message,
        }
    }

    /// The model in the directory of a name; `None` if there is no such directory.
    fn load<B: Backend<Model = M>>(&self, backend: &B, name: &str) -> Result<Option<LoadedModel<M>>, ModelError> {
        let folder = self.root.join(name);
        match fs::symlink_metadata(&folder) {
            Ok(found) if found.is_dir() => backend.load_model(&folder).map(Some),
            Ok(_) => Err(ModelError("not a directory; links are not followed".to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ModelError(format!("cannot be read: {}", error.kind()))),
        }
    }

    fn swap<T>(&self, change: impl FnOnce(&mut Catalogue<M>) -> T) {
        let mut next = Catalogue::clone(&self.served.load());
        change(&mut next);
        self.served.store(Arc::new(next));
    }

    fn all_names(&self) -> Result<BTreeSet<String>, ServiceError> {
        let mut names: BTreeSet<String> = self.current().keys().cloned().collect();
        names.extend(
            names_in(&self.root)
                .map_err(|_| ServiceError::Internal { problem: "the models' directory cannot be read" })?,
        );
        Ok(names)
    }
}

impl<M> Served<M> {
    fn of(name: &str, loaded: LoadedModel<M>) -> Self {
        let LoadedModel { digest, mut description, model } = loaded;
        let version = proto::ModelVersion { name: name.to_owned(), digest };
        description.version = Some(version.clone());
        Self { version, description, model }
    }
}

/// The entries of a directory that have a model's name; others, such as those being written aside, are passed over.
fn names_in(root: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if let Some(name) = entry.file_name().to_str()
            && !entry.file_type()?.is_file()
            && is_name(name)
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Whether a text can be a model's name: letters, digits, `.`, `_` and `-`, not starting with a dot.
pub(crate) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !text.is_empty() && text.len() <= NAME_LIMIT && !text.starts_with('.') && text.bytes().all(plain)
}
