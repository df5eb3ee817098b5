//! What the engine says of a commit, as bytes: transitions, and all else that its state is a fold of.
//!
//! ```text
//! note        = kind u8 | at_us | until_us | first number | base | names | users
//! kind        = 1: what changed; 2: the whole state
//! base        = length | JSON of `Base`, or nothing if it is as before
//! names       = count | (length | text)*                                    names of segments, used below by place
//! users       = count | user*
//! user        = length | id | skipped | transitions | lasting
//! transitions = count | (place * 2 + enter | cause u8 | time_us)*           numbered on from the first number
//! lasting     = count | (place | since_us)*                                 of segments that depend on who was in them
//! ```
//!
//! Numbers are LEB128, instants zigzag first. A user with an empty id is one who was erased: `skipped` is how many numbers
//! theirs were.

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
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer(vec![self.kind as u8]);
        out.instant(self.at_us);
        out.instant(self.until_us);
        out.number(self.first_number);
        // A map with text keys and plain values always serializes.
        let base = self.base.as_ref().and_then(|base| serde_json::to_vec(base).ok());
        out.bytes(&base.unwrap_or_default());
        out.number(self.names.len() as u64);
        self.names.iter().for_each(|name| out.bytes(name.as_bytes()));
        out.number(self.users.len() as u64);
        for user in &self.users {
            out.bytes(user.id.as_bytes());
            out.number(user.skipped);
            out.number(user.transitions.len() as u64);
            for step in &user.transitions {
                out.number(u64::from(step.segment) * 2 + u64::from(step.enter));
                out.0.push(step.cause as u8);
                out.instant(step.time_us);
            }
            out.number(user.lasting.len() as u64);
            for (segment, since_us) in &user.lasting {
                out.number(u64::from(*segment));
                out.instant(*since_us);
            }
        }
        out.0
    }

    /// # Errors
    /// What is wrong with the bytes.
    pub(super) fn decode(payload: &[u8]) -> Result<Self, String> {
        let mut from = Reader(payload);
        let kind = match from.byte()? {
            1 => Kind::Change,
            2 => Kind::Checkpoint,
            kind => return Err(format!("a note of the unknown kind {kind}")),
        };
        let (at_us, until_us, first_number) = (from.instant()?, from.instant()?, from.number()?);
        let base = match from.bytes()? {
            [] => None,
            json => Some(serde_json::from_slice(json).map_err(|error| format!("a note's segments: {error}"))?),
        };
        let names = from.list(Reader::text)?;
        let known = names.len();
        let users = from.list(|from| {
            let (id, skipped) = (from.text()?, from.number()?);
            let transitions = from.list(|from| from.step(known))?;
            let lasting = from.list(|from| Ok((from.place(known)?, from.instant()?)))?;
            Ok(UserNote { id, skipped, transitions, lasting })
        })?;
        if from.0.is_empty() {
            return Ok(Self { kind, at_us, until_us, first_number, base, names, users });
        }
        Err("a note is longer than it says".to_owned())
    }

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

    /// Of a note's bytes up to `limit` transitions after a number, as [`Self::transitions`] has them, and whether there are
    /// no more. What comes before is passed over: a note may tell of a hundred thousand, and its readers take some.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub(super) fn transitions_after(
        payload: &[u8],
        after: u64,
        limit: usize,
    ) -> Result<(Vec<Transition>, bool), String> {
        let (mut from, mut transitions) = (Reader(payload), Vec::new());
        if from.byte()? != Kind::Change as u8 {
            return Ok((transitions, true));
        }
        let (_at_us, _until_us, mut number) = (from.instant()?, from.instant()?, from.number()?);
        from.bytes()?;
        let names: Vec<Arc<str>> = from.list(|from| from.text().map(Arc::from))?;
        for _ in 0..from.number()? {
            let id = str::from_utf8(from.bytes()?).map_err(|_| "a note holds a text that is not UTF-8")?;
            number += from.number()?;
            let mut user: Option<Arc<str>> = None;
            for _ in 0..from.number()? {
                let Step { segment, enter, cause, time_us } = from.step(names.len())?;
                if number > after {
                    if transitions.len() == limit {
                        return Ok((transitions, false));
                    }
                    let user = Arc::clone(user.get_or_insert_with(|| Arc::from(id)));
                    let segment = Arc::clone(&names[segment as usize]);
                    transitions.push(Transition { number, user, segment, enter, time_us, cause });
                }
                number += 1;
            }
            for _ in 0..from.number()? {
                from.place(names.len())?;
                from.instant()?;
            }
        }
        Ok((transitions, true))
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

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn instant(&mut self, time_us: i64) {
        self.number(((time_us << 1) ^ (time_us >> 63)) as u64);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, String> {
        let (byte, rest) = self.0.split_first().ok_or("a note is cut short")?;
        self.0 = rest;
        Ok(*byte)
    }

    fn number(&mut self) -> Result<u64, String> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a note holds a number that is too long".to_owned())
    }

    fn instant(&mut self) -> Result<i64, String> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn bytes(&mut self) -> Result<&'a [u8], String> {
        let length = usize::try_from(self.number()?).map_err(|_| "a note is cut short")?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or("a note is cut short")?;
        self.0 = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<String, String> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| "a note holds a text that is not UTF-8".to_owned())
    }

    fn place(&mut self, known: usize) -> Result<u32, String> {
        let place = self.number()?;
        if place < known as u64 { Ok(place as u32) } else { Err("a note names a segment that it lacks".to_owned()) }
    }

    fn step(&mut self, known: usize) -> Result<Step, String> {
        let place = self.number()?;
        if place / 2 >= known as u64 {
            return Err("a note names a segment that it lacks".to_owned());
        }
        let cause = Cause::ALL.get(self.byte()? as usize).ok_or("a note holds an unknown cause")?;
        Ok(Step { segment: (place / 2) as u32, enter: place % 2 == 1, cause: *cause, time_us: self.instant()? })
    }

    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        let count = self.number()?;
        // No item is shorter than a byte: a count that is wrong must not take memory.
        let mut items = Vec::with_capacity(count.min(self.0.len() as u64) as usize);
        for _ in 0..count {
            items.push(one(self)?);
        }
        Ok(items)
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
                after = page.last().map_or(after, |last| last.number);
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
