//! A model that has passed every check of its directory.

use std::thread::available_parallelism;

use propense_core::features::{FeatureSpec, columns_named};
use serde_json::{Map, Value};

use super::check::{CHECKS, CheckRows};
use super::columns::KnownColumns;
use super::error::ModelDirectoryError as Error;
use super::folder::{Folder, MODEL};
use super::goal::GoalText;
use super::manifest::{MANIFEST, Manifest, sha256};
use super::table::Table;
use super::tiers::{self, CutOffs, Tier, TierPolicy};
use crate::session::{EngineChoice, OnnxModel};

const AUDIENCE: &str = "audience.arrow";
const TEST: &str = "test.arrow";

/// A model as its directory holds it, checked and ready to score.
pub struct LoadedModel {
    /// The goal's name.
    pub name: String,
    /// SHA-256 of the bytes of `manifest.json`, in hexadecimal: equal only for equal directories.
    pub digest: String,
    /// The features, in the order of the model's columns, with time zone and vocabularies.
    pub spec: FeatureSpec,
    /// SHA-256 of the features.
    pub fingerprint: String,
    /// What scores are the probability of.
    pub goal: GoalText,
    /// Conditions in the language of features; the audience are the users who meet all of them at the `as_of`.
    pub audience: Vec<String>,
    /// Nothing at or after this instant was seen in training, microseconds since 1970-01-01 UTC.
    pub as_of_us: i64,
    /// The kinds of the columns that features, audience and goal read.
    pub columns: KnownColumns,
    /// Where tiers begin.
    pub cut_offs: CutOffs,
    /// How the cut-offs were found.
    pub tier_policy: TierPolicy,
    /// What scores.
    pub onnx: OnnxModel,
    /// The version of propense that saved the model.
    pub propense_version: String,
    /// How the ONNX file came about: `lightgbm`, or the exporter of a foreign model.
    pub trainer: String,
    /// Quality on the test period, as the manifest has it.
    pub metrics: Map<String, Value>,
    /// What was learnt from, as the manifest has it.
    pub training: Map<String, Value>,
    /// How raw scores became probabilities, as the manifest has it.
    pub calibration: Map<String, Value>,
    /// Scores of the audience at training, ascending, not empty.
    known_scores: Vec<f32>,
}

impl LoadedModel {
    pub(super) fn read(folder: &Folder) -> Result<Self, Error> {
        let path = folder.file(MANIFEST);
        let field = |(field, problem): (&str, String)| {
            let (path, field) = (path.clone(), field.to_owned());
            Error::Field { path, field, problem }
        };
        let table = |name| move |problem| Error::Table { path: folder.file(name), problem };
        let bytes = folder.manifest()?;
        let manifest = Manifest::parse(&bytes, &path)?;
        let [model, checks, known, test] = [MODEL, CHECKS, AUDIENCE, TEST].map(|name| manifest.checked(folder, name));
        let (model, checks, known, test) = (model?, checks?, known?, test?);
        let (goal, audience) = manifest.goal.understood().map_err(field)?;
        let spec = manifest.plan;
        let found = spec.fingerprint();
        if found != manifest.fingerprint {
            return Err(Error::Fingerprint { path, expected: manifest.fingerprint, found });
        }
        let refused = |source| Error::Expression { path: path.clone(), source: Box::new(source) };
        let declared: Vec<_> =
            spec.features.iter().map(|feature| (Some(feature.name.clone()), feature.expression.clone())).collect();
        if FeatureSpec::declare(&declared, &spec.timezone).map_err(refused)?.features != spec.features {
            return Err(field(("plan", "its expressions are not as they were written".to_owned())));
        }
        let texts = spec.features.iter().map(|feature| feature.expression.as_str());
        let texts = texts.chain(audience.iter().map(String::as_str)).chain([goal.when.as_str()]);
        let read = columns_named(texts).map_err(refused)?;
        if let Some((place, problem)) = manifest.columns.mismatch(&read) {
            return Err(field((&place, problem)));
        }
        let (tier_policy, cut_offs) = tiers::understood(manifest.tiers).map_err(field)?;
        let checks = CheckRows::read(&checks, spec.features.len()).map_err(table(CHECKS))?;
        let known_scores = ascending_scores(&known).map_err(table(AUDIENCE))?;
        check_test(&test).map_err(table(TEST))?;
        let sessions = available_parallelism().map_or(1, usize::from);
        let onnx = OnnxModel::load(&model, spec.features.len(), sessions, EngineChoice::Best)
            .map_err(|source| Error::Onnx { path: folder.file(MODEL), source })?;
        checks.require_same(folder, &onnx, cut_offs)?;
        Ok(Self {
            name: goal.name.clone(),
            digest: sha256(&bytes),
            spec,
            fingerprint: manifest.fingerprint,
            goal,
            audience,
            as_of_us: manifest.as_of_us,
            columns: manifest.columns,
            cut_offs,
            tier_policy,
            onnx,
            propense_version: manifest.propense_version,
            trainer: manifest.engine,
            metrics: manifest.metrics,
            training: manifest.training,
            calibration: manifest.calibration,
            known_scores,
        })
    }

    /// The IANA time zone of calendar days and hours.
    #[must_use]
    pub fn timezone(&self) -> &str {
        &self.spec.timezone
    }

    /// The rank of a score: the share of the audience at training with a score at or below it, in [0, 100].
    ///
    /// The same bits as Python's `Model.percentiles`. NaN, which no score is, ranks above all.
    #[must_use]
    pub fn percentile(&self, score: f32) -> f32 {
        let known = &self.known_scores;
        let places = known.partition_point(|known| score.is_nan() || *known <= score);
        (100.0 * places as f64 / known.len() as f64) as f32
    }

    /// The tier of a score, by the frozen cut-offs; see [`TierPolicy::Capacity`] for what that means there.
    #[must_use]
    pub fn tier(&self, score: f32) -> Tier {
        self.cut_offs.tier(score)
    }
}

fn ascending_scores(file: &[u8]) -> Result<Vec<f32>, String> {
    let mut table = Table::read(file)?;
    let scores = table.float32("score")?;
    table.finish()?;
    if scores.is_empty() || !scores.is_sorted() || scores.iter().any(|score| !score.is_finite()) {
        return Err("expected finite scores, ascending".to_owned());
    }
    Ok(scores)
}

/// The test period is for cutting tiers anew, in Python; here it only has to be one.
fn check_test(file: &[u8]) -> Result<(), String> {
    let mut table = Table::read(file)?;
    table.float32("score")?;
    table.boolean("label")?;
    table.finish()
}
