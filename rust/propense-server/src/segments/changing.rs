//! Going over to other segments or models.

use std::sync::Arc;

use propense_core::segments::SegmentDefinition;
use propense_store::{Note as StoreNote, Snapshot};

use super::ask::{Change, Refusal, refuse};
use super::engine::Engine;
use super::note::{Base, Step, UserNote};
use super::part::Part;
use super::pass::Pass;
use super::prepared::NextPass;
use super::rules::Rules;
use super::shared::State;
use super::transition::Cause;

impl Engine {
    /// Goes over to other segments or models: who leaves with a segment that goes leaves at once, everything else is for
    /// a pass.
    pub(super) fn change(
        &mut self,
        view: &Snapshot,
        change: Change,
        refusal: &Refusal,
    ) -> Result<Option<StoreNote>, String> {
        let mut prepared = self.begin();
        let shared = Arc::clone(&self.shared);
        let state = shared.read();
        if !state.awake && !matches!(change, Change::Models(_)) {
            return Err("the server is starting".to_owned());
        }
        let rules = change.rules(&state, view).map_err(|error| refuse(refusal, error))?;
        let versions = rules.versions();
        let (by_model, served) = match change {
            Change::Models(served) => (true, served),
            Change::Put(_) | Change::Delete(_) => (false, state.served.clone()),
        };
        let gone = |segment: &usize| rules.set.number(&state.standings.names()[*segment]).is_none();
        let gone: Vec<usize> = (0..state.standings.names().len()).filter(gone).collect();
        let is_other_model = |model: &String| self.versions.get(model) != versions.get(model);
        let other_models: Vec<bool> = rules.set.models().iter().map(is_other_model).collect();
        let causes = self.causes(&state, &rules, &other_models);
        let wakes = by_model && !state.awake;
        if !wakes
            && gone.is_empty()
            && causes.iter().all(Option::is_none)
            && rules.definitions == state.rules.definitions
        {
            // Models that score as before may have been loaded anew.
            prepared.rules = Some((Arc::new(rules), served));
            drop(state);
            self.prepared = Some(prepared);
            self.settle(true);
            return Ok(None);
        }
        if !wakes && gone.is_empty() && causes.iter().all(Option::is_none) {
            // Only who answers for a segment, or what for: that nobody has to be evaluated for.
            let base = base_of(&rules, state.pass.as_ref());
            prepared.rules = Some((Arc::new(rules), served));
            drop(state);
            return Ok(self.finish(prepared, Vec::new(), Some(base)));
        }
        let cause = if by_model { Cause::ModelChange } else { Cause::RuleChange };
        let users = leaving(&state, &gone, cause, prepared.at_us);
        let behind = match (&state.pass, &self.unfinished) {
            (Some(pass), _) => pass.behind,
            (None, unfinished) => unfinished.as_ref().is_some_and(|unfinished| unfinished.behind),
        };
        let mut pass = Pass::new(causes, behind);
        pass.total = view.user_count();
        let rules = Arc::new(rules);
        if !pass.behind {
            pass.part = Part::new(&rules, |segment| pass.causes[segment].is_some()).map(Arc::new);
        }
        let base = base_of(&rules, Some(&pass));
        prepared.rules = Some((rules, served));
        prepared.pass = NextPass::GoesOn(pass);
        prepared.epoch = Some(state.epoch + 1);
        prepared.wakes = wakes;
        drop(state);
        Ok(self.finish(prepared, users, Some(base)))
    }

    /// For each segment what makes its members others, with what an unfinished pass has still to see to.
    fn causes(&self, state: &State, rules: &Rules, other_models: &[bool]) -> Vec<Option<Cause>> {
        let mut causes = vec![None; rules.set.len()];
        let name = |segment: usize| rules.set.names()[segment].as_str();
        let by_model = |segment: usize| {
            let is_new_tier =
                rules.set.definition(segment).is_none() && state.rules.set.number(name(segment)).is_none();
            is_new_tier || rules.set.reads_of(segment).models.iter().any(|&model| other_models[model])
        };
        let by_rule = |segment: usize| {
            rules.set.definition(segment).is_some_and(|new| {
                let old = state.rules.set.number(name(segment)).and_then(|old| state.rules.set.definition(old));
                // Who answers for it and what for changes nobody's membership.
                let (owner, description) = (new.owner.clone(), new.description.clone());
                old.is_none_or(|old| SegmentDefinition { owner, description, ..old.clone() } != *new)
            })
        };
        rules.with_readers(by_model).into_iter().for_each(|segment| causes[segment] = Some(Cause::ModelChange));
        rules.with_readers(by_rule).into_iter().for_each(|segment| causes[segment] = Some(Cause::RuleChange));
        if let Some(pass) = &state.pass {
            for (old, cause) in state.rules.names.iter().zip(&pass.causes).filter(|(_, cause)| cause.is_some()) {
                if let Some(segment) = rules.set.number(old) {
                    causes[segment] = causes[segment].or(*cause);
                }
            }
        }
        if let Some(unfinished) = self.unfinished.as_ref().filter(|_| !state.awake) {
            unfinished.fill(rules, &mut causes);
        }
        causes
    }
}

/// What is kept of what is in force.
pub(super) fn base_of(rules: &Rules, pass: Option<&Pass>) -> Base {
    Base {
        definitions: rules.definitions.clone(),
        models: rules.versions(),
        columns: rules.columns.clone(),
        pass: pass.map(|pass| pass.base(rules)),
    }
}

/// Who leaves with segments that go.
fn leaving(state: &State, gone: &[usize], cause: Cause, at_us: i64) -> Vec<UserNote> {
    let standings = &state.standings;
    if gone.is_empty() {
        return Vec::new();
    }
    let exits = |user: u32| {
        let is_in = |segment: &&usize| standings.is_member(user, **segment);
        let exit = |&segment: &usize| Step { segment: segment as u32, enter: false, cause, time_us: at_us };
        let transitions: Vec<Step> = gone.iter().filter(is_in).map(exit).collect();
        let id = standings.users.id(user).to_owned();
        (!transitions.is_empty()).then_some(UserNote { id, transitions, ..UserNote::default() })
    };
    (0..standings.users.len() as u32).filter_map(exits).collect()
}
