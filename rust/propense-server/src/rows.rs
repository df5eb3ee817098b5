//! Rows as callers send them, for a store that is filled without a server.

use bytes::Bytes;
use propense_store::{EventBatch, ProfileBatch};
use prost::Message;

use crate::batches::{batch_of_arrow, profiles_of};
use crate::error::ServiceError;
use crate::proto::PutProfilesRequest;

/// What `IngestEventsRequest.arrow_ipc` holds, checked as a call's.
///
/// # Errors
/// [`ServiceError::Invalid`] with the path of a field, such as `events[3].user_id`.
pub fn events_of_arrow(arrow_ipc: Bytes) -> Result<EventBatch, ServiceError> {
    batch_of_arrow(arrow_ipc, usize::MAX)
}

/// What a `PutProfilesRequest` holds, checked as a call's.
///
/// # Errors
/// [`ServiceError::Invalid`] with the path of a field, such as `profiles[3].user_id`.
pub fn profiles_of_request(request: &[u8]) -> Result<ProfileBatch, ServiceError> {
    let request = PutProfilesRequest::decode(request)
        .map_err(|_| ServiceError::invalid("profiles", "it is no PutProfilesRequest"))?;
    profiles_of(&request.profiles)
}
