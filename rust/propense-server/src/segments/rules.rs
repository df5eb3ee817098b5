//! The segments in force: their rules, the models that these read, and both bound to the store's columns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use propense_core::expr::UnknownEvents;
use propense_core::segments::{BoundRules, RuleSet, SegmentDefinition};
use propense_store::{Gathered, Snapshot};

use super::error::SegmentsError;
use super::note::Columns;
use crate::serving::{JoinedModels, ServedModel, ServingError, USUAL_SPAN_US, span_us};

/// What is kept of a version beside its digest if an audit of it is a pass.
const AUDITED: &str = "audited";

/// A version of a model.
#[derive(Clone)]
pub(super) struct Model {
    pub(super) digest: String,
    /// Whether an audit of this version is a pass.
    pub(super) is_audited: bool,
    pub(super) served: Arc<ServedModel>,
}

/// Models by name.
pub(super) type Models = BTreeMap<String, Model>;

/// Rules that fit together, and their models.
pub(super) struct Rules {
    pub(super) set: RuleSet,
    /// As put in canonical texts, ascending by name.
    pub(super) definitions: Vec<SegmentDefinition>,
    /// In the set's order. One that is not served scores nobody.
    pub(super) models: Vec<Option<Model>>,
    /// The set's names.
    pub(super) names: Vec<Arc<str>>,
    /// The columns that the rules read.
    pub(super) columns: Columns,
    /// The segments that depend on who was in them.
    pub(super) lasting: Vec<usize>,
    bound: Mutex<Option<Arc<BoundSet>>>,
    /// For each segment, it and what it reads, once it is asked for.
    alone: Vec<OnceLock<Arc<Rules>>>,
}

/// Rules and models bound to columns.
pub(super) struct BoundSet {
    pub(super) rules: BoundRules,
    pub(super) models: JoinedModels,
    lineage: u64,
}

impl Rules {
    /// Rules over the models that are served, and those that are not any more but are still read.
    pub(super) fn new(
        definitions: &[SegmentDefinition],
        served: &Models,
        known: impl Iterator<Item = String>,
    ) -> Result<Self, SegmentsError> {
        let gone: Vec<String> = known.filter(|name| !served.contains_key(name)).collect();
        let names: Vec<String> = served.keys().cloned().chain(gone.iter().cloned()).collect();
        let mut set = RuleSet::new(definitions, &names)?;
        if !gone.is_empty() {
            let is_read = |name: &String| is_read(&set, name);
            let names: Vec<String> =
                served.keys().cloned().chain(gone.iter().filter(|name| is_read(name)).cloned()).collect();
            set = RuleSet::new(definitions, &names)?;
        }
        Ok(Self::of(set, served))
    }

    /// Rules over models of which only the names are known as yet.
    pub(super) fn placed(definitions: &[SegmentDefinition], models: &[String]) -> Result<Self, SegmentsError> {
        Ok(Self::of(RuleSet::new(definitions, models)?, &Models::new()))
    }

    /// No rules and no models.
    pub(super) fn none() -> Self {
        Self::of(RuleSet::default(), &Models::new())
    }

    fn of(set: RuleSet, served: &Models) -> Self {
        let set = set.with_audits(|name| served.get(name).is_some_and(|model| model.is_audited));
        let numbers = 0..set.len();
        let definitions = numbers.clone().filter_map(|segment| set.definition(segment).cloned()).collect();
        let models = set.models().iter().map(|name| served.get(name).cloned()).collect();
        let names = set.names().iter().map(|name| Arc::from(name.as_str())).collect();
        let lasting = numbers.filter(|&segment| set.path_dependent()[segment]).collect();
        let alone = (0..set.len()).map(|_| OnceLock::new()).collect();
        Self { set, definitions, models, names, columns: Columns::default(), lasting, bound: Mutex::default(), alone }
    }

    /// Some segments and what they read.
    ///
    /// # Errors
    /// None of rules that fit together.
    pub(super) fn part(&self, segments: &[usize]) -> Result<Self, ServingError> {
        let depends_on = |&segment: &usize| [segment].into_iter().chain(self.set.depends_on(segment));
        let segments: BTreeSet<usize> = segments.iter().flat_map(depends_on).collect();
        let definitions: Vec<_> =
            segments.iter().filter_map(|&segment| self.set.definition(segment).cloned()).collect();
        let read: BTreeSet<usize> =
            segments.iter().flat_map(|&segment| self.set.reads_of(segment).models.iter().copied()).collect();
        let names: Vec<String> = read.iter().map(|&model| self.set.models()[model].clone()).collect();
        let served = |&model: &usize| Some((self.set.models()[model].clone(), self.models[model].clone()?));
        Ok(Self::of(RuleSet::new(&definitions, &names)?, &read.iter().filter_map(served).collect()))
    }

    /// One segment and what it reads, kept so that it need be bound but once.
    ///
    /// # Errors
    /// None of rules that fit together.
    pub(super) fn alone(&self, segment: usize) -> Result<Arc<Self>, ServingError> {
        if let Some(alone) = self.alone[segment].get() {
            return Ok(Arc::clone(alone));
        }
        let alone = Arc::new(self.part(&[segment])?);
        Ok(Arc::clone(self.alone[segment].get_or_init(|| alone)))
    }

    /// Versions by name, as digests and whether they are audited; empty for a model that is not served.
    pub(super) fn versions(&self) -> BTreeMap<String, String> {
        let version = |model: &Option<Model>| match model {
            Some(Model { digest, is_audited: true, .. }) => format!("{digest} {AUDITED}"),
            Some(Model { digest, .. }) => digest.clone(),
            None => String::new(),
        };
        self.set.models().iter().cloned().zip(self.models.iter().map(version)).collect()
    }

    /// Some segments and all that read them, directly or not.
    pub(super) fn with_readers(&self, is_changed: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut changed: Vec<bool> = (0..self.set.len()).map(is_changed).collect();
        for &segment in self.set.order() {
            changed[segment] |= self.set.reads_of(segment).segments.iter().any(|&read| changed[read]);
        }
        (0..changed.len()).filter(|&segment| changed[segment]).collect()
    }

    /// Binds the rules to what the store holds, and keeps that.
    ///
    /// # Errors
    /// A rule does not fit; of events that are not known it says so if `unknown` does.
    pub(super) fn bind(&self, view: &Snapshot, unknown: UnknownEvents) -> Result<BoundRules, ServingError> {
        Ok(self.set.bind(&view.shape()?, unknown, USUAL_SPAN_US)?)
    }

    /// The rules and models bound so that they fit some users' events.
    pub(super) fn bound_to(&self, view: &Snapshot, gathered: &Gathered) -> Result<Arc<BoundSet>, ServingError> {
        // What is in there is replaced whole.
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |set: &&Arc<BoundSet>| {
            set.lineage == gathered.lineage
                && set.rules.fits(&gathered.log, &gathered.sizes)
                && set.models.fits(gathered)
        };
        if let Some(bound) = bound.as_ref().filter(fits) {
            return Ok(Arc::clone(bound));
        }
        let shape = view.shape()?;
        let rules = self.set.bind(&shape, UnknownEvents::Empty, span_us(&gathered.log))?;
        let served: Vec<_> = self.models.iter().map(|model| model.as_ref().map(|model| &model.served)).collect();
        let models = JoinedModels::new(&served, &rules.model_sets(), &shape, gathered)?;
        let made = Arc::new(BoundSet { rules, models, lineage: gathered.lineage });
        *bound = Some(Arc::clone(&made));
        Ok(made)
    }
}

/// Whether a segment that people put reads a model or one of its tiers.
fn is_read(set: &RuleSet, model: &str) -> bool {
    let place = set.models().iter().position(|name| name == model);
    (0..set.len()).filter(|&segment| set.definition(segment).is_some()).any(|segment| {
        let reads = set.reads_of(segment);
        let is_tier = |name: &str| name.rsplit_once('.').is_some_and(|(name, _)| name == model);
        reads.models.iter().any(|read| Some(*read) == place)
            || reads.segments.iter().any(|&read| set.definition(read).is_none() && is_tier(&set.names()[read]))
    })
}
