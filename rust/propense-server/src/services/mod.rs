//! The services, one file each, and what they share.

mod answers;
mod events;
mod explain;
mod health;
mod models;
mod one_user;
mod scoring;
mod segments;
mod stream_events;
mod users;
mod watch;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use prost::Message;
use tokio::sync::oneshot;
use tonic::service::{Routes, RoutesBuilder};
use tonic::{Extensions, Response};

use crate::backend::Backend;
use crate::error::ServiceError;
use crate::limits::Held;
use crate::proto;
use crate::proto::event_service_server::EventServiceServer;
use crate::proto::model_service_server::ModelServiceServer;
use crate::proto::scoring_service_server::ScoringServiceServer;
use crate::proto::segment_service_server::SegmentServiceServer;
use crate::proto::user_service_server::UserServiceServer;
use crate::state::State;
use crate::status::{Rows, of_write};
use propense_store::{Receipt, Write};

pub(crate) use health::Health;
use health::{HealthService, add_reflection};

/// Bytes of a message of a stream, about. A few messages of each stream may wait for a reader who does not read.
const MESSAGE_BYTES: usize = 128 << 10;

/// How many of some ids, one at least, make a message.
fn ids_of_a_message(ids: &[String]) -> usize {
    /// What goes with an id, about.
    const BESIDE: usize = 16;
    let mut bytes = 0;
    let fits = |id: &&String| {
        bytes += id.len() + BESIDE;
        bytes <= MESSAGE_BYTES
    };
    ids.iter().take_while(fits).count().max(1)
}

/// An answer that may be large, with its share of the memory for such answers.
fn large_answer<B: Backend, T: Message>(state: &State<B>, answer: T, rows: usize) -> Result<Response<T>, ServiceError> {
    /// What a row takes besides what it holds, about.
    const ROW_BYTES: usize = 256;
    let unread = state.answer_memory.take(2 * answer.encoded_len() + rows * ROW_BYTES)?;
    let mut response = Response::new(answer);
    response.extensions_mut().insert(unread);
    Ok(response)
}

/// All services of a server. How large a request may be is seen to before they are reached.
pub(crate) fn routes<B: Backend>(state: &Arc<State<B>>, health: HealthService) -> Routes {
    let limit = state.limits.batch_bytes;
    let mut routes = RoutesBuilder::default();
    let scoring = scoring::Scoring(Arc::clone(state));
    routes.add_service(ScoringServiceServer::new(scoring).max_decoding_message_size(limit));
    let events = events::Events(Arc::clone(state));
    routes.add_service(EventServiceServer::new(events).max_decoding_message_size(limit));
    let users = users::Users(Arc::clone(state));
    routes.add_service(UserServiceServer::new(users).max_decoding_message_size(limit));
    routes.add_service(ModelServiceServer::new(models::Models(Arc::clone(state))));
    routes.add_service(SegmentServiceServer::new(segments::Segments(Arc::clone(state))));
    health.add_to(&mut routes);
    add_reflection(&mut routes);
    routes.routes().prepare()
}

/// The place that a call holds; work that outlives the call keeps it until it is done.
fn held(extensions: &Extensions) -> Held {
    extensions.get::<Held>().cloned().unwrap_or_default()
}

/// What is to come of a write that the store has taken on.
type Written = oneshot::Receiver<Result<Receipt, propense_store::WriteError>>;

/// Hands a write to the store, whole: from here on it does not matter whether the caller stays.
fn submit<B: Backend>(state: &State<B>, write: Write, rows: Rows) -> Result<Written, ServiceError> {
    let (sender, receiver) = oneshot::channel();
    let metrics = Arc::clone(&state.metrics);
    let counts = matches!(write, Write::Events(_));
    let reply = move |written: Result<Receipt, _>| {
        if let (true, Ok(receipt)) = (counts, &written) {
            metrics.ingested.fetch_add(receipt.accepted, Relaxed);
            metrics.duplicates.fetch_add(receipt.duplicates, Relaxed);
        }
        let _ = sender.send(written);
    };
    state.backend()?.submit(write, Box::new(reply)).map_err(|error| of_write(error, rows))?;
    Ok(receiver)
}

/// Waits until a write is safe.
async fn written(receiver: Written, rows: Rows) -> Result<proto::Receipt, ServiceError> {
    let Receipt { sequence, accepted, duplicates, erased } = match receiver.await {
        Ok(written) => written.map_err(|error| of_write(error, rows))?,
        Err(_) => return Err(ServiceError::Stopping),
    };
    Ok(proto::Receipt { sequence, accepted, duplicates, erased })
}
