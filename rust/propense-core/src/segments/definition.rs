//! A segment as people write it.

use serde::{Deserialize, Serialize};

use super::error::{Part, SegmentError};
use crate::expr::{format_duration, parse_duration_us, parse_segment_rule};

/// The longest name of a segment.
const NAME_LIMIT: usize = 128;

/// A named set of users: who is in it, and how they stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentDefinition {
    /// Letters, digits, `_` and `-`, at most 128, of which the first is a letter or `_`.
    pub name: String,
    /// The condition that makes a user a member.
    pub rule: String,
    /// A weaker condition under which a member stays one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stay: Option<String>,
    /// How long a member stays one whatever the conditions say, such as `7d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_stay: Option<String>,
    /// The first instant at which there are members, microseconds since 1970-01-01 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from_us: Option<i64>,
    /// The first instant at which there are none any more, microseconds since 1970-01-01 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until_us: Option<i64>,
    /// Whether it has members only while every model that it reads, also through other segments, has an audit that is a
    /// pass.
    #[serde(default, skip_serializing_if = "is_false")]
    pub requires_audit: bool,
    /// The IANA time zone of days and hours.
    #[serde(default = "utc")]
    pub timezone: String,
    /// Who answers for it.
    #[serde(default)]
    pub owner: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(value: &bool) -> bool {
    !value
}

fn utc() -> String {
    "UTC".to_owned()
}

impl SegmentDefinition {
    /// A segment with a rule and nothing else.
    #[must_use]
    pub fn new(name: &str, rule: &str) -> Self {
        Self {
            name: name.to_owned(),
            rule: rule.to_owned(),
            stay: None,
            min_stay: None,
            valid_from_us: None,
            valid_until_us: None,
            requires_audit: false,
            timezone: utc(),
            owner: String::new(),
            description: String::new(),
        }
    }

    /// The same with every text as the language writes it: equal meanings that are written alike become equal.
    ///
    /// # Errors
    /// The name, a rule or the shortest stay cannot be read, or the segment ends before it begins.
    pub fn canonical(&self) -> Result<Self, SegmentError> {
        self.check_name()?;
        let located = |part| move |source| SegmentError::Rule { segment: self.name.clone(), part, source };
        let canonical = |text: &String, part| {
            let canonical = parse_segment_rule(text).map_err(located(part))?.to_string();
            // What is kept must read back, however much longer than the text it is.
            parse_segment_rule(&canonical).map_err(located(part))?;
            Ok(canonical)
        };
        let rule = canonical(&self.rule, Part::Rule)?;
        let stay = self.stay.as_ref().map(|text| canonical(text, Part::Stay)).transpose()?;
        let min_stay = self.min_stay_us()?.map(format_duration);
        if let (Some(from), Some(until)) = (self.valid_from_us, self.valid_until_us)
            && from >= until
        {
            return Err(SegmentError::NeverValid { segment: self.name.clone() });
        }
        Ok(Self { rule, stay, min_stay, ..self.clone() })
    }

    /// The shortest stay in microseconds.
    ///
    /// # Errors
    /// It is not an interval.
    pub(super) fn min_stay_us(&self) -> Result<Option<i64>, SegmentError> {
        let located = |source| SegmentError::Rule { segment: self.name.clone(), part: Part::MinStay, source };
        self.min_stay.as_deref().map(parse_duration_us).transpose().map_err(located)
    }

    fn check_name(&self) -> Result<(), SegmentError> {
        let mut bytes = self.name.bytes();
        let starts = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        let goes_on = bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if starts && goes_on && self.name.len() <= NAME_LIMIT {
            return Ok(());
        }
        Err(SegmentError::Name { name: self.name.chars().take(NAME_LIMIT).collect() })
    }
}
