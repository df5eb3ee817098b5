//! What features are declared: the part of a plan that people write and models keep.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::FeatureError;
use crate::expr::{feature_name, parse};

/// One feature: a column's name and the expression it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// The column's name.
    pub name: String,
    /// The canonical text of its expression.
    pub expression: String,
}

/// Features in order, with what they need to mean the same everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSpec {
    /// The features, one a column of the matrix.
    pub features: Vec<Feature>,
    /// The IANA time zone of days and hours.
    pub timezone: String,
    /// For each feature that is a text, the texts that its codes 0, 1, 2 … stand for; any other text is missing.
    #[serde(default)]
    pub vocabularies: BTreeMap<String, Vec<String>>,
}

impl FeatureSpec {
    /// Declares features from texts; a feature without a name is named after its text.
    ///
    /// # Errors
    /// A text cannot be parsed, nothing is declared, an expression is declared twice, two given names are equal, or the time zone is
    /// unknown.
    pub fn declare(features: &[(Option<String>, String)], timezone: &str) -> Result<Self, FeatureError> {
        if features.is_empty() {
            return Err(FeatureError::NoFeatures);
        }
        TimeZone::get(timezone).map_err(|_| FeatureError::TimeZone { name: timezone.to_owned() })?;
        let mut names: HashSet<String> = HashSet::new();
        let mut expressions = HashSet::new();
        for name in features.iter().filter_map(|(name, _)| name.as_ref()) {
            if !names.insert(name.clone()) {
                return Err(FeatureError::DuplicateName { name: name.clone() });
            }
        }
        let mut declared = Vec::with_capacity(features.len());
        for (name, text) in features {
            let expr = parse(text)?;
            let expression = expr.to_string();
            // What is kept must read back, however much longer than the text it is.
            parse(&expression)?;
            if !expressions.insert(expression.clone()) {
                return Err(FeatureError::DuplicateExpression { expression });
            }
            let name = name.clone().unwrap_or_else(|| free_name(&feature_name(&expr), &mut names));
            declared.push(Feature { name, expression });
        }
        Ok(Self { features: declared, timezone: timezone.to_owned(), vocabularies: BTreeMap::new() })
    }

    /// The SHA-256 of the spec as JSON, in hexadecimal: equal specs, and only they, have equal fingerprints.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        // A struct of strings always serialises.
        let json = serde_json::to_vec(self).unwrap_or_default();
        let mut hexadecimal = String::with_capacity(64);
        for byte in Sha256::digest(&json) {
            // Writing to a String cannot fail.
            let _ = write!(hexadecimal, "{byte:02x}");
        }
        hexadecimal
    }
}

/// The name itself, or with the first number that makes it new.
fn free_name(wanted: &str, taken: &mut HashSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{wanted}_{number}"));
    let name = std::iter::once(wanted.to_owned()).chain(numbered).find(|name| !taken.contains(name));
    let name = name.unwrap_or_default();
    taken.insert(name.clone());
    name
}
