//! An evaluation of everybody, a slice at a time.

use std::sync::Arc;
use std::time::Duration;

use propense_store::Snapshot;

use super::note::PassBase;
use super::part::Part;
use super::rules::Rules;
use super::transition::Cause;

/// Users of a slice at least, enough for some threads, and at most.
const FEWEST_USERS: usize = 40;
const MOST_USERS: usize = 4_096;
/// A slice is to take no longer: a slice is one commit, for which all writes wait.
const SLICE_TIME: Duration = Duration::from_millis(100);

/// Why everybody is evaluated, and how far that is.
#[derive(Clone)]
pub(super) struct Pass {
    /// What made a segment's members others, if not what is said of the user.
    pub(super) causes: Vec<Option<Cause>>,
    /// Whether there are events that nobody was evaluated for.
    pub(super) behind: bool,
    /// What is enough to evaluate for users who were evaluated shortly before it began, if it is not everything.
    pub(super) part: Option<Arc<Part>>,
    /// The users there were when it began are listed from here.
    listing: Option<Snapshot>,
    after: Option<String>,
    /// Users of the next slice.
    limit: usize,
    pub(super) done: u64,
    pub(super) total: u64,
}

impl PassBase {
    /// Adds what this has to see to to what makes segments' members others.
    pub(super) fn fill(&self, rules: &Rules, causes: &mut [Option<Cause>]) {
        for (names, cause) in [(&self.by_rule, Cause::RuleChange), (&self.by_model, Cause::ModelChange)] {
            for segment in names.iter().filter_map(|name| rules.set.number(name)) {
                causes[segment] = causes[segment].or(Some(cause));
            }
        }
    }
}

impl Pass {
    /// A pass over everybody, for segments whose rule or model is another.
    pub(super) fn new(causes: Vec<Option<Cause>>, behind: bool) -> Self {
        Self { causes, behind, part: None, listing: None, after: None, limit: FEWEST_USERS, done: 0, total: 0 }
    }

    /// What of it is kept.
    pub(super) fn base(&self, rules: &Rules) -> PassBase {
        let by = |wanted: Cause| {
            let names = rules.set.names().iter().zip(&self.causes);
            names.filter(|(_, cause)| **cause == Some(wanted)).map(|(name, _)| name.clone()).collect()
        };
        PassBase { by_rule: by(Cause::RuleChange), by_model: by(Cause::ModelChange), behind: self.behind }
    }

    /// Whether nothing but time has passed: users go on from where they stood.
    pub(super) fn is_step(&self) -> bool {
        !self.behind && self.causes.iter().all(Option::is_none)
    }

    /// The next users, and whether they are the last.
    pub(super) fn slice(&mut self, view: &Snapshot) -> (Vec<String>, bool) {
        let listing = self.listing.get_or_insert_with(|| view.clone());
        if self.after.is_none() {
            self.total = listing.user_count();
        }
        let users = listing.users_from(self.after.as_deref(), self.limit);
        self.done += users.len() as u64;
        self.after = users.last().cloned().or(self.after.take());
        let is_last = users.len() < self.limit;
        (users, is_last)
    }

    /// Fits the next slice to what the last one took: a user whose past decides may take a thousand times what others do.
    pub(super) fn took(&mut self, time: Duration) {
        if time > SLICE_TIME {
            self.limit = (self.limit as f64 * SLICE_TIME.as_secs_f64() / time.as_secs_f64()) as usize;
        } else if time < SLICE_TIME / 2 {
            self.limit *= 2;
        }
        self.limit = self.limit.clamp(FEWEST_USERS, MOST_USERS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_that_takes_long_makes_the_next_one_smaller() {
        let mut pass = Pass::new(Vec::new(), false);
        assert_eq!(pass.limit, FEWEST_USERS);
        (0..9).for_each(|_| pass.took(SLICE_TIME / 10));
        assert_eq!(pass.limit, MOST_USERS);
        pass.took(SLICE_TIME);
        assert_eq!(pass.limit, MOST_USERS);
        pass.took(2 * SLICE_TIME);
        assert_eq!(pass.limit, MOST_USERS / 2);
        pass.took(1_000 * SLICE_TIME);
        assert_eq!(pass.limit, FEWEST_USERS);
    }
}
