//! Batch after batch: read, hand to the store, acknowledge in the same order, with few under way at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::backend::Backend;
use crate::computing::compute;
use crate::error::ServiceError;
use crate::limits::Held;
use crate::proto::stream_events_response::Result as Outcome;
use crate::proto::{IngestEventsRequest, StreamEventsRequest, StreamEventsResponse};
use crate::services::answers::Answers;
use crate::services::events::columns_of;
use crate::services::{Written, submit, written};
use crate::state::State;
use crate::status::Rows;
use propense_store::Write;

/// While the store is behind, a batch of a stream waits; it is seen this often whether there is room,
const OFFER_AGAIN: Duration = Duration::from_millis(5);
/// and is refused after this long.
const OFFER_LIMIT: Duration = Duration::from_secs(10);

/// What goes back to the client.
pub(crate) type Acknowledgements = ReceiverStream<Result<StreamEventsResponse, Status>>;

/// What the reading task leaves for the acknowledging one.
enum Read {
    /// A batch: with the store, or refused.
    Batch(u64, Result<Written, ServiceError>),
    /// Nothing more is read, for this reason.
    End(Status),
}

/// Serves one stream. Its two tasks end when the client does, when the server stops, or when the client stops reading.
pub(super) fn stream_events<B: Backend>(
    state: Arc<State<B>>,
    held: Held,
    requests: Streaming<StreamEventsRequest>,
) -> Acknowledgements {
    // One batch is with the acknowledging task.
    let (sent, under_way) = mpsc::channel(state.limits.stream_window.max(2) - 1);
    let (answers, acknowledgements) = Answers::new(1, state.limits.stalled_reader);
    tokio::spawn(acknowledge(under_way, answers, held.clone()));
    tokio::spawn(read(state, held, requests, sent));
    acknowledgements
}

async fn read<B: Backend>(
    state: Arc<State<B>>,
    held: Held,
    mut requests: Streaming<StreamEventsRequest>,
    sent: mpsc::Sender<Read>,
) {
    let mut stopping = state.stopping.clone();
    // Room for a batch before it is read: a client that is too fast is slowed down.
    while let Ok(slot) = sent.reserve().await {
        let request = tokio::select! {
            request = requests.message() => request,
            () = sent.closed() => return,
            _ = stopping.wait_for(|stop| *stop) => return slot.send(Read::End(ServiceError::Stopping.into())),
        };
        match request {
            Ok(None) => return,
            Err(status) => return slot.send(Read::End(status)),
            Ok(Some(StreamEventsRequest { sequence, batch })) => {
                let outcome = offer(&state, &held, Arc::new(batch.unwrap_or_default())).await;
                slot.send(Read::Batch(sequence, outcome));
            }
        }
    }
}

/// Hands a batch to the store, as soon as its queue has room.
async fn offer<B: Backend>(
    state: &Arc<State<B>>,
    held: &Held,
    request: Arc<IngestEventsRequest>,
) -> Result<Written, ServiceError> {
    let until = Instant::now() + OFFER_LIMIT;
    let text_limit = state.limits.batch_bytes;
    loop {
        let request = Arc::clone(&request);
        let write = compute(held.clone(), move || Ok(Write::Events(columns_of(&request, text_limit)?))).await?;
        while !state.backend()?.has_room(&write) && Instant::now() < until {
            sleep(OFFER_AGAIN).await;
        }
        let offered_to = Arc::clone(state);
        // Others may have been quicker: then it is put into columns again.
        match compute(held.clone(), move || submit(&offered_to, write, Rows::Events)).await {
            Err(ServiceError::StoreBusy) if Instant::now() < until => {}
            offered => return offered,
        }
    }
}

async fn acknowledge(mut under_way: mpsc::Receiver<Read>, mut answers: Answers<StreamEventsResponse>, _held: Held) {
    while let Some(read) = under_way.recv().await {
        let (sequence, outcome) = match read {
            Read::End(status) => return answers.end(status),
            Read::Batch(sequence, outcome) => (sequence, outcome),
        };
        let outcome = match outcome {
            Ok(waiting) => written(waiting, Rows::Events).await,
            Err(error) => Err(error),
        };
        let result = outcome.map_or_else(|error| Outcome::Error(error.to_row()), Outcome::Receipt);
        if !answers.send(StreamEventsResponse { sequence, result: Some(result) }).await {
            return;
        }
    }
}
