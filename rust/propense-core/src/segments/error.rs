//! What can be wrong with segments.

use std::fmt;

use thiserror::Error;

use crate::expr::ExprError;

/// The part of a definition that an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Its `rule`.
    Rule,
    /// Its `stay`.
    Stay,
    /// Its `min_stay`.
    MinStay,
}

impl Part {
    /// The part's name in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Stay => "stay",
            Self::MinStay => "min_stay",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why segments were refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SegmentError {
    /// A name that a segment cannot have.
    #[error("{name:?} cannot name a segment; use letters, digits, _ and -, at most 128, beginning with a letter or _")]
    Name {
        /// The name, cut where it is too long.
        name: String,
    },
    /// Two segments have one name.
    #[error("two segments are named {name:?}; give one of them another name")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A rule that cannot be read or does not fit the events.
    #[error("segment {segment:?}, {part}: {source}")]
    Rule {
        /// The segment's name.
        segment: String,
        /// Which text of it.
        part: Part,
        /// What is wrong with it.
        source: ExprError,
    },
    /// A rule that is not a condition.
    #[error(
        "segment {segment:?}, {part}: {text:?} is a {found}; a rule is a condition such as count(purchase, '30d') >= 1"
    )]
    NotACondition {
        /// The segment's name.
        segment: String,
        /// Which text of it.
        part: Part,
        /// The text.
        text: String,
        /// Its type.
        found: &'static str,
    },
    /// Segments that are read by themselves.
    #[error("segments read each other in a circle: {}", path.join(" → "))]
    Cycle {
        /// The names on the way, the first again at the end.
        path: Vec<String>,
    },
    /// A time zone that the IANA database does not hold.
    #[error("segment {segment:?}: unknown time zone {name:?}; use an IANA name such as 'Europe/London' or 'UTC'")]
    TimeZone {
        /// The segment's name.
        segment: String,
        /// The time zone's.
        name: String,
    },
    /// A segment that requires an audit of no model.
    #[error("segment {segment:?} requires an audit, but its rules read no score and no tier that an audit could be of")]
    NothingToAudit {
        /// The segment's name.
        segment: String,
    },
    /// A segment that ends before it begins.
    #[error("segment {segment:?} is valid until an instant that is not after the one it is valid from")]
    NeverValid {
        /// The segment's name.
        segment: String,
    },
}

impl SegmentError {
    /// The name of the segment that it is about; of a circle the first.
    #[must_use]
    pub fn segment(&self) -> &str {
        match self {
            Self::Name { name } | Self::DuplicateName { name } => name,
            Self::Rule { segment, .. }
            | Self::NotACondition { segment, .. }
            | Self::TimeZone { segment, .. }
            | Self::NothingToAudit { segment }
            | Self::NeverValid { segment } => segment,
            Self::Cycle { path } => path.first().map_or("", String::as_str),
        }
    }
}
