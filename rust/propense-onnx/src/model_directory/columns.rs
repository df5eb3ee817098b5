//! The columns that a model reads, with their kinds.

use std::collections::{BTreeMap, BTreeSet};

use propense_core::events::ColumnKind;
use propense_core::expr::ColumnNames;
use serde::{Deserialize, Deserializer};

/// The kind of every column that the features, the audience and the goal read, as the log at training had it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownColumns {
    /// Of properties of events, by name.
    #[serde(deserialize_with = "kinds")]
    pub properties: BTreeMap<String, ColumnKind>,
    /// Of attributes of profiles, by name.
    #[serde(deserialize_with = "kinds")]
    pub attributes: BTreeMap<String, ColumnKind>,
}

impl KnownColumns {
    /// The first column that is read without a kind, or has one without being read: field and problem.
    pub(super) fn mismatch(&self, read: &ColumnNames) -> Option<(String, String)> {
        let of_role = |role: &str, stated: &BTreeMap<String, ColumnKind>, read: &BTreeSet<String>| {
            let stated: BTreeSet<String> = stated.keys().cloned().collect();
            let name = stated.symmetric_difference(read).next()?;
            let problem = if read.contains(name) { "is read, but its kind is missing" } else { "is read by nothing" };
            Some((format!("columns.{role}"), format!("{name:?} {problem}")))
        };
        of_role("properties", &self.properties, &read.properties)
            .or_else(|| of_role("attributes", &self.attributes, &read.attributes))
    }
}

/// [`ColumnKind`] in the manifest's words.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Number,
    Boolean,
    Time,
    Text,
}

fn kinds<'de, D: Deserializer<'de>>(source: D) -> Result<BTreeMap<String, ColumnKind>, D::Error> {
    let stated = BTreeMap::<String, Kind>::deserialize(source)?;
    let kind = |kind| match kind {
        Kind::Number => ColumnKind::Number,
        Kind::Boolean => ColumnKind::Boolean,
        Kind::Time => ColumnKind::Time,
        Kind::Text => ColumnKind::Text,
    };
    Ok(stated.into_iter().map(|(name, stated)| (name, kind(stated))).collect())
}
