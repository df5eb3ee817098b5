//! Tiers of single scores, by the cut-offs that were frozen when the model was saved.

use serde::Deserialize;
use serde_json::{Map, Value};

/// How likely a user is to reach the goal, among the audience.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// The score is at or above the upper cut-off.
    MostLikely,
    /// Neither.
    ModeratelyLikely,
    /// The score is below the lower cut-off.
    LeastLikely,
}

impl Tier {
    /// The tier's name in frames and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MostLikely => "most_likely",
            Self::ModeratelyLikely => "moderately_likely",
            Self::LeastLikely => "least_likely",
        }
    }
}

/// Scores at which tiers begin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CutOffs {
    /// Most likely at or above.
    pub most: f64,
    /// Least likely below.
    pub least: f64,
}

impl CutOffs {
    /// The tier of a score: compared as float32, the upper cut-off first.
    #[must_use]
    pub fn tier(self, score: f32) -> Tier {
        if score >= self.most as f32 {
            Tier::MostLikely
        } else if score < self.least as f32 {
            Tier::LeastLikely
        } else {
            Tier::ModeratelyLikely
        }
    }
}

/// How the cut-offs were found.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(tag = "policy", rename_all = "lowercase", deny_unknown_fields)]
pub enum TierPolicy {
    /// Shares of the audience at training.
    Quantile {
        /// Share of the top tier.
        most: f64,
        /// Share of the bottom tier.
        least: f64,
    },
    /// Scores that were named.
    Probability {
        /// Most likely from here up.
        most: f64,
        /// Least likely below.
        least: f64,
    },
    /// A number of users.
    ///
    /// A batch finds its upper cut-off among its own scores. Single scores have no batch, so online the
    /// cut-off is the frozen one: what took `most` users of the audience at training.
    Capacity {
        /// Users of the top tier, at most.
        most: u64,
        /// Share of the bottom tier, of the audience at training.
        least: f64,
    },
    /// A precision on the test period.
    Precision {
        /// The lowest precision of the top tier.
        precision: f64,
        /// Share of the bottom tier, of the audience at training.
        least: f64,
    },
}

impl TierPolicy {
    /// The policy's name in goal files and manifests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Quantile { .. } => "quantile",
            Self::Probability { .. } => "probability",
            Self::Capacity { .. } => "capacity",
            Self::Precision { .. } => "precision",
        }
    }

    fn is_possible(self) -> bool {
        let share = |value: f64| (0.0..=1.0).contains(&value);
        match self {
            Self::Quantile { most, least } => share(most) && share(least) && most + least <= 1.0,
            Self::Probability { most, least } => share(most) && share(least) && least <= most,
            Self::Capacity { least, .. } => share(least),
            Self::Precision { precision, least } => share(precision) && precision > 0.0 && share(least),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatedCutOffs {
    most_likely_from: f64,
    least_likely_below: f64,
}

/// The policy and the cut-offs that a manifest states; or the field that is wrong and why.
pub(super) fn understood(mut stated: Map<String, Value>) -> Result<(TierPolicy, CutOffs), (&'static str, String)> {
    let cut_offs = stated.remove("cut_offs").unwrap_or_default();
    let StatedCutOffs { most_likely_from: most, least_likely_below: least } =
        serde_json::from_value(cut_offs).map_err(|error| ("tiers.cut_offs", error.to_string()))?;
    let policy: TierPolicy =
        serde_json::from_value(Value::Object(stated)).map_err(|error| ("tiers", error.to_string()))?;
    if !policy.is_possible() {
        return Err(("tiers", format!("{policy:?} is no policy; its shares and scores lie between 0 and 1")));
    }
    Ok((policy, CutOffs { most, least }))
}
