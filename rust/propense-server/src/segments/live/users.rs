//! Who is in which segment.

use std::sync::Arc;

use propense_store::Snapshot;

use super::LiveSegments;
use super::answers::number;
use crate::segments::error::SegmentsError;
use crate::segments::rules::Rules;
use crate::segments::shared::Shared;
use crate::segments::since::since;

/// One user's standing with one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserStanding {
    /// The segment's name.
    pub segment: String,
    /// Whether the user is in it.
    pub is_member: bool,
    /// If so and if asked for: since when by the user's own events, with attributes, definitions and models as they are now.
    /// `None` too if the user is to leave by that, and the exit is about to be written.
    pub since_us: Option<i64>,
}

/// Segments by number, and whether a user is in each.
type Memberships = Vec<(usize, bool)>;

impl LiveSegments {
    /// A user's standing with segments, in their order; of all that the user is in if none is named. It looks at no event,
    /// so it does not say since when.
    ///
    /// # Errors
    /// [`SegmentsError::Unknown`].
    pub fn memberships(&self, user: &str, names: &[String]) -> Result<Vec<UserStanding>, SegmentsError> {
        let (rules, memberships) = self.bits_of(user, names)?;
        let standing = |(segment, is_member): (usize, bool)| UserStanding {
            segment: rules.set.names()[segment].clone(),
            is_member,
            since_us: None,
        };
        Ok(memberships.into_iter().map(standing).collect())
    }

    /// The same with since when, for which as much of the user's history is looked at as tells.
    ///
    /// # Errors
    /// [`SegmentsError::Unknown`], or the user's events could not be evaluated.
    pub fn of_user(&self, user: &str, names: &[String]) -> Result<Vec<UserStanding>, SegmentsError> {
        let (rules, memberships) = self.bits_of(user, names)?;
        let now_us = self.shared.clock.now_us();
        let in_segments: Vec<usize> =
            memberships.iter().filter(|(_, is_member)| *is_member).map(|(segment, _)| *segment).collect();
        let found = if in_segments.is_empty() {
            Vec::new()
        } else {
            let found = since(&self.store.snapshot(), &rules, user, now_us, &in_segments);
            found.map_err(|error| SegmentsError::Evaluation(error.into()))?
        };
        let mut found = found.into_iter();
        let standing = |(segment, is_member): (usize, bool)| UserStanding {
            segment: rules.set.names()[segment].clone(),
            is_member,
            since_us: if is_member { found.next().flatten() } else { None },
        };
        Ok(memberships.into_iter().map(standing).collect())
    }

    /// Whether a user is in segments, as the rules in force number them.
    fn bits_of(&self, user: &str, names: &[String]) -> Result<(Arc<Rules>, Memberships), SegmentsError> {
        let state = self.shared.read();
        let rules = Arc::clone(&state.rules);
        let found = state.standings.users.find(user);
        let is_member = |segment| found.is_some_and(|user| state.standings.is_member(user, segment));
        let all = 0..rules.set.len();
        let memberships = if names.is_empty() {
            all.filter(|&segment| is_member(segment)).map(|segment| (segment, true)).collect()
        } else {
            let one = |name: &String| number(&rules, name).map(|segment| (segment, is_member(segment)));
            names.iter().map(one).collect::<Result<_, _>>()?
        };
        Ok((rules, memberships))
    }

    /// The members of a segment as they are now, to be read page by page.
    ///
    /// # Errors
    /// [`SegmentsError::Unknown`].
    pub(crate) fn members(&self, name: &str) -> Result<Members, SegmentsError> {
        let state = self.shared.read();
        let segment = number(&state.rules, name)?;
        let standings = &state.standings;
        let mut bits = vec![0_u64; standings.users.len().div_ceil(64)];
        for user in (0..standings.users.len() as u32).filter(|&user| standings.is_member(user, segment)) {
            bits[user as usize / 64] |= 1 << (user % 64);
        }
        Ok(Members { shared: Arc::clone(&self.shared), listing: self.store.snapshot(), bits })
    }
}

/// The members of a segment at one moment.
pub(crate) struct Members {
    shared: Arc<Shared>,
    listing: Snapshot,
    bits: Vec<u64>,
}

impl Members {
    /// The members among up to `limit` users after an id, and the last of those users; `None` at the end.
    pub(crate) fn page(&self, after: Option<&str>, limit: usize) -> Option<(Vec<String>, String)> {
        let users = self.listing.users_from(after, limit);
        let last = users.last()?.clone();
        let state = self.shared.read();
        let is_member = |id: &String| {
            let user = state.standings.users.find(id);
            user.is_some_and(|user| self.bits.get(user as usize / 64).is_some_and(|word| word >> (user % 64) & 1 == 1))
        };
        Some((users.into_iter().filter(is_member).collect(), last))
    }
}
