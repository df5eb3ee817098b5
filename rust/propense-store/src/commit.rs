//! The payload of a record: the batches of one commit, one after the other, and the notes on what follows from them.
//!
//! ```text
//! tag u8 | length u32 | batch      (1: events, 2: profiles)
//! 3      | length u32 | number of the note u64 | position u64 | payload
//! ```

use crate::apply::Applied;
use crate::batch::{EventBatch, ProfileBatch};
use crate::batch_error::BatchProblem;
use crate::error::StoreError;
use crate::memory::Memory;
use crate::observer::Note;
use crate::request::WriteError;
use crate::staging::Staging;
use crate::texts::Texts;
use crate::wal::record::{RecordBuffer, array};

const EVENTS: u8 = 1;
const PROFILES: u8 = 2;
const NOTE: u8 = 3;
/// Tag and length.
const HEAD: usize = 5;
/// Number and position.
const NOTE_HEAD: usize = 16;
/// The longest batch; with what one commit groups before it, a record still holds it.
const MAX_BATCH: usize = 2 << 30;
/// The longest note.
const MAX_NOTE: usize = 1 << 30;

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

    /// Puts the batch where nobody but the observer sees it.
    pub(crate) fn stage(&self, memory: &Memory, staging: &mut Staging) -> Result<Applied, crate::BatchError> {
        match self {
            Self::Events(batch) => memory.stage_events(staging, batch),
            Self::Profiles(batch) => memory.stage_profiles(staging, batch),
        }
    }

    /// The users of the rows.
    pub(crate) fn users(&self) -> &Texts {
        match self {
            Self::Events(batch) => &batch.user_ids,
            Self::Profiles(batch) => &batch.user_ids,
        }
    }
}

/// What a record holds.
pub(crate) enum Item<'a> {
    Batch(Batch),
    Note { number: u64, position: u64, payload: &'a [u8] },
}

/// Appends a note to a record.
///
/// # Errors
/// It is too long.
pub(crate) fn encode_note(record: &mut RecordBuffer, number: u64, note: &Note) -> Result<(), WriteError> {
    if note.payload.len() > MAX_NOTE {
        let source = std::io::ErrorKind::FileTooLarge.into();
        return Err(StoreError::Write { path: "a note".into(), source }.into());
    }
    let payload = record.payload();
    payload.push(NOTE);
    payload.extend_from_slice(&((NOTE_HEAD + note.payload.len()) as u32).to_le_bytes());
    payload.extend_from_slice(&number.to_le_bytes());
    payload.extend_from_slice(&note.position.to_le_bytes());
    payload.extend_from_slice(&note.payload);
    Ok(())
}

/// A payload without its notes.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn without_notes(payload: &[u8]) -> Result<Vec<u8>, String> {
    let (mut rest, mut kept) = (payload, Vec::new());
    while !rest.is_empty() {
        let (head, after) = rest.split_at_checked(HEAD).ok_or("a batch is cut short")?;
        let bytes = u32::from_le_bytes(array(&head[1..])) as usize;
        let (item, after) = after.split_at_checked(bytes).ok_or("a batch is cut short")?;
        if head[0] != NOTE {
            kept.extend_from_slice(head);
            kept.extend_from_slice(item);
        }
        rest = after;
    }
    Ok(kept)
}

/// Gives each batch and note of a record.
///
/// # Errors
/// What is wrong with the payload, or what `each` says.
pub(crate) fn decode(payload: &[u8], each: &mut dyn FnMut(Item<'_>) -> Result<(), String>) -> Result<(), String> {
    let mut rest = payload;
    while !rest.is_empty() {
        let (head, after) = rest.split_at_checked(HEAD).ok_or("a batch is cut short")?;
        let bytes = u32::from_le_bytes(array(&head[1..])) as usize;
        let (batch, after) = after.split_at_checked(bytes).ok_or("a batch is cut short")?;
        rest = after;
        let batch = match head[0] {
            EVENTS => EventBatch::decode(batch).map(Batch::Events),
            PROFILES => ProfileBatch::decode(batch).map(Batch::Profiles),
            NOTE => {
                let (head, payload) = batch.split_at_checked(NOTE_HEAD).ok_or("a note is cut short")?;
                let field = |start: usize| u64::from_le_bytes(array(&head[start..start + 8]));
                each(Item::Note { number: field(0), position: field(8), payload })?;
                continue;
            }
            tag => return Err(format!("a batch has the unknown tag {tag}")),
        };
        each(Item::Batch(batch.map_err(|error| error.to_string())?))?;
    }
    Ok(())
}
