//! Since when a user has been in segments.

use propense_core::segments::{Evaluator, Standing};
use propense_store::{Gathered, Snapshot};

use super::rules::Rules;
use super::tile_scores::TileScores;
use crate::serving::ServingError;

/// Since when a user has been in segments at an instant, in their order, by the user's own events; `None` for those that
/// the user is not in.
///
/// Each segment is looked at by itself, with what it reads: how far back that is, and at how many instants, differs much
/// from one to the next.
pub(super) fn since(
    view: &Snapshot,
    rules: &Rules,
    id: &str,
    at_us: i64,
    segments: &[usize],
) -> Result<Vec<Option<i64>>, ServingError> {
    let gathered = view.gather(&[id])?;
    let mut since_us = vec![None; segments.len()];
    let mut unsolved = Vec::new();
    for (place, &segment) in segments.iter().enumerate() {
        let alone = rules.alone(segment)?;
        let number = alone.set.number(&rules.names[segment]).unwrap_or(0);
        let bound = alone.bound_to(view, &gathered)?;
        if bound.rules.rechecks() || bound.models.rechecks() {
            unsolved.push(place);
            continue;
        }
        let mut scores = TileScores::new(&bound, &gathered.log, 1);
        let found = Evaluator::new(&bound.rules, &gathered.log).since(0, at_us, &mut scores, &[number])?;
        since_us[place] = found[0];
    }
    if !unsolved.is_empty() {
        let numbers: Vec<usize> = unsolved.iter().map(|&place| segments[place]).collect();
        let found = since_together(view, rules, &gathered, at_us, &numbers)?;
        unsolved.into_iter().zip(found).for_each(|(place, found)| since_us[place] = found);
    }
    Ok(since_us)
}

/// The same at every instant at which anything may change for any segment: what cannot be solved depends on at which
/// instants it is looked at.
fn since_together(
    view: &Snapshot,
    rules: &Rules,
    gathered: &Gathered,
    at_us: i64,
    segments: &[usize],
) -> Result<Vec<Option<i64>>, ServingError> {
    let bound = rules.bound_to(view, gathered)?;
    let mut scores = TileScores::new(&bound, &gathered.log, 1);
    let mut evaluator = Evaluator::new(&bound.rules, &gathered.log);
    // So do the ends of the shortest stays, on where the stays began.
    if rules.definitions.iter().all(|definition| definition.min_stay.is_none()) {
        return evaluator.since(0, at_us, &mut scores, segments);
    }
    let mut standings = vec![Standing::OUT; rules.set.len()];
    evaluator.replay(0, at_us, &mut scores, &mut standings)?;
    let since = |&segment: &usize| Some(standings[segment]).filter(|now| now.member).map(|now| now.since_us);
    Ok(segments.iter().map(since).collect())
}
