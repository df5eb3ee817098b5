//! An evaluation of everybody, a slice at a time.

use std::sync::Arc;

use propense_store::Snapshot;

use super::note::PassBase;
use super::part::Part;
use super::rules::Rules;
use super::transition::Cause;

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
        Self { causes, behind, part: None, listing: None, after: None, done: 0, total: 0 }
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
    pub(super) fn slice(&mut self, view: &Snapshot, limit: usize) -> (Vec<String>, bool) {
        let listing = self.listing.get_or_insert_with(|| view.clone());
        if self.after.is_none() {
            self.total = listing.user_count();
        }
        let users = listing.users_from(self.after.as_deref(), limit);
        self.done += users.len() as u64;
        self.after = users.last().cloned().or(self.after.take());
        let is_last = users.len() < limit;
        (users, is_last)
    }
}
