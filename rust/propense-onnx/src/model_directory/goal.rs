//! The goal of a model, and whom it is about.

use propense_core::expr::parse_duration_us;
use serde::Deserialize;

/// Whether reaching a goal is to be encouraged or prevented; it changes words, not scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Reaching it is wanted.
    Encourage,
    /// Reaching it is not wanted.
    Prevent,
}

impl Direction {
    /// The direction's name in goal files and manifests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Encourage => "encourage",
            Self::Prevent => "prevent",
        }
    }
}

/// What scores are the probability of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoalText {
    /// The goal's name.
    pub name: String,
    /// The condition over the horizon, in the language of features.
    pub when: String,
    /// How long users have to reach it, such as `90d`.
    pub horizon: String,
    /// The same in microseconds.
    pub horizon_us: i64,
    /// Whether reaching it is wanted.
    pub direction: Direction,
}

/// A goal as the manifest states it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatedGoal {
    name: String,
    when: String,
    horizon: String,
    direction: Direction,
    audience: StatedAudience,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatedAudience {
    active_within: Option<String>,
    #[serde(rename = "where")]
    condition: Option<String>,
}

impl StatedGoal {
    /// The goal and the conditions that its audience meets, all of them; or the field that is wrong and why.
    pub(super) fn understood(self) -> Result<(GoalText, Vec<String>), (&'static str, String)> {
        let Self { name, when, horizon, direction, audience } = self;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) || name.starts_with(['_', '-']) {
            return Err(("goal.name", format!("{name:?} is not up to 64 letters, digits, _ and -")));
        }
        let interval = |field, text: &str| parse_duration_us(text).map_err(|error| (field, error.to_string()));
        let horizon_us = interval("goal.horizon", &horizon)?;
        let mut conditions = Vec::new();
        conditions.push(match &audience.active_within {
            None => "count(*) >= 1".to_owned(),
            Some(window) => {
                interval("goal.audience.active_within", window)?;
                format!("count(*, '{window}') >= 1")
            }
        });
        conditions.extend(audience.condition);
        Ok((GoalText { name, when, horizon, horizon_us, direction }, conditions))
    }
}
