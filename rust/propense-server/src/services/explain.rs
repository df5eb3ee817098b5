//! Why one user has the score, in the few features that moved it most.

use std::cmp::Reverse;

use crate::backend::{Backend, Explained, ModelError, ReadFeature, Snapshot};
use crate::batches::check_user_id;
use crate::error::ServiceError;
use crate::instants::{as_of_us, required_us, timestamp};
use crate::proto::{Contribution, ExplainUserRequest, ExplainUserResponse, ExplainedFeature, Standing};
use crate::services::scoring::score_of;
use crate::state::State;

/// Features that are listed, unless the caller says.
const TOP: usize = 5;
/// The most that the caller may say.
const TOP_LIMIT: usize = 1_000;

pub(super) fn explain_user<B: Backend>(
    state: &State<B>,
    request: ExplainUserRequest,
) -> Result<ExplainUserResponse, ServiceError> {
    let ExplainUserRequest { user_id, model, as_of, since, top } = request;
    let backend = state.backend()?;
    check_user_id(&user_id, || "user_id".to_owned())?;
    let top = match top as usize {
        0 => TOP,
        top if top <= TOP_LIMIT => top,
        top => return Err(ServiceError::invalid("top", format!("expected at most {TOP_LIMIT}, found {top}"))),
    };
    let as_of_us = as_of_us(as_of.as_ref(), &state.clock)?;
    let since_us = since.as_ref().map(|since| required_us(Some(since), || "since".to_owned())).transpose()?;
    if since_us.is_some_and(|since_us| since_us >= as_of_us) {
        return Err(ServiceError::invalid("since", "expected an instant before the as_of"));
    }
    let served = state.model(&model, "model")?;
    let snapshot = backend.snapshot();
    if !snapshot.has_user(&user_id) {
        return Err(ServiceError::UserUnknown { path: "user_id".to_owned() });
    }
    let not_explained = |ModelError(problem)| ServiceError::NotExplained { model: model.clone(), problem };
    let explains = backend.explains(&served.model).map_err(not_explained)?;
    let explain = |as_of_us| {
        let explained = backend.explain(&served.model, &snapshot, &user_id, as_of_us);
        explained.map_err(|ModelError(problem)| ServiceError::ModelUnfit { model: model.clone(), problem })
    };
    let now = explain(as_of_us)?;
    let before = since_us.map(explain).transpose()?;
    let earlier = before.as_ref().and_then(Option::as_ref);
    let listed = now.as_ref().map_or_else(Vec::new, |now| largest(now, earlier, top));
    let features = listed.iter().filter_map(|&place| {
        let feature = explains.features.get(place)?;
        Some(explained_feature(feature, place, now.as_ref()?, earlier))
    });
    let features = features.collect();
    let standing = |as_of_us, explained: Option<&Explained>| Standing {
        as_of: Some(timestamp(as_of_us)),
        score: Some(score_of(explained.map(|explained| explained.user))),
        others: explained.map_or(0.0, |explained| others(explained, &listed)),
    };
    Ok(ExplainUserResponse {
        user_id,
        model: Some(served.version.clone()),
        base: explains.base,
        now: Some(standing(as_of_us, now.as_ref())),
        before: since_us.map(|since_us| standing(since_us, earlier)),
        features,
    })
}

/// The places of the features that moved a score most, or changed it most; equal ones stay in order.
fn largest(now: &Explained, before: Option<&Explained>, top: usize) -> Vec<usize> {
    let moved = |place: usize| {
        let was = before.and_then(|before| before.contributions.get(place)).copied().unwrap_or_default();
        // Of numbers that are not below 0, the bits are in order.
        (f64::from(now.contributions[place]) - f64::from(was)).abs().to_bits()
    };
    let mut places: Vec<usize> = (0..now.contributions.len()).collect();
    places.sort_by_key(|&place| Reverse(moved(place)));
    places.truncate(top);
    places
}

/// What all features that are not listed contributed together.
fn others(explained: &Explained, listed: &[usize]) -> f64 {
    let mut rest: Vec<f64> = explained.contributions.iter().map(|&contribution| f64::from(contribution)).collect();
    for &place in listed {
        rest[place] = 0.0;
    }
    rest.iter().sum()
}

fn explained_feature(
    feature: &ReadFeature,
    place: usize,
    now: &Explained,
    before: Option<&Explained>,
) -> ExplainedFeature {
    let contribution = |explained: &Explained| Contribution {
        value: explained.values[place],
        contribution: explained.contributions[place],
    };
    let (now, before) = (contribution(now), before.map(contribution));
    let codes = [Some(f64::from(now.value)), before.map(|before| f64::from(before.value)), feature.usual];
    let vocabulary = feature.vocabulary.as_deref().unwrap_or_default();
    // A code is a whole number from 0 up; what is missing has none.
    let codes = codes.into_iter().flatten().filter(|code| *code >= 0.0).map(|code| code as u32);
    let text = |code: u32| vocabulary.get(code as usize).map(|text| (code, text.clone()));
    ExplainedFeature {
        name: feature.name.clone(),
        expression: feature.expression.clone(),
        now: Some(now),
        before,
        usual: feature.usual,
        is_text: feature.vocabulary.is_some(),
        texts: codes.filter_map(text).collect(),
    }
}
