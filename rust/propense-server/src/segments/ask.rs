//! What the engine is asked, in its turn among the writes.

use std::sync::{Arc, Mutex, PoisonError};

use propense_core::expr::UnknownEvents;
use propense_core::segments::{MESSAGE, RuleSet, SegmentDefinition};
use propense_store::Snapshot;

use super::error::SegmentsError;
use super::note::Columns;
use super::rules::{Models, Rules};
use super::shared::State;
use crate::serving::{ServingError, USUAL_SPAN_US};

/// A message to the engine.
pub(super) enum Ask {
    /// See to timers that are due and to a slice of the pass, if there is one.
    Work,
    /// Go over to other segments or models. Why not, if it does not, is put beside it.
    Change(Change, Refusal),
}

/// Where the engine leaves the reason why it did not do something.
pub(super) type Refusal = Arc<Mutex<Option<SegmentsError>>>;

/// A change of what is in force.
pub(super) enum Change {
    /// These definitions, new or in place of others of their name.
    Put(Vec<SegmentDefinition>),
    /// Without this segment.
    Delete(String),
    /// These models.
    Models(Models),
}

impl Change {
    /// The rules that would then be in force; looks at the store for what they name.
    pub(super) fn rules(&self, state: &State, view: &Snapshot) -> Result<Rules, SegmentsError> {
        let mut definitions = state.rules.definitions.clone();
        let known = || state.rules.set.models().iter().cloned();
        let served = match self {
            Self::Models(served) => served,
            Self::Put(_) | Self::Delete(_) => &state.served,
        };
        match self {
            Self::Put(put) => {
                definitions.retain(|known| put.iter().all(|new| new.name != known.name));
                check_names(put, &definitions, &state.rules, view)?;
                definitions.extend(put.iter().cloned());
            }
            Self::Delete(name) => {
                check_unread(&state.rules.set, name)?;
                definitions.retain(|known| known.name != *name);
            }
            Self::Models(_) => {}
        }
        let mut rules = Rules::new(&definitions, served, known())?;
        let shape = view.shape().map_err(|error| SegmentsError::Evaluation(ServingError::from(error).into()))?;
        rules.columns = Columns::of(&rules.set.columns(), &shape);
        match rules.bind(view, UnknownEvents::Empty) {
            Err(ServingError::Segments(error)) => Err(SegmentsError::Definition(error)),
            Err(error) => Err(SegmentsError::Evaluation(error.into())),
            Ok(_) => Ok(rules),
        }
    }
}

/// Refuses definitions that name events that there are not, unless there are none at all yet, or none but delivered
/// messages are meant. Those in force may do so.
fn check_names(
    put: &[SegmentDefinition],
    others: &[SegmentDefinition],
    rules: &Rules,
    view: &Snapshot,
) -> Result<(), SegmentsError> {
    let shape = view.shape().map_err(|error| SegmentsError::Evaluation(ServingError::from(error).into()))?;
    let unknown = if shape.event_types().is_empty() { UnknownEvents::Empty } else { UnknownEvents::RefuseBut(MESSAGE) };
    // In place of the others something of the same names that reads nothing.
    let others = others.iter().map(|other| SegmentDefinition::new(&other.name, "count(*) >= 0"));
    let definitions: Vec<SegmentDefinition> = put.iter().cloned().chain(others).collect();
    let set = RuleSet::new(&definitions, rules.set.models())?;
    set.bind(&shape, unknown, USUAL_SPAN_US)?;
    Ok(())
}

/// Refuses to delete what is not there to be deleted.
fn check_unread(set: &RuleSet, name: &str) -> Result<(), SegmentsError> {
    let segment = set.number(name).ok_or_else(|| SegmentsError::unknown(name, set))?;
    if set.definition(segment).is_none() {
        return Err(SegmentsError::OfModel);
    }
    match (0..set.len()).find(|&other| set.reads_of(other).segments.contains(&segment)) {
        Some(reader) => Err(SegmentsError::InUse { by: set.names()[reader].clone() }),
        None => Ok(()),
    }
}

/// Leaves a reason, and gives it as text.
pub(super) fn refuse(refusal: &Refusal, error: SegmentsError) -> String {
    let text = error.to_string();
    *refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    text
}
