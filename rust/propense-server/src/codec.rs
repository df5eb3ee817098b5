//! Messages from bytes, with a bound on how much larger than its bytes a message can become.

use bytes::Buf;
use prost::Message;
use prost::encoding::decode_varint;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use crate::error::ServiceError;

/// The most fields of one message, repeated ones counted each: twice the rows that any may have, so that who sends a few
/// too many is told of the rows.
const MOST_FIELDS: usize = 200_000;
/// What is shorter than this has fewer fields whatever it holds: each takes two bytes.
const SHORT_BYTES: usize = 2 * MOST_FIELDS;
/// A message within a message within a message: deeper, no field is repeated.
const DEPTH: usize = 3;

/// prost's codec for messages without too many fields. Two bytes of a repeated field that say nothing become a hundred
/// and more in memory; they are counted before anything is made of them.
pub(crate) struct BoundedCodec<T, U>(ProstCodec<T, U>);

/// Its decoder.
pub(crate) struct BoundedDecoder<U>(ProstDecoder<U>);

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self(ProstCodec::default())
    }
}

impl<T, U> Codec for BoundedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        self.0.encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(self.0.decoder())
    }
}

impl<U: Message + Default> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        if has_too_many_fields(bytes.chunk(), DEPTH) {
            return Err(ServiceError::TooManyFields { limit: MOST_FIELDS }.into());
        }
        self.0.decode(bytes)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

/// Whether bytes, read as a message, or any long part of them, have too many fields. What is no message, such as a text or
/// an Arrow stream, ends at its first byte that cannot be a field's.
fn has_too_many_fields(mut bytes: &[u8], depth: usize) -> bool {
    if bytes.len() < SHORT_BYTES || depth == 0 {
        return false;
    }
    for fields in 0.. {
        match next_field(&mut bytes) {
            None => return false,
            Some(_) if fields == MOST_FIELDS => return true,
            Some(part) if has_too_many_fields(part, depth - 1) => return true,
            Some(_) => {}
        }
    }
    false
}

/// Passes over a field and gives what a length stands before; none at the end, or where no field can be.
fn next_field<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let key = decode_varint(bytes).ok()?;
    let length = match key & 7 {
        0 => {
            decode_varint(bytes).ok()?;
            return Some(&[]);
        }
        // The ends of a group: what lies between them is counted as if it lay outside.
        3 | 4 => return Some(&[]),
        1 => 8,
        2 => usize::try_from(decode_varint(bytes).ok()?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (part, left) = bytes.split_at_checked(length)?;
    *bytes = left;
    Some(if key & 7 == 2 { part } else { &[] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Event, IngestEventsRequest, StreamEventsRequest};

    fn batch(events: usize) -> IngestEventsRequest {
        IngestEventsRequest { events: vec![Event::default(); events], ..IngestEventsRequest::default() }
    }

    fn refuses(message: &impl Message) -> bool {
        has_too_many_fields(&message.encode_to_vec(), DEPTH)
    }

    #[test]
    fn empty_messages_are_counted_wherever_they_are() {
        assert!(!refuses(&batch(MOST_FIELDS)));
        assert!(refuses(&batch(MOST_FIELDS + 1)));
        assert!(refuses(&StreamEventsRequest { sequence: 1, batch: Some(batch(MOST_FIELDS + 1)) }));
        assert!(!refuses(&StreamEventsRequest { sequence: 1, batch: Some(batch(MOST_FIELDS)) }));
        // A group of nothing before them, which prost passes over.
        let behind_a_group = [vec![0x7B, 0x7C], batch(MOST_FIELDS).encode_to_vec()].concat();
        assert!(IngestEventsRequest::decode(behind_a_group.as_slice()).is_ok());
        assert!(has_too_many_fields(&behind_a_group, DEPTH));
    }

    #[test]
    fn what_is_no_message_has_no_fields() {
        // As an Arrow stream begins, and as a text of fields of no length after a byte that is none.
        for first in [0xFF, 0x06] {
            let mut arrow_ipc = vec![first; 4];
            arrow_ipc.extend([0x0A, 0x00].repeat(MOST_FIELDS + 1));
            assert!(!refuses(&IngestEventsRequest { arrow_ipc: arrow_ipc.into(), ..IngestEventsRequest::default() }));
        }
    }

    #[test]
    fn no_bytes_lead_it_astray() {
        let whole = batch(MOST_FIELDS + 1).encode_to_vec();
        for cut in (0..whole.len()).step_by(50_021) {
            has_too_many_fields(&whole[cut..], DEPTH);
            has_too_many_fields(&whole[..cut], DEPTH);
        }
        let noise: Vec<u8> = (0_u64..1 << 20).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect();
        for start in 0..64 {
            has_too_many_fields(&noise[start..], DEPTH);
        }
    }
}
