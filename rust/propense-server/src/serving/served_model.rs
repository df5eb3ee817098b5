//! A model that scores users on demand.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use propense_core::events::EventLog;
use propense_core::expr::UnknownEvents;
use propense_core::features::{
    DictionarySizes, FeatureError, FeatureSpec, ParsedSpec, Period, Plan, Progress, Scan, members,
};
use propense_core::scorer::{RowExplainer, RowScorer, score_ready};
use propense_onnx::{LoadedModel, NotExplained, Tier as ModelTier};
use propense_store::{Gathered, Snapshot};
use serde_json::Value;

use super::bound::{Bound, span_us};
use super::error::ServingError;
use super::known_columns::with_columns;
use crate::backend::{Explained, Explains, ReadFeature, Scored, ScoredUser, Tier};

/// The lineage of dictionaries that are used once.
const ONCE: u64 = 0;

/// A model, with its plan bound to the columns of the store.
pub struct ServedModel {
    loaded: LoadedModel,
    features: ParsedSpec,
    audience: ParsedSpec,
    bound: ArcSwapOption<Bound>,
    explains: OnceLock<Result<Arc<Explains>, NotExplained>>,
}

impl ServedModel {
    /// Readies a model; it is bound to columns when it is first asked for a score.
    pub(super) fn new(loaded: LoadedModel) -> Result<Self, ServingError> {
        let conditions: Vec<_> = loaded.audience.iter().map(|text| (None, text.clone())).collect();
        let audience = ParsedSpec::new(&FeatureSpec::declare(&conditions, loaded.timezone())?)?;
        let features = ParsedSpec::new(&loaded.spec)?;
        Ok(Self { loaded, features, audience, bound: ArcSwapOption::empty(), explains: OnceLock::new() })
    }

    /// The model as it was loaded.
    pub(super) fn loaded(&self) -> &LoadedModel {
        &self.loaded
    }

    /// What the model says of users of a snapshot, who ascend and are distinct.
    pub(super) fn score(
        &self,
        snapshot: &Snapshot,
        users: &[&str],
        as_of_us: i64,
        with_features: bool,
    ) -> Result<Scored, ServingError> {
        let gathered = snapshot.gather(users)?;
        let bound = self.bound_to(snapshot, &gathered, with_features)?;
        self.score_bound(&bound, &gathered.log, as_of_us, with_features)
    }

    /// What is the same in all explanations of this model; found when first asked for.
    pub(super) fn explains(&self) -> Result<Arc<Explains>, ServingError> {
        let found = self.explains.get_or_init(|| explains(&self.loaded).map(Arc::new));
        Ok(found.clone()?)
    }

    /// The standing of one user of a snapshot, and what the features contributed to it; `None` outside the audience.
    pub(super) fn explain(
        &self,
        snapshot: &Snapshot,
        user: &str,
        as_of_us: i64,
    ) -> Result<Option<Explained>, ServingError> {
        let explainer = self.loaded.onnx.explainer()?;
        let gathered = snapshot.gather(&[user])?;
        let bound = self.bound_to(snapshot, &gathered, false)?;
        let scored = self.score_bound(&bound, &gathered.log, as_of_us, false)?;
        let Some(user) = scored.users.first().copied().flatten() else { return Ok(None) };
        let mut row = vec![f32::NAN; bound.features.width()];
        Scan::new(&bound.features, &gathered.log, Period::before(as_of_us)).write_row(0, &mut row);
        let mut contributions = vec![0.0; row.len()];
        explainer.explain(&row, &mut contributions);
        let read = |of: &[f32]| explainer.reads().iter().map(|&feature| of[feature as usize]).collect();
        Ok(Some(Explained { user, values: read(&row), contributions: read(&contributions) }))
    }

    /// The model's plans, bound so that they fit some users' events; bound anew if the store's columns have grown.
    fn bound_to(
        &self,
        snapshot: &Snapshot,
        gathered: &Gathered,
        with_features: bool,
    ) -> Result<Arc<Bound>, ServingError> {
        if let Some(bound) = self.bound.load_full().filter(|bound| bound.fits(gathered, with_features)) {
            return Ok(bound);
        }
        let bound = Arc::new(self.bind(snapshot.shape()?, gathered)?);
        self.bound.store(Some(Arc::clone(&bound)));
        Ok(bound)
    }

    /// What the model says of all users of a log of its own; columns that the log lacks are missing in every event.
    pub(super) fn score_log(&self, log: &EventLog, as_of_us: i64, with_features: bool) -> Result<Scored, ServingError> {
        let log = with_columns(log, &self.loaded.columns)?;
        let gathered = Gathered { sizes: DictionarySizes::of(&log), log, lineage: ONCE };
        let bound = self.bind(gathered.log.clone(), &gathered)?;
        self.score_bound(&bound, &gathered.log, as_of_us, with_features)
    }

    fn bind(&self, shape: EventLog, gathered: &Gathered) -> Result<Bound, ServingError> {
        let plans = self.plans(&shape, span_us(&gathered.log))?;
        Ok(Bound::new(plans, self.loaded.onnx.reads(), shape, gathered.lineage))
    }

    /// The plans of the features and of the audience's conditions, bound to the columns of a log with dictionaries.
    pub(super) fn plans(&self, shape: &EventLog, span_us: (i64, i64)) -> Result<[Plan; 2], FeatureError> {
        // A model's vocabularies were filled at training: no instant matters here.
        let bind = |spec| Plan::bind(spec, shape, UnknownEvents::Empty, i64::MAX, span_us);
        Ok([bind(&self.features)?, bind(&self.audience)?])
    }

    fn score_bound(
        &self,
        bound: &Bound,
        log: &EventLog,
        as_of_us: i64,
        with_features: bool,
    ) -> Result<Scored, ServingError> {
        let (period, progress) = (Period::before(as_of_us), Progress::default());
        let everyone: Vec<u32> = (0..log.users().len() as u32).collect();
        let members = members(log, &bound.audience, period, &everyone, &progress)?;
        let scores = score_ready(log, &bound.features, period, &members, &self.loaded.onnx, &progress)?;
        let mut users = vec![None; everyone.len()];
        for (&user, &score) in members.iter().zip(&scores) {
            users[user as usize] = Some(self.standing(score));
        }
        let features = if with_features { every_feature(bound, log, period) } else { Vec::new() };
        Ok(Scored { users, features })
    }

    fn standing(&self, score: f32) -> ScoredUser {
        ScoredUser { score, percentile: self.loaded.percentile(score), tier: self.tier(score) }
    }

    pub(super) fn tier(&self, score: f32) -> Tier {
        match self.loaded.tier(score) {
            ModelTier::MostLikely => Tier::MostLikely,
            ModelTier::ModeratelyLikely => Tier::ModeratelyLikely,
            ModelTier::LeastLikely => Tier::LeastLikely,
        }
    }
}

fn explains(loaded: &LoadedModel) -> Result<Explains, NotExplained> {
    let explainer = loaded.onnx.explainer()?;
    let usual = loaded.training.get("usual").and_then(Value::as_object);
    let feature = |&place: &u32| {
        let feature = &loaded.spec.features[place as usize];
        ReadFeature {
            name: feature.name.clone(),
            expression: feature.expression.clone(),
            vocabulary: loaded.spec.vocabularies.get(&feature.name).cloned(),
            usual: usual.and_then(|usual| usual.get(&feature.name)).map(|usual| usual.as_f64().unwrap_or(f64::NAN)),
        }
    };
    Ok(Explains { base: explainer.base(), features: explainer.reads().iter().map(feature).collect() })
}

/// All features of all users of a log, row after row.
fn every_feature(bound: &Bound, log: &EventLog, period: Period) -> Vec<f32> {
    let plan = bound.all_features();
    let mut scan = Scan::new(plan, log, period);
    let mut rows = vec![f32::NAN; log.users().len() * plan.width()];
    for (user, row) in rows.chunks_exact_mut(plan.width()).enumerate() {
        scan.write_row(user, row);
    }
    rows
}
