//! What changes segments: definitions, models, a clock that is advanced.

use std::mem;
use std::sync::{Arc, PoisonError};

use propense_core::segments::SegmentDefinition;
use serde_json::json;

use super::LiveSegments;
use super::answers::{SegmentState, described, number};
use crate::backend::Serving;
use crate::segments::ask::{Ask, Change, Refusal};
use crate::segments::error::SegmentsError;
use crate::segments::rules::{Model, Models};
use crate::serving::ServedModel;

impl LiveSegments {
    /// Puts segments, all or none; gives the names of those that were not in force in this form before.
    ///
    /// # Errors
    /// [`SegmentsError::Definition`], or the store does not write it.
    pub fn put(&self, definitions: Vec<SegmentDefinition>) -> Result<Vec<String>, SegmentsError> {
        let changed = self.changed(&definitions)?;
        self.change(Change::Put(definitions))?;
        Ok(changed)
    }

    /// Checks segments as [`Self::put`] does, and gives how they would stand at first.
    ///
    /// # Errors
    /// As there.
    pub fn check(&self, definitions: &[SegmentDefinition]) -> Result<(Vec<SegmentState>, Vec<String>), SegmentsError> {
        let changed = self.changed(definitions)?;
        let state = self.shared.read();
        let rules = Change::Put(definitions.to_vec()).rules(&state, &self.store.snapshot())?;
        let stands = |definition: &SegmentDefinition| {
            let segment = number(&rules, &definition.name)?;
            let members = number(&state.rules, &definition.name).map_or(0, |old| state.standings.counts()[old]);
            Ok(described(&rules, segment, members, None))
        };
        Ok((definitions.iter().map(stands).collect::<Result<_, SegmentsError>>()?, changed))
    }

    /// Which of some definitions are not in force in this form.
    fn changed(&self, definitions: &[SegmentDefinition]) -> Result<Vec<String>, SegmentsError> {
        let state = self.shared.read();
        let mut changed = Vec::new();
        for definition in definitions {
            let canonical = definition.canonical()?;
            if !state.rules.definitions.contains(&canonical) {
                changed.push(canonical.name);
            }
        }
        Ok(changed)
    }

    /// Deletes a segment; gives how many members left it.
    ///
    /// # Errors
    /// [`SegmentsError::Unknown`], [`SegmentsError::OfModel`], [`SegmentsError::InUse`], or the store does not write it.
    pub fn delete(&self, name: &str) -> Result<u64, SegmentsError> {
        let members = self.get(name)?.members;
        self.change(Change::Delete(name.to_owned()))?;
        Ok(members)
    }

    /// Goes over to the models that are served now.
    ///
    /// # Errors
    /// The store does not write what follows.
    pub(crate) fn serve_models(&self, models: &[Serving<'_, Arc<ServedModel>>]) -> Result<(), SegmentsError> {
        let model = |one: &Serving<'_, Arc<ServedModel>>| {
            let Serving { name, digest, is_audited, model } = *one;
            (name.to_owned(), Model { digest: digest.to_owned(), is_audited, served: Arc::clone(model) })
        };
        self.change(Change::Models(models.iter().map(model).collect::<Models>()))?;
        let at_start = mem::take(&mut *self.at_start.lock().unwrap_or_else(PoisonError::into_inner));
        if at_start.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = at_start.iter().map(|definition| definition.name.clone()).collect();
        match self.put(at_start) {
            // As a model that does not load: those in force stay.
            Err(error @ SegmentsError::Definition(_)) => {
                let problem = error.to_string();
                self.shared.log.line("error", "segments_refused", json!({"segments": names, "problem": problem}));
            }
            Err(error) => return Err(error),
            Ok(changed) => self.shared.log.line("info", "segments_put", json!({"segments": changed})),
        }
        Ok(())
    }

    fn change(&self, change: Change) -> Result<(), SegmentsError> {
        let refusal = Refusal::default();
        match self.ask(Ask::Change(change, Arc::clone(&refusal))) {
            Ok(()) => {
                self.shared.ring();
                Ok(())
            }
            Err(error) => Err(refusal.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(error)),
        }
    }

    fn ask(&self, ask: Ask) -> Result<(), SegmentsError> {
        self.store.ask(Box::new(ask))?;
        Ok(())
    }

    /// Lets a simulated clock go on, and waits until everything that falls due by then, and every pass, is seen to.
    ///
    /// # Errors
    /// [`SegmentsError::ClockNotSimulated`], [`SegmentsError::ClockBackwards`], or the store does not write what follows;
    /// the clock has gone on then, and what is due is seen to as soon as it can be.
    pub fn advance_clock(&self, until_us: i64) -> Result<(), SegmentsError> {
        if !self.shared.clock.is_simulated() {
            return Err(SegmentsError::ClockNotSimulated);
        }
        // A pass that began at an instant ends there: time goes on only from where everybody stands.
        self.catch_up()?;
        if !self.shared.clock.advance_to(until_us) {
            return Err(SegmentsError::ClockBackwards);
        }
        self.catch_up()
    }

    /// Waits until nothing is due any more and no pass is under way.
    ///
    /// # Errors
    /// The store does not write what follows.
    pub fn catch_up(&self) -> Result<(), SegmentsError> {
        loop {
            self.ask(Ask::Work)?;
            if !self.shared.has_work() {
                return Ok(());
            }
        }
    }
}
