//! Segments: rules checked, and who is in which segment of a log.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use numpy::PyArray1;
use propense_core::events::EventLog as CoreLog;
use propense_core::expr::UnknownEvents;
use propense_core::features::Progress;
use propense_core::segments::{BoundRules, Evaluator, MESSAGE, RuleSet, SegmentDefinition, Standing};
use pyo3::prelude::*;
use pyo3_arrow::PyRecordBatch;
use rayon::prelude::*;

use crate::detached::detached;
use crate::error::CoreError;
use crate::features::Plan;
use crate::log::EventLog;
use crate::model::OnnxModel;
use crate::segment_scores::{ModelScores, SegmentModel};

/// Users whom a thread takes at a time.
const PART_USERS: usize = 256;

/// A model's name, the plan of its features, that of its audience, the model, the scores from which on users are most
/// likely and below which they are least likely, and whether an audit of it is a pass.
type ModelParts = (String, Py<Plan>, Py<Plan>, Py<OnnxModel>, f32, f32, bool);

/// The places of users, their memberships, and the segments that have nobody with the models that this is for want of
/// an audit of.
type Found<'py> = (Bound<'py, PyArray1<u32>>, PyRecordBatch, Vec<(String, Vec<String>)>);

/// Checks one definition (JSON) by itself: its name, its rules' syntax, its intervals.
#[pyfunction]
pub(crate) fn check_segment(definition: &str) -> PyResult<()> {
    let definition: SegmentDefinition = serde_json::from_str(definition).map_err(CoreError::Definition)?;
    definition.canonical().map_err(CoreError::from)?;
    Ok(())
}

/// Who is in which segment at an instant: the places of all users with an event before it or a profile, ascending, and a
/// Boolean column for each segment, tiers of models included, ascending by name; then the segments that have nobody, as
/// they require audits that there are not, and of which models.
///
/// `definitions` are JSON each; models ascend by name.
#[pyfunction]
#[pyo3(signature = (log, definitions, models, *, as_of_us, report=None))]
pub(crate) fn segment_users<'py>(
    py: Python<'py>,
    log: &EventLog,
    definitions: Vec<String>,
    models: Vec<ModelParts>,
    as_of_us: i64,
    report: Option<Py<PyAny>>,
) -> PyResult<Found<'py>> {
    let definitions: Vec<SegmentDefinition> = (definitions.iter())
        .map(|definition| serde_json::from_str(definition).map_err(CoreError::Definition))
        .collect::<Result<_, _>>()?;
    let names: Vec<String> = models.iter().map(|(name, ..)| name.clone()).collect();
    let is_audited = |name: &str| models.iter().any(|(known, .., is_audited)| known == name && *is_audited);
    let rules = RuleSet::new(&definitions, &names).map_err(CoreError::from)?.with_audits(is_audited);
    let log = &log.inner;
    let (users, members) = detached(py, report, |progress| -> Result<_, CoreError> {
        let bound = rules.bind(log, UnknownEvents::RefuseBut(MESSAGE), span_us(log, as_of_us))?;
        let models: Vec<SegmentModel<'_>> = (models.iter())
            .map(|(_, features, audience, model, most, least, _)| {
                SegmentModel::new(
                    log,
                    &features.get().inner,
                    &audience.get().inner,
                    model.get().session(),
                    (*most, *least),
                )
            })
            .collect();
        let users: Vec<u32> =
            (0..log.users().len() as u32).filter(|&user| is_known(log, user as usize, as_of_us)).collect();
        let scores = ModelScores::at(log, &models, &users, as_of_us)?;
        let members = evaluate(log, &bound, &scores, &users, as_of_us, progress)?;
        Ok((users, members))
    })?;
    let width = rules.len();
    let columns = rules.names().iter().enumerate().map(|(segment, name)| {
        let column: BooleanArray = members.iter().skip(segment).step_by(width).map(|&member| Some(member)).collect();
        (name.as_str(), Arc::new(column) as ArrayRef, false)
    });
    let batch = RecordBatch::try_from_iter_with_nullable(columns).map_err(CoreError::from)?;
    let unaudited = rules.names().iter().enumerate().filter_map(|(segment, name)| {
        let models: Vec<String> = rules.unaudited(segment).iter().map(|&model| rules.models()[model].clone()).collect();
        (!models.is_empty()).then(|| (name.clone(), models))
    });
    let unaudited = unaudited.collect();
    Ok((PyArray1::from_vec(py, users), PyRecordBatch::new(batch), unaudited))
}

/// Users' memberships, row after row, in the order of the rules' names.
fn evaluate(
    log: &CoreLog,
    bound: &BoundRules,
    scores: &ModelScores<'_>,
    users: &[u32],
    as_of_us: i64,
    progress: &Progress,
) -> Result<Vec<bool>, CoreError> {
    let width = bound.rules().len();
    let mut members = vec![false; users.len() * width];
    let scratch = || (Evaluator::new(bound, log), scores.clone(), vec![Standing::OUT; width]);
    members.par_chunks_mut(PART_USERS * width).zip(users.par_chunks(PART_USERS)).try_for_each_init(
        scratch,
        |(evaluator, scores, standings), (members, users)| {
            for (row, &user) in members.chunks_exact_mut(width).zip(users) {
                evaluator.settle(user as usize, as_of_us, scores, standings)?;
                for (member, standing) in row.iter_mut().zip(standings.iter()) {
                    *member = standing.member;
                }
                progress.advance(1)?;
            }
            Ok::<_, CoreError>(())
        },
    )?;
    Ok(members)
}

/// Whether a user is known at an instant: with an event before it, or a profile.
fn is_known(log: &CoreLog, user: usize, as_of_us: i64) -> bool {
    log.profile_row(user).is_some()
        || log.time_us()[log.rows(user)].first().is_some_and(|&first_us| first_us < as_of_us)
}

/// From the first to the last instant that rules may look at.
fn span_us(log: &CoreLog, as_of_us: i64) -> (i64, i64) {
    let (first_us, last_us) = log.time_span_us().unwrap_or((as_of_us, as_of_us));
    (first_us.min(as_of_us), last_us.max(as_of_us))
}
