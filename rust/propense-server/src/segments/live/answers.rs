//! The segments as they stand.

use std::collections::BTreeSet;

use propense_core::segments::SegmentDefinition;

use super::LiveSegments;
use crate::segments::error::SegmentsError;
use crate::segments::rules::Rules;
use crate::segments::shared::State;

/// A segment as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentState {
    /// Its name.
    pub name: String,
    /// As put, in canonical texts; `None` for a tier of a model.
    pub definition: Option<SegmentDefinition>,
    /// Members as of the last commit.
    pub members: u64,
    /// If users are still to be evaluated for it: how many were, of how many.
    pub backfill: Option<(u64, u64)>,
    /// The segments that its rules read.
    pub reads_segments: Vec<String>,
    /// The models that its rules read.
    pub reads_models: Vec<String>,
}

/// All segments as they stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SegmentsList {
    /// Ascending by name.
    pub segments: Vec<SegmentState>,
    /// If asked for: of every two segments that share a user, their places and how many users.
    pub overlaps: Vec<(usize, usize, u64)>,
    /// The number of the last transition.
    pub last_transition: u64,
}

impl LiveSegments {
    /// All segments.
    #[must_use]
    pub fn list(&self, with_overlaps: bool) -> SegmentsList {
        let state = self.shared.read();
        let segments = (0..state.rules.set.len()).map(|segment| segment_state(&state, segment)).collect();
        let overlaps = if with_overlaps { overlaps(&state) } else { Vec::new() };
        SegmentsList { segments, overlaps, last_transition: self.last_transition() }
    }

    /// The names of all segments, ascending.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.shared.read().rules.set.names().to_vec()
    }

    /// The models that some segments read, directly or not, ascending by name, each with the digest that is served of it,
    /// if any is. What is no segment reads none.
    #[must_use]
    pub fn models_of(&self, segments: &[String]) -> Vec<(String, Option<String>)> {
        let state = self.shared.read();
        let rules = &state.rules;
        let named = segments.iter().filter_map(|name| rules.set.number(name));
        let all: BTreeSet<usize> =
            named.flat_map(|segment| [vec![segment], rules.set.depends_on(segment)].concat()).collect();
        let read: BTreeSet<usize> =
            all.iter().flat_map(|&segment| rules.set.reads_of(segment).models).copied().collect();
        let digest = |place: usize| rules.models.get(place).and_then(Option::as_ref).map(|model| model.digest.clone());
        let found = read.into_iter().map(|place| (rules.set.models()[place].clone(), digest(place)));
        let mut found: Vec<_> = found.collect();
        found.sort();
        found
    }

    /// One segment.
    ///
    /// # Errors
    /// [`SegmentsError::Unknown`].
    pub fn get(&self, name: &str) -> Result<SegmentState, SegmentsError> {
        let state = self.shared.read();
        Ok(segment_state(&state, number(&state.rules, name)?))
    }

    /// Whether there are all of some segments.
    pub(crate) fn check_names(&self, names: &[String]) -> Result<(), (usize, SegmentsError)> {
        let state = self.shared.read();
        for (place, name) in names.iter().enumerate() {
            number(&state.rules, name).map_err(|error| (place, error))?;
        }
        Ok(())
    }
}

/// A segment's number by its name.
pub(super) fn number(rules: &Rules, name: &str) -> Result<usize, SegmentsError> {
    rules.set.number(name).ok_or_else(|| SegmentsError::unknown(name, &rules.set))
}

fn segment_state(state: &State, segment: usize) -> SegmentState {
    let pass = state.pass.as_ref().filter(|pass| pass.causes.get(segment).is_some_and(Option::is_some));
    let backfill = pass.map(|pass| (pass.done, pass.total));
    described(&state.rules, segment, state.standings.counts().get(segment).copied().unwrap_or(0), backfill)
}

pub(super) fn described(rules: &Rules, segment: usize, members: u64, backfill: Option<(u64, u64)>) -> SegmentState {
    let reads = rules.set.reads_of(segment);
    let names = |places: &[usize], names: &[String]| places.iter().map(|&place| names[place].clone()).collect();
    SegmentState {
        name: rules.set.names()[segment].clone(),
        definition: rules.set.definition(segment).cloned(),
        members,
        backfill,
        reads_segments: names(reads.segments, rules.set.names()),
        reads_models: names(reads.models, rules.set.models()),
    }
}

/// How many users each two segments share, if any.
fn overlaps(state: &State) -> Vec<(usize, usize, u64)> {
    let segments = state.standings.names().len();
    let mut shared = vec![0_u64; segments * segments];
    let mut of_user = Vec::new();
    for user in 0..state.standings.users.len() as u32 {
        of_user.clear();
        for (word, bits) in state.standings.bits_of(user).iter().enumerate() {
            let mut bits = *bits;
            while bits != 0 {
                of_user.push(word * 64 + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
        for (place, &first) in of_user.iter().enumerate() {
            of_user[place + 1..].iter().for_each(|&second| shared[first * segments + second] += 1);
        }
    }
    let pairs = shared.into_iter().enumerate().filter(|(_, users)| *users > 0);
    pairs.map(|(pair, users)| (pair / segments, pair % segments, users)).collect()
}
