//! Single users: read, write, export, erase.

use std::sync::Arc;

use propense_core::events::EventLog;
use prost::Message;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::backend::{Backend, Snapshot};
use crate::batches::{check_user_id, event_of, profile_of, profiles_of};
use crate::computing::compute;
use crate::error::ServiceError;
use crate::instants::timestamp;
use crate::proto::user_service_server::UserService;
use crate::proto::{
    EraseUserRequest, EraseUserResponse, Event, ExportUserRequest, ExportUserResponse, GetUserRequest, GetUserResponse,
    PutProfilesRequest, PutProfilesResponse,
};
use crate::services::answers::Answers;
use crate::services::{MESSAGE_BYTES, held, submit, written};
use crate::state::State;
use crate::status::Rows;
use propense_store::Write;

/// Events in one message of an export, fewer where they are long: the one that reaches [`MESSAGE_BYTES`] is its last.
const EXPORT_ROWS: usize = 1_000;

pub(crate) struct Users<B: Backend>(pub(crate) Arc<State<B>>);

/// A user's log, if the store knows the user.
fn gather<B: Backend>(state: &State<B>, user_id: &str) -> Result<EventLog, ServiceError> {
    check_user_id(user_id, || "user_id".to_owned())?;
    let snapshot = state.backend()?.snapshot();
    if !snapshot.has_user(user_id) {
        return Err(ServiceError::UserUnknown { path: "user_id".to_owned() });
    }
    let unfit = |_| ServiceError::Internal { problem: "the store's events do not make a log" };
    snapshot.gather(&[user_id]).map_err(unfit)
}

/// As many of a user's events from a row on as go into one message.
fn next_events(log: &EventLog, first: usize, user_id: &str) -> Vec<Event> {
    let (mut events, mut bytes) = (Vec::new(), 0);
    for row in first..log.len().min(first + EXPORT_ROWS) {
        let event = event_of(log, row, user_id);
        bytes += event.encoded_len();
        events.push(event);
        if bytes >= MESSAGE_BYTES {
            break;
        }
    }
    events
}

#[tonic::async_trait]
impl<B: Backend> UserService for Users<B> {
    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<GetUserResponse>, Status> {
        let held = held(request.extensions());
        let GetUserRequest { user_id } = request.into_inner();
        let state = Arc::clone(&self.0);
        let found = compute(held, move || {
            let log = gather(&state, &user_id)?;
            let times = log.time_us();
            Ok(GetUserResponse {
                profile: Some(profile_of(&log, 0, &user_id)),
                events: times.len() as u64,
                first_event_time: times.first().copied().map(timestamp),
                last_event_time: times.last().copied().map(timestamp),
            })
        });
        Ok(Response::new(found.await?))
    }

    async fn put_profiles(
        &self,
        request: Request<PutProfilesRequest>,
    ) -> Result<Response<PutProfilesResponse>, Status> {
        let held = held(request.extensions());
        let profiles = request.into_inner().profiles;
        let state = Arc::clone(&self.0);
        let waiting =
            compute(held, move || submit(&state, Write::Profiles(profiles_of(&profiles)?), Rows::Profiles)).await?;
        let receipt = written(waiting, Rows::Profiles).await?;
        Ok(Response::new(PutProfilesResponse { receipt: Some(receipt) }))
    }

    type ExportUserStream = ReceiverStream<Result<ExportUserResponse, Status>>;

    async fn export_user(
        &self,
        request: Request<ExportUserRequest>,
    ) -> Result<Response<Self::ExportUserStream>, Status> {
        let held = held(request.extensions());
        let ExportUserRequest { user_id } = request.into_inner();
        let (state, user) = (Arc::clone(&self.0), user_id.clone());
        let log = compute(held.clone(), move || gather(&state, &user)).await?;
        let (mut answers, export) = Answers::new(1, self.0.limits.stalled_reader);
        tokio::spawn(async move {
            let _held = held;
            let mut first = 0;
            loop {
                let profile = (first == 0).then(|| profile_of(&log, 0, &user_id));
                let events = next_events(&log, first, &user_id);
                first += events.len();
                if !answers.send(ExportUserResponse { profile, events }).await || first == log.len() {
                    return;
                }
            }
        });
        Ok(Response::new(export))
    }

    async fn erase_user(&self, request: Request<EraseUserRequest>) -> Result<Response<EraseUserResponse>, Status> {
        let EraseUserRequest { user_id } = request.into_inner();
        check_user_id(&user_id, || "user_id".to_owned())?;
        let waiting = submit(&self.0, Write::Erase(user_id), Rows::Profiles)?;
        let receipt = written(waiting, Rows::Profiles).await?;
        Ok(Response::new(EraseUserResponse { receipt: Some(receipt) }))
    }
}
