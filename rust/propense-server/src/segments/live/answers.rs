//! The segments as they stand.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use propense_core::segments::SegmentDefinition;

use super::LiveSegments;
use crate::segments::error::SegmentsError;
use crate::segments::rules::Rules;
use crate::segments::shared::{Shared, State};
use crate::segments::standings::Standings;

/// Users who are looked at together when overlaps are counted: as writes wait that long, few.
const OVERLAP_USERS: usize = 1 << 15;

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
    /// The models that it reads, also through other segments, whose missing audits keep everybody out of it.
    pub unaudited_models: Vec<String>,
}

/// All segments as they stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SegmentsList {
    /// Ascending by name.
    pub segments: Vec<SegmentState>,
    /// If asked for: of every two segments that share a user, their places and how many users. Nobody waits for them to
    /// be counted, so events that come meanwhile may or may not be in them.
    pub overlaps: Vec<(usize, usize, u64)>,
    /// The number of the last transition.
    pub last_transition: u64,
}

impl LiveSegments {
    /// All segments.
    #[must_use]
    pub fn list(&self, with_overlaps: bool) -> SegmentsList {
        loop {
            let state = self.shared.read();
            let rules = Arc::clone(&state.rules);
            let segments = (0..rules.set.len()).map(|segment| segment_state(&state, segment)).collect();
            let last_transition = self.last_transition();
            drop(state);
            let overlaps = if with_overlaps { overlaps(&self.shared, &rules) } else { Some(Vec::new()) };
            // Segments are rarely others before they are counted.
            if let Some(overlaps) = overlaps {
                return SegmentsList { segments, overlaps, last_transition };
            }
        }
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
        unaudited_models: names(rules.set.unaudited(segment), rules.set.models()),
    }
}

/// How many users each two segments share, if any; `None` if other rules are in force now.
fn overlaps(shared: &Shared, rules: &Arc<Rules>) -> Option<Vec<(usize, usize, u64)>> {
    let segments = rules.set.len();
    let mut counts = vec![0_u64; segments * segments];
    for first in (0..).step_by(OVERLAP_USERS) {
        let state = shared.read();
        if !Arc::ptr_eq(&state.rules, rules) {
            return None;
        }
        let users = first..(first + OVERLAP_USERS).min(state.standings.users.len());
        if users.is_empty() {
            break;
        }
        count_pairs(&state.standings, users, segments, &mut counts);
    }
    let pairs = counts.into_iter().enumerate().filter(|(_, users)| *users > 0);
    Some(pairs.map(|(pair, users)| (pair / segments, pair % segments, users)).collect())
}

/// Adds some users to how many each two segments share.
fn count_pairs(standings: &Standings, users: Range<usize>, segments: usize, counts: &mut [u64]) {
    let mut of_user = Vec::new();
    for user in users {
        of_user.clear();
        for (word, bits) in standings.bits_of(user as u32).iter().enumerate() {
            let mut bits = *bits;
            while bits != 0 {
                of_user.push(word * 64 + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
        for (place, &first) in of_user.iter().enumerate() {
            of_user[place + 1..].iter().for_each(|&second| counts[first * segments + second] += 1);
        }
    }
}
