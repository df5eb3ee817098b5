//! The scores of one user.

use crate::backend::{Backend, Snapshot};
use crate::batches::check_user_id;
use crate::error::ServiceError;
use crate::instants::{as_of_us, timestamp};
use crate::proto::{ScoreUserRequest, ScoreUserResponse};
use crate::services::scoring::{Model, checked, model_score};
use crate::state::State;

/// So many events are looked at on a thread that serves connections, once for each model: a tenth of a millisecond, about.
const EVENTS_AT_ONCE: usize = 8_192;

/// What is asked about one user.
pub(super) struct AboutOne<B: Backend> {
    request: ScoreUserRequest,
    snapshot: B::Snapshot,
    models: Vec<Model<B>>,
    as_of_us: i64,
    /// Whether it takes so long that others should not wait behind it.
    pub(super) is_long: bool,
}

impl<B: Backend> AboutOne<B> {
    pub(super) fn new(state: &State<B>, request: ScoreUserRequest) -> Result<Self, ServiceError> {
        let backend = state.backend()?;
        check_user_id(&request.user_id, || "user_id".to_owned())?;
        let as_of_us = as_of_us(request.as_of.as_ref(), &state.clock)?;
        let models = state.choose(&request.models)?;
        let snapshot = backend.snapshot();
        let Some(events) = snapshot.event_count_of(&request.user_id) else {
            return Err(ServiceError::UserUnknown { path: "user_id".to_owned() });
        };
        let is_long = events.saturating_mul(models.len()) > EVENTS_AT_ONCE;
        Ok(Self { request, snapshot, models, as_of_us, is_long })
    }

    pub(super) fn answer(&self, backend: &B) -> Result<ScoreUserResponse, ServiceError> {
        let ScoreUserRequest { user_id, include_features, .. } = &self.request;
        let score = |served: &Model<B>| {
            let scored = backend.score(&served.model, &self.snapshot, &[user_id], self.as_of_us, *include_features);
            Ok(model_score(served, &checked(served, scored, 1)?, 0))
        };
        let scores = self.models.iter().map(score).collect::<Result<_, ServiceError>>()?;
        Ok(ScoreUserResponse { user_id: user_id.clone(), as_of: Some(timestamp(self.as_of_us)), scores })
    }
}
