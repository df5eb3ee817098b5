//! The payload of a record: the batches of one commit, one after the other.
//!
//! ```text
//! tag u8 | length u32 | batch      (1: events, 2: profiles)
//! ```

use crate::apply::Applied;
use crate::batch::{EventBatch, ProfileBatch};
use crate::batch_error::BatchProblem;
use crate::memory::Memory;
use crate::request::WriteError;
use crate::wal::record::{RecordBuffer, array};

const EVENTS: u8 = 1;
const PROFILES: u8 = 2;
/// Tag and length.
const HEAD: usize = 5;
/// The longest batch; with what one commit groups before it, a record still holds it.
const MAX_BATCH: usize = 2 << 30;

/// A batch on its way into memory.
pub(crate) enum Batch {
    Events(EventBatch),
    Profiles(ProfileBatch),
}

impl Batch {
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Events(batch) => batch.len(),
            Self::Profiles(batch) => batch.len(),
        }
    }

    /// Appends the batch to a record.
    pub(crate) fn encode(&self, record: &mut RecordBuffer) -> Result<(), WriteError> {
        let before = record.payload_bytes();
        let payload = record.payload();
        let start = payload.len();
        payload.push(if matches!(self, Self::Events(_)) { EVENTS } else { PROFILES });
        payload.extend_from_slice(&[0; 4]);
        match self {
            Self::Events(batch) => batch.encode(payload),
            Self::Profiles(batch) => batch.encode(payload),
        }
        let bytes = payload.len() - start - HEAD;
        if bytes > MAX_BATCH {
            record.shorten(before);
            return Err(BatchProblem::TooLarge.of_batch().into());
        }
        payload[start + 1..start + HEAD].copy_from_slice(&(bytes as u32).to_le_bytes());
        Ok(())
    }

    /// Puts the batch into memory.
    pub(crate) fn apply(&self, memory: &Memory) -> Result<Applied, crate::BatchError> {
        match self {
            Self::Events(batch) => memory.apply_events(batch),
            Self::Profiles(batch) => memory.apply_profiles(batch),
        }
    }
}

/// Gives each batch of a record.
///
/// # Errors
/// What is wrong with the payload, or what `each` says.
pub(crate) fn decode(payload: &[u8], each: &mut dyn FnMut(Batch) -> Result<(), String>) -> Result<(), String> {
    let mut rest = payload;
    while !rest.is_empty() {
        let (head, after) = rest.split_at_checked(HEAD).ok_or("a batch is cut short")?;
        let bytes = u32::from_le_bytes(array(&head[1..])) as usize;
        let (batch, after) = after.split_at_checked(bytes).ok_or("a batch is cut short")?;
        rest = after;
        let batch = match head[0] {
            EVENTS => EventBatch::decode(batch).map(Batch::Events),
            PROFILES => ProfileBatch::decode(batch).map(Batch::Profiles),
            tag => return Err(format!("a batch has the unknown tag {tag}")),
        };
        each(batch.map_err(|error| error.to_string())?)?;
    }
    Ok(())
}
