//! The events of a chunk that are in a selection, as lists of their places.

use super::chunk::{CHUNK_EVENTS, Chunk, room};
use super::keys::Member;

/// Where a list's events are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Source {
    /// Among all.
    All,
    /// Among those of one type, which have a bucket.
    Bucket(usize),
    /// No event type of the log is meant.
    Nothing,
}

/// The events of each type that a list is made of, as places from the newest.
#[derive(Default)]
pub(super) struct Buckets {
    places: Vec<[u8; CHUNK_EVENTS]>,
    lengths: Vec<u16>,
}

/// The places of all events.
static ALL: [u8; CHUNK_EVENTS] = {
    let mut places = [0; CHUNK_EVENTS];
    let mut place = 0;
    while place < CHUNK_EVENTS {
        places[place] = place as u8;
        place += 1;
    }
    places
};

impl Buckets {
    pub(super) fn new(buckets: usize) -> Self {
        Self { places: vec![[0; CHUNK_EVENTS]; buckets], lengths: vec![0; buckets] }
    }

    /// Puts every event into the bucket of its type.
    pub(super) fn fill(&mut self, of_type: &[u16], types: &[u32]) {
        self.lengths.fill(0);
        for (&place, &event_type) in ALL.iter().zip(types) {
            let bucket = usize::from(of_type[event_type as usize]);
            let length = &mut self.lengths[bucket];
            self.places[bucket][usize::from(*length)] = place;
            *length += 1;
        }
    }

    /// The events of a chunk that can be in a list.
    #[inline(always)]
    fn of(&self, source: Source, events: usize) -> &[u8] {
        match source {
            Source::All => &ALL[..events],
            Source::Bucket(bucket) => &self.places[bucket][..usize::from(self.lengths[bucket])],
            Source::Nothing => &[],
        }
    }

    /// The events of a chunk in a selection, newest first; `passed` is room for them if they have to be sorted out.
    pub(super) fn list<'a>(
        &'a self,
        source: Source,
        member: Option<&Member>,
        chunk: &Chunk,
        passed: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        let places = self.of(source, chunk.times_us().len());
        let Some(Member { key, takes }) = member else { return places };
        let classes = chunk.classes(*key);
        let passed = room(passed, places.len());
        let mut length = 0;
        for &place in places {
            passed[length] = place;
            // No branch: whether an event passes cannot be guessed.
            length += usize::from(takes[classes[usize::from(place)] as usize]);
        }
        &passed[..length]
    }
}
