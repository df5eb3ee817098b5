//! What the engine says of a commit: transitions, and all else that its state is a fold of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use propense_core::events::{Column, ColumnKind, EventLog};
use propense_core::expr::ColumnNames;
use propense_core::segments::SegmentDefinition;
use serde::{Deserialize, Serialize};

use super::transition::{Cause, Transition};

/// Whether a note says what changed or all there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    /// Transitions and changes of what lasts.
    #[default]
    Change = 1,
    /// Memberships as if everybody entered, without numbers.
    Checkpoint = 2,
}

/// What is in force, and what is still to be evaluated for it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Base {
    /// As put, ascending by name.
    pub(super) definitions: Vec<SegmentDefinition>,
    /// Names of models and the versions that segments were evaluated by: digest, and whether it was audited; empty for one that is not there.
    pub(super) models: BTreeMap<String, String>,
    /// Columns that rules read, whether anything in the store still has them.
    #[serde(default)]
    pub(super) columns: Columns,
    /// If users are still to be evaluated.
    pub(super) pass: Option<PassBase>,
}

/// Kinds of columns by name: `number`, `boolean`, `time` or `text`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Columns {
    pub(super) properties: BTreeMap<String, String>,
    pub(super) attributes: BTreeMap<String, String>,
}

impl Columns {
    /// Those of a log that rules name.
    pub(super) fn of(names: &ColumnNames, shape: &EventLog) -> Self {
        let kinds = |columns: &[Column], names: &BTreeSet<String>| {
            let read = columns.iter().filter(|column| names.contains(&column.name));
            read.map(|column| (column.name.clone(), column.kind.name().to_owned())).collect()
        };
        Self {
            properties: kinds(shape.columns(), &names.properties),
            attributes: kinds(shape.attributes(), &names.attributes),
        }
    }

    /// Properties and attributes with their kinds.
    pub(super) fn kinds(&self) -> [BTreeMap<String, ColumnKind>; 2] {
        [&self.properties, &self.attributes].map(|columns| {
            let kind = |(name, kind): (&String, &String)| {
                ColumnKind::ALL.into_iter().find(|known| known.name() == kind).map(|kind| (name.clone(), kind))
            };
            columns.iter().filter_map(kind).collect()
        })
    }
}

/// Why all users are evaluated anew.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct PassBase {
    /// Segments whose rules or models are others than before.
    pub(super) by_rule: Vec<String>,
    /// The same because of models.
    pub(super) by_model: Vec<String>,
    /// Whether there are events that nobody was evaluated for.
    pub(super) behind: bool,
}

/// A note's content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Note {
    pub(super) kind: Kind,
    /// The instant at which its users were evaluated.
    pub(super) at_us: i64,
    /// All users stand as they do at this instant, if nothing else is said of them.
    pub(super) until_us: i64,
    /// The number of the first transition, or the next one's if there is none.
    pub(super) first_number: u64,
    pub(super) base: Option<Base>,
    pub(super) names: Vec<String>,
    pub(super) users: Vec<UserNote>,
}

/// What a note says of one user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct UserNote {
    pub(super) id: String,
    /// Numbers that were of somebody erased.
    pub(super) skipped: u64,
    pub(super) transitions: Vec<Step>,
    /// A segment's place, and since when the user is in it; 0 if not.
    pub(super) lasting: Vec<(u32, i64)>,
}

/// One transition of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// The segment's place among the note's names.
    pub(super) segment: u32,
    pub(super) enter: bool,
    pub(super) cause: Cause,
    pub(super) time_us: i64,
}

impl Note {
    /// The same without anything of a user, whose numbers stay taken; `None` if there is nothing.
    pub(super) fn without(mut self, user: &str) -> Option<Self> {
        let mut found = false;
        for of_user in self.users.iter_mut().filter(|of_user| of_user.id == user) {
            let skipped = if self.kind == Kind::Change { of_user.transitions.len() as u64 } else { 0 };
            *of_user = UserNote { skipped, ..UserNote::default() };
            found = true;
        }
        found.then_some(self)
    }

    /// The transitions that it tells of, those of the erased left out.
    pub(super) fn transitions(&self) -> Vec<Transition> {
        if self.kind == Kind::Checkpoint {
            return Vec::new();
        }
        let names: Vec<Arc<str>> = self.names.iter().map(|name| Arc::from(name.as_str())).collect();
        let (mut number, mut transitions) = (self.first_number, Vec::new());
        for of_user in &self.users {
            number += of_user.skipped;
            let user: Arc<str> = Arc::from(of_user.id.as_str());
            for &Step { segment, enter, cause, time_us } in &of_user.transitions {
                let segment = Arc::clone(&names[segment as usize]);
                transitions.push(Transition { number, user: Arc::clone(&user), segment, enter, time_us, cause });
                number += 1;
            }
        }
        transitions
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn note() -> impl Strategy<Value = Note> {
        let step = (0_u32..3, any::<bool>(), 0_usize..5, any::<i64>())
            .prop_map(|(segment, enter, cause, time_us)| Step { segment, enter, cause: Cause::ALL[cause], time_us });
        let lasting = prop::collection::vec((0_u32..3, any::<i64>()), 0..3);
        let user = (".{0,5}", prop::collection::vec(step, 0..4), lasting)
            .prop_map(|(id, transitions, lasting)| UserNote { id, skipped: 0, transitions, lasting });
        (any::<(bool, i64, i64)>(), 0..u64::MAX / 2, prop::collection::vec(user, 0..5)).prop_map(
            |((base, at_us, until_us), first_number, users)| Note {
                kind: Kind::Change,
                at_us,
                until_us,
                first_number,
                base: base.then(|| Base {
                    definitions: vec![SegmentDefinition::new("vip", "count(*) > 1")],
                    ..Base::default()
                }),
                names: vec!["a".to_owned(), "b".to_owned(), "m.most_likely".to_owned()],
                users,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read(note in note()) {
            prop_assert_eq!(Note::decode(&note.encode()), Ok(note));
        }

        #[test]
        fn pages_of_a_note_are_its_transitions(note in note(), limit in 1_usize..4, skip in 0_u64..12) {
            let (payload, first) = (note.encode(), note.first_number);
            let mut after = (first + skip).saturating_sub(1);
            let expected: Vec<_> = note.transitions().into_iter().filter(|one| one.number > after).collect();
            let mut found = Vec::new();
            loop {
                let (page, is_all) = Note::transitions_after(&payload, after, limit).map_err(TestCaseError::fail)?;
                prop_assert!(page.len() == limit || is_all);
                if let Some(last) = page.last() {
                    prop_assert!(last.number > after, "who asks on would never come to the end");
                    after = last.number;
                }
                found.extend(page);
                if is_all {
                    break;
                }
            }
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn damaged_bytes_are_refused_and_not_believed(note in note(), place in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let mut bytes = note.encode();
            let cut = place.index(bytes.len());
            prop_assert!(Note::decode(&bytes[..cut]).is_err());
            bytes[cut] ^= 1_u8 << bit;
            // Another note, or none; but an answer.
            let _ = Note::decode(&bytes);
        }

        #[test]
        fn without_a_user_the_numbers_of_the_others_stay(note in note(), whom in any::<prop::sample::Index>()) {
            prop_assume!(!note.users.is_empty());
            let id = note.users[whom.index(note.users.len())].id.clone();
            let expected: Vec<_> = note.transitions().into_iter().filter(|transition| *transition.user != *id).collect();
            let left = note.without(&id).ok_or(TestCaseError::fail("there was something"))?;
            let left = Note::decode(&left.encode()).map_err(TestCaseError::fail)?;
            prop_assert_eq!(left.transitions(), expected);
            prop_assert!(id.is_empty() || left.users.iter().all(|user| user.id != id));
        }
    }
}
