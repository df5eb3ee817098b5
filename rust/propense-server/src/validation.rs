//! How a model was found to do: the file that `propense validate --publish` puts beside its folder.

use std::path::Path;

use serde::Deserialize;

use crate::beside::read_beside;

const FORMAT: u64 = 1;
/// After the model's name.
const ENDING: &str = ".validation.json";
const MOST_BYTES: u64 = 64 << 10;

/// What was predicted beside what happened, and how far scores and features have moved since training.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Validation {
    format: u64,
    /// Of which version.
    pub(crate) model_digest: String,
    /// When, microseconds since 1970.
    pub(crate) validated_us: i64,
    /// When it was predicted.
    #[serde(rename = "as_of_us")]
    _as_of_us: i64,
    /// When the horizon ended, not in it.
    #[serde(rename = "ends_us")]
    _ends_us: i64,
    pub(crate) verdict: Verdict,
    /// Users whose outcome was compared.
    pub(crate) users: u64,
    /// How many of them were to reach the goal, and the ends of that forecast's interval.
    pub(crate) expected: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// How many did.
    pub(crate) actual: u64,
    /// Population stability; none of models that say nothing of training.
    pub(crate) score_drift: Option<f64>,
    /// The same of the feature that moved most.
    pub(crate) feature_drift: Option<f64>,
}

/// Whether the model is to be trained again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Holds,
    Watch,
    Retrain,
}

impl Verdict {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Watch => "watch",
            Self::Retrain => "retrain",
        }
    }
}

impl Validation {
    /// The last validation of a model under a root; `None` if there is none.
    pub(crate) fn read(root: &Path, name: &str) -> Result<Option<Self>, String> {
        let file = format!("{name}{ENDING}");
        let Some(bytes) = read_beside(root, &file, MOST_BYTES)? else { return Ok(None) };
        let found: Self = serde_json::from_slice(&bytes)
            .map_err(|error| format!("{file} is not what propense validate --publish writes: {error}"))?;
        if found.format != FORMAT {
            return Err(format!("{file} has format {}; this version reads {FORMAT}", found.format));
        }
        Ok(Some(found))
    }
}
