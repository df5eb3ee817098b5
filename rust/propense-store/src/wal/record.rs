//! A record: a frame by which its bytes are known to be whole, and to be this log's.
//!
//! ```text
//! mark u32 | payload's length u32 | sequence u64 | CRC-32C u32 | payload
//! ```
//!
//! Little-endian. The checksum covers the salt of the file, length, sequence and payload. Mark and salt are drawn anew
//! for each file, so that no text that a caller sends can pass for a record.

/// Bytes before the payload.
pub(crate) const FRAME: usize = 20;
/// The longest payload.
pub(crate) const MAX_PAYLOAD: usize = u32::MAX as usize;

/// What the checksum and the mark of a file's records start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Salt(pub(crate) u64);

impl Salt {
    /// One that nobody can foretell.
    pub(crate) fn random() -> Self {
        use std::hash::BuildHasher;
        Self(std::hash::RandomState::new().hash_one(0))
    }

    /// The first bytes of each record; never zeros, which a file that was only lengthened is full of.
    fn mark(self) -> [u8; 4] {
        ((self.0 >> 32) as u32 | 1).to_le_bytes()
    }

    fn checksum(self, length: [u8; 4], sequence: [u8; 8], payload: &[u8]) -> u32 {
        let start = crc32c::crc32c(&self.0.to_le_bytes());
        let start = crc32c::crc32c_append(crc32c::crc32c_append(start, &length), &sequence);
        crc32c::crc32c_append(start, payload)
    }
}

/// A record in the making: room for the frame, then the payload.
#[derive(Debug)]
pub(crate) struct RecordBuffer {
    bytes: Vec<u8>,
}

impl RecordBuffer {
    /// Without a payload.
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; FRAME] }
    }

    /// Where the payload grows; what is there already must stay.
    pub(crate) fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// How long the payload is.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.bytes.len() - FRAME
    }

    /// Forgets what was added since the payload had this length.
    pub(crate) fn shorten(&mut self, payload_bytes: usize) {
        self.bytes.truncate(FRAME + payload_bytes);
    }

    /// The whole record; nothing for a payload that is too long.
    pub(crate) fn seal(&mut self, salt: Salt, sequence: u64) -> Option<&[u8]> {
        if self.payload_bytes() > MAX_PAYLOAD {
            return None;
        }
        let length = (self.payload_bytes() as u32).to_le_bytes();
        let sequence = sequence.to_le_bytes();
        let checksum = salt.checksum(length, sequence, &self.bytes[FRAME..]);
        self.bytes[..4].copy_from_slice(&salt.mark());
        self.bytes[4..8].copy_from_slice(&length);
        self.bytes[8..16].copy_from_slice(&sequence);
        self.bytes[16..20].copy_from_slice(&checksum.to_le_bytes());
        Some(&self.bytes)
    }
}

/// A record as it stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) sequence: u64,
    pub(crate) payload: &'a [u8],
    /// Where the next one begins.
    pub(crate) end: usize,
}

/// The record at a place of a file, if one stands there whole.
pub(crate) fn record_at(bytes: &[u8], place: usize, salt: Salt) -> Option<Record<'_>> {
    let frame = bytes.get(place..place.checked_add(FRAME)?)?;
    if frame[..4] != salt.mark() {
        return None;
    }
    let (length, sequence, checksum) = (array(&frame[4..8]), array(&frame[8..16]), array(&frame[16..20]));
    let start = place + FRAME;
    let end = start.checked_add(u32::from_le_bytes(length) as usize)?;
    let payload = bytes.get(start..end)?;
    if payload.len() > MAX_PAYLOAD || salt.checksum(length, sequence, payload) != u32::from_le_bytes(checksum) {
        return None;
    }
    Some(Record { sequence: u64::from_le_bytes(sequence), payload, end })
}

/// Where the next whole record begins, at this place or later.
pub(crate) fn next_record(bytes: &[u8], from: usize, salt: Salt) -> Option<usize> {
    let mark = salt.mark();
    let rest = bytes.get(from..)?;
    let places = rest.windows(mark.len()).enumerate().filter(|(_, window)| **window == mark);
    places.map(|(place, _)| from + place).find(|&place| record_at(bytes, place, salt).is_some())
}

/// A slice whose length is known to fit.
pub(crate) fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|place| bytes[place])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(payload: &[u8], sequence: u64) -> Vec<u8> {
        let mut record = RecordBuffer::new();
        record.payload().extend_from_slice(payload);
        record.seal(Salt(7), sequence).unwrap().to_vec()
    }

    #[test]
    fn a_record_is_read_back_only_with_its_salt_and_whole() {
        let bytes = sealed(b"payload", 41);
        let expected = Record { sequence: 41, payload: b"payload", end: bytes.len() };
        assert_eq!(record_at(&bytes, 0, Salt(7)), Some(expected));
        assert_eq!(record_at(&bytes, 0, Salt(8)), None);
        for length in 0..bytes.len() {
            assert_eq!(record_at(&bytes[..length], 0, Salt(7)), None);
        }
        for place in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[place / 8] ^= 1 << (place % 8);
            assert_eq!(record_at(&flipped, 0, Salt(7)), None, "bit {place}");
        }
    }

    #[test]
    fn the_next_record_is_found_behind_bytes_that_are_none() {
        let mut bytes = vec![0; 100];
        bytes.extend_from_slice(&Salt(7).mark());
        assert_eq!(next_record(&bytes, 0, Salt(7)), None);
        bytes.extend_from_slice(&sealed(b"", 1));
        assert_eq!(next_record(&bytes, 0, Salt(7)), Some(104));
        assert_eq!(next_record(&bytes, 105, Salt(7)), None);
        assert_eq!(next_record(&bytes, 1_000, Salt(7)), None);
    }
}
