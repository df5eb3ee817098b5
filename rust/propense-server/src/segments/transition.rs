//! Transitions as those outside the engine see them.

use std::sync::Arc;

use crate::instants::timestamp;
use crate::proto;

/// A user's entering or leaving a segment. Of one user and segment, the two alternate, beginning with entering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// 1, 2, 3, … over all users and segments.
    pub number: u64,
    /// The user's id.
    pub user: Arc<str>,
    /// The segment's name.
    pub segment: Arc<str>,
    /// Whether the user entered.
    pub enter: bool,
    /// The instant at which membership changed if time caused it, else the clock when it was evaluated; microseconds
    /// since 1970 UTC.
    pub time_us: i64,
    /// Why.
    pub cause: Cause,
}

/// What made a user enter or leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// An event or an attribute of the user came in.
    Event,
    /// Time passed.
    Time,
    /// A segment was put or deleted.
    RuleChange,
    /// A model was loaded, replaced or removed.
    ModelChange,
    /// The user was erased.
    Erased,
}

impl Cause {
    /// All, in the order of their codes in notes.
    pub(super) const ALL: [Self; 5] = [Self::Event, Self::Time, Self::RuleChange, Self::ModelChange, Self::Erased];

    /// Its name: `event`, `time`, `rule_change`, `model_change` or `erased`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Time => "time",
            Self::RuleChange => "rule_change",
            Self::ModelChange => "model_change",
            Self::Erased => "erased",
        }
    }

    fn to_proto(self) -> proto::Cause {
        match self {
            Self::Event => proto::Cause::Event,
            Self::Time => proto::Cause::Time,
            Self::RuleChange => proto::Cause::RuleChange,
            Self::ModelChange => proto::Cause::ModelChange,
            Self::Erased => proto::Cause::Erased,
        }
    }
}

impl Transition {
    pub(crate) fn to_proto(&self) -> proto::Transition {
        let kind = if self.enter { proto::TransitionKind::Enter } else { proto::TransitionKind::Exit };
        proto::Transition {
            number: self.number,
            user_id: self.user.to_string(),
            segment: self.segment.to_string(),
            kind: kind.into(),
            time: Some(timestamp(self.time_us)),
            cause: self.cause.to_proto().into(),
        }
    }
}
