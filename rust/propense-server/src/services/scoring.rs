//! Scores on demand.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::backend::{Backend, ModelError, Scored, ScoredUser, Snapshot};
use crate::batches::{arrow_of, batch_of, check_user_id, log_of, profiles_of};
use crate::computing::compute;
use crate::error::ServiceError;
use crate::instants::{as_of_us, timestamp};
use crate::methods::Class;
use crate::models::Served;
use crate::proto::scoring_service_server::ScoringService;
use crate::proto::{
    BatchScoreUsersRequest, BatchScoreUsersResponse, EventScores, ExplainUserRequest, ExplainUserResponse, Feature,
    ModelScore, Outcome, Score, ScoreEventsRequest, ScoreEventsResponse, ScoreUserRequest, ScoreUserResponse,
    StreamScoresRequest, StreamScoresResponse, Tier, UserScores,
};
use crate::services::answers::Answers;
use crate::services::explain::explain_user;
use crate::services::one_user::AboutOne;
use crate::services::{held, ids_of_a_message, large_answer};
use crate::state::State;
use crate::status::ok_row;

/// Users in one batch.
const BATCH_USERS: usize = 10_000;
/// Most rows of a message of a stream.
const STREAM_ROWS: usize = 4_096;
/// The most that the caller may ask for.
const STREAM_ROWS_LIMIT: usize = 65_536;

pub(crate) struct Scoring<B: Backend>(pub(crate) Arc<State<B>>);

pub(super) type Model<B> = Arc<Served<<B as Backend>::Model>>;

#[tonic::async_trait]
impl<B: Backend> ScoringService for Scoring<B> {
    /// One user's history is short as a rule, and then this is answered on the thread that read the request. A long one
    /// takes as long as a batch, and counts as one.
    async fn score_user(&self, request: Request<ScoreUserRequest>) -> Result<Response<ScoreUserResponse>, Status> {
        let state = Arc::clone(&self.0);
        let asked = AboutOne::new(&state, request.into_inner())?;
        let is_long = asked.is_long;
        let work = move || asked.answer(state.backend()?);
        if is_long {
            let place = self.0.room.take(Class::Batch)?;
            return Ok(Response::new(self.0.turns.compute(place, work).await?));
        }
        Ok(Response::new(work()?))
    }

    async fn batch_score_users(
        &self,
        request: Request<BatchScoreUsersRequest>,
    ) -> Result<Response<BatchScoreUsersResponse>, Status> {
        let (held, state) = (held(request.extensions()), Arc::clone(&self.0));
        let request = request.into_inner();
        let work = move || batch_score_users(&state, request);
        let answer = self.0.turns.compute(held, work).await?;
        let rows = answer.users.len();
        Ok(large_answer(&self.0, answer, rows)?)
    }

    async fn score_events(
        &self,
        request: Request<ScoreEventsRequest>,
    ) -> Result<Response<ScoreEventsResponse>, Status> {
        let (held, state) = (held(request.extensions()), Arc::clone(&self.0));
        let request = request.into_inner();
        let work = move || score_events(&state, &request);
        let answer = self.0.turns.compute(held, work).await?;
        let rows = answer.users.len();
        Ok(large_answer(&self.0, answer, rows)?)
    }

    /// A model's explainer is made when first asked for, which takes a moment.
    async fn explain_user(
        &self,
        request: Request<ExplainUserRequest>,
    ) -> Result<Response<ExplainUserResponse>, Status> {
        let (held, state) = (held(request.extensions()), Arc::clone(&self.0));
        let request = request.into_inner();
        Ok(Response::new(compute(held, move || explain_user(&state, request)).await?))
    }

    type StreamScoresStream = ReceiverStream<Result<StreamScoresResponse, Status>>;

    async fn stream_scores(
        &self,
        request: Request<StreamScoresRequest>,
    ) -> Result<Response<Self::StreamScoresStream>, Status> {
        let held = held(request.extensions());
        let (stream, turns) = (ScoreStream::of(&self.0, &request.into_inner())?, self.0.turns.clone());
        let (mut answers, scores) = Answers::new(1, self.0.limits.stalled_reader);
        tokio::spawn(async move {
            let mut stream = stream;
            // Between two pages of users, of whom none may qualify, it is seen whether anybody still reads.
            while !answers.is_closed() {
                let page = turns.compute(held.clone(), move || Ok((stream.page()?, stream))).await;
                let (page, next) = match page {
                    Ok(found) => found,
                    Err(error) => return answers.end(error.into()),
                };
                stream = next;
                match page {
                    Page::End => return,
                    Page::Nothing => {}
                    Page::Rows(message) => {
                        if !answers.send(message).await {
                            return;
                        }
                    }
                }
            }
        });
        Ok(Response::new(scores))
    }
}

fn batch_score_users<B: Backend>(
    state: &State<B>,
    request: BatchScoreUsersRequest,
) -> Result<BatchScoreUsersResponse, ServiceError> {
    let BatchScoreUsersRequest { user_ids, models, as_of } = request;
    let backend = state.backend()?;
    let found = user_ids.len();
    if !(1..=BATCH_USERS).contains(&found) {
        let problem = format!("expected 1 to {BATCH_USERS} ids, found {found}");
        return Err(ServiceError::invalid("user_ids", problem));
    }
    let as_of_us = as_of_us(as_of.as_ref(), &state.clock)?;
    let models = state.choose(&models)?;
    let snapshot = backend.snapshot();
    let status = |(place, id): (usize, &String)| {
        let path = || format!("user_ids[{place}]");
        check_user_id(id, path)?;
        if snapshot.has_user(id) { Ok(()) } else { Err(ServiceError::UserUnknown { path: path() }) }
    };
    let statuses: Vec<Result<(), ServiceError>> = user_ids.iter().enumerate().map(status).collect();
    let known = user_ids.iter().zip(&statuses).filter(|(_, status)| status.is_ok()).map(|(id, _)| id.as_str());
    let known: Vec<&str> = known.collect::<BTreeSet<_>>().into_iter().collect();
    let mut scored = Vec::with_capacity(models.len());
    for served in &models {
        let by_model = backend.score(&served.model, &snapshot, &known, as_of_us, false);
        scored.push(checked(served, by_model, known.len())?);
    }
    let places: HashMap<&str, usize> = known.iter().enumerate().map(|(place, id)| (*id, place)).collect();
    let scores_of = |id: &str| -> Vec<Score> {
        let place = places.get(id);
        place.map_or_else(Vec::new, |place| scored.iter().map(|scored| score_of(scored.users[*place])).collect())
    };
    let users = user_ids.iter().zip(statuses).map(|(id, status)| UserScores {
        user_id: id.clone(),
        scores: if status.is_ok() { scores_of(id) } else { Vec::new() },
        status: Some(status.map_or_else(|error| error.to_row(), |()| ok_row())),
    });
    let users = users.collect();
    let models = models.iter().map(|served| served.version.clone()).collect();
    Ok(BatchScoreUsersResponse { as_of: Some(timestamp(as_of_us)), models, users })
}

fn score_events<B: Backend>(
    state: &State<B>,
    request: &ScoreEventsRequest,
) -> Result<ScoreEventsResponse, ServiceError> {
    let backend = state.backend()?;
    let as_of_us = as_of_us(request.as_of.as_ref(), &state.clock)?;
    let models = state.choose(&request.models)?;
    if request.events.is_empty() {
        return Err(ServiceError::invalid("events", "expected at least one event"));
    }
    let (events, profiles) = (batch_of(&request.events)?, profiles_of(&request.profiles)?);
    let with_events: BTreeSet<&str> = request.events.iter().map(|event| event.user_id.as_str()).collect();
    let users: BTreeSet<&str> =
        with_events.iter().copied().chain(request.profiles.iter().map(|profile| profile.user_id.as_str())).collect();
    if users.len() > BATCH_USERS {
        let problem = format!("expected events of at most {BATCH_USERS} users, found {}", users.len());
        return Err(ServiceError::invalid("events", problem));
    }
    let log = log_of(&events, &profiles)?;
    let mut scored = Vec::with_capacity(models.len());
    for served in &models {
        let by_model = backend.score_log(&served.model, &log, as_of_us, request.include_features);
        scored.push(checked(served, by_model, with_events.len())?);
    }
    // The log holds the users with events, in this order; the others are in no audience.
    let mut place = 0;
    let nobody = Scored { users: vec![None], features: Vec::new() };
    let users = users.into_iter().map(|user| {
        let in_log = with_events.contains(user);
        let score = |(served, scored): (&Model<B>, &Scored)| {
            if in_log { model_score(served, scored, place) } else { model_score(served, &nobody, 0) }
        };
        let standings = models.iter().zip(&scored).map(score).collect();
        place += usize::from(in_log);
        EventScores { user_id: user.to_owned(), scores: standings }
    });
    let users = users.collect();
    let models = models.iter().map(|served| served.version.clone()).collect();
    Ok(ScoreEventsResponse { as_of: Some(timestamp(as_of_us)), models, users })
}

/// What a model says, if it can read what there is and spoke of every user.
pub(super) fn checked<M>(
    served: &Served<M>,
    scored: Result<Scored, ModelError>,
    users: usize,
) -> Result<Scored, ServiceError> {
    let model = served.version.name.clone();
    let scored = scored.map_err(|ModelError(problem)| ServiceError::ModelUnfit { model, problem })?;
    if scored.users.len() == users {
        return Ok(scored);
    }
    Err(ServiceError::Internal { problem: "a model did not score every user" })
}

pub(super) fn score_of(user: Option<ScoredUser>) -> Score {
    match user {
        None => Score { outcome: Outcome::NotInAudience.into(), ..Score::default() },
        Some(ScoredUser { score, percentile, tier }) => {
            Score { outcome: Outcome::Scored.into(), score, percentile, tier: tier.to_proto().into() }
        }
    }
}

pub(super) fn model_score<M>(served: &Served<M>, scored: &Scored, place: usize) -> ModelScore {
    let user = scored.users[place];
    let names = &served.description.features;
    let row = place * names.len()..(place + 1) * names.len();
    let values = user.and_then(|_| scored.features.get(row)).unwrap_or_default();
    let features = names.iter().zip(values).map(|(name, value)| Feature { name: name.clone(), value: *value });
    ModelScore { model: Some(served.version.clone()), score: Some(score_of(user)), features: features.collect() }
}

/// A model's audience, read batch by batch from one snapshot.
struct ScoreStream<B: Backend> {
    state: Arc<State<B>>,
    snapshot: B::Snapshot,
    served: Model<B>,
    as_of_us: i64,
    /// Which tiers are wanted, by their place; all if none was named.
    tiers: [bool; 3],
    rows: usize,
    after: Option<String>,
    any_sent: bool,
    done: bool,
}

/// What there is to say of some users of a stream.
enum Page {
    /// Those who qualify, or that there is nobody at all.
    Rows(StreamScoresResponse),
    /// None of them qualifies.
    Nothing,
    /// There are no more.
    End,
}

impl<B: Backend> ScoreStream<B> {
    fn of(state: &Arc<State<B>>, request: &StreamScoresRequest) -> Result<Self, ServiceError> {
        let backend = state.backend()?;
        let as_of_us = as_of_us(request.as_of.as_ref(), &state.clock)?;
        let served = state.model(&request.model, "model")?;
        let mut tiers = [request.tiers.is_empty(); 3];
        for (place, tier) in request.tiers.iter().enumerate() {
            let tier = match Tier::try_from(*tier) {
                Ok(Tier::LeastLikely) => 0,
                Ok(Tier::ModeratelyLikely) => 1,
                Ok(Tier::MostLikely) => 2,
                Ok(Tier::Unspecified) | Err(_) => {
                    return Err(ServiceError::invalid(format!("tiers[{place}]"), "not a tier"));
                }
            };
            tiers[tier] = true;
        }
        let rows = match request.batch_rows as usize {
            0 => STREAM_ROWS,
            rows if rows <= STREAM_ROWS_LIMIT => rows.min(STREAM_ROWS),
            rows => {
                let problem = format!("expected at most {STREAM_ROWS_LIMIT}, found {rows}");
                return Err(ServiceError::invalid("batch_rows", problem));
            }
        };
        let (state, snapshot) = (Arc::clone(state), backend.snapshot());
        Ok(Self { state, snapshot, served, as_of_us, tiers, rows, after: None, any_sent: false, done: false })
    }

    /// What there is to say of the next users.
    fn page(&mut self) -> Result<Page, ServiceError> {
        let rows = if self.done { Vec::new() } else { self.next_rows()? };
        if rows.is_empty() && !self.done {
            return Ok(Page::Nothing);
        }
        if rows.is_empty() && self.any_sent {
            return Ok(Page::End);
        }
        self.any_sent = true;
        Ok(Page::Rows(StreamScoresResponse {
            arrow_ipc: arrow_of(&rows)?,
            rows: rows.len() as u32,
            model: Some(self.served.version.clone()),
            as_of: Some(timestamp(self.as_of_us)),
        }))
    }

    fn next_rows(&mut self) -> Result<Vec<(String, ScoredUser)>, ServiceError> {
        let mut users = self.snapshot.users_from(self.after.as_deref(), self.rows);
        self.done = users.len() < self.rows;
        let fitting = ids_of_a_message(&users);
        if fitting < users.len() {
            users.truncate(fitting);
            self.done = false;
        }
        self.after = users.last().cloned();
        let ids: Vec<&str> = users.iter().map(String::as_str).collect();
        let backend = self.state.backend()?;
        let scored = backend.score(&self.served.model, &self.snapshot, &ids, self.as_of_us, false);
        let scored = checked(&self.served, scored, users.len())?;
        let wanted = |(user, scored): (String, Option<ScoredUser>)| {
            scored.filter(|scored| self.tiers[scored.tier as usize]).map(|scored| (user, scored))
        };
        Ok(users.into_iter().zip(scored.users).filter_map(wanted).collect())
    }
}
