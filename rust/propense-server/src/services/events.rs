//! Events in.

use std::sync::Arc;

use propense_store::EventBatch;
use tonic::{Request, Response, Status, Streaming};

use crate::backend::Backend;
use crate::batches::{batch_of, batch_of_arrow};
use crate::computing::compute;
use crate::error::ServiceError;
use crate::proto::event_service_server::EventService;
use crate::proto::{IngestEventsRequest, IngestEventsResponse, StreamEventsRequest};
use crate::services::stream_events::{Acknowledgements, stream_events};
use crate::services::{held, submit, written};
use crate::state::State;
use crate::status::Rows;
use propense_store::Write;

/// Up to so many bytes of a message are put into columns on the thread that read it; that takes well under a
/// millisecond.
const SMALL_BYTES: usize = 32 << 10;

pub(crate) struct Events<B: Backend>(pub(crate) Arc<State<B>>);

/// A request's events in columns.
pub(super) fn columns_of(request: &IngestEventsRequest, text_limit: usize) -> Result<EventBatch, ServiceError> {
    match (request.events.is_empty(), request.arrow_ipc.is_empty()) {
        (_, true) => batch_of(&request.events),
        (true, false) => batch_of_arrow(request.arrow_ipc.clone(), text_limit),
        (false, false) => Err(ServiceError::invalid("arrow_ipc", "expected either this or `events`, not both")),
    }
}

/// Whether putting a request into columns is quick.
fn is_small(request: &IngestEventsRequest) -> bool {
    request.arrow_ipc.len() <= SMALL_BYTES && prost::Message::encoded_len(request) <= SMALL_BYTES
}

#[tonic::async_trait]
impl<B: Backend> EventService for Events<B> {
    async fn ingest_events(
        &self,
        request: Request<IngestEventsRequest>,
    ) -> Result<Response<IngestEventsResponse>, Status> {
        let held = held(request.extensions());
        let request = request.into_inner();
        let text_limit = self.0.limits.batch_bytes;
        let waiting = if is_small(&request) {
            submit(&self.0, Write::Events(columns_of(&request, text_limit)?), Rows::Events)?
        } else {
            let state = Arc::clone(&self.0);
            compute(held, move || submit(&state, Write::Events(columns_of(&request, text_limit)?), Rows::Events))
                .await?
        };
        let receipt = written(waiting, Rows::Events).await?;
        Ok(Response::new(IngestEventsResponse { receipt: Some(receipt) }))
    }

    type StreamEventsStream = Acknowledgements;

    async fn stream_events(
        &self,
        request: Request<Streaming<StreamEventsRequest>>,
    ) -> Result<Response<Self::StreamEventsStream>, Status> {
        self.0.backend()?;
        let held = held(request.extensions());
        Ok(Response::new(stream_events(Arc::clone(&self.0), held, request.into_inner())))
    }
}
