//! Notes as bytes.
//!
//! ```text
//! note        = kind u8 | at_us | until_us | first number | base | names | users
//! kind        = 1: what changed; 2: the whole state
//! base        = length | JSON of `Base`, or nothing if it is as before
//! names       = count | (length | text)*                                    names of segments, used below by place
//! users       = count | user*
//! user        = length | id | skipped | transitions | lasting
//! transitions = count | (place * 2 + enter | cause u8 | time_us)*           numbered on from the first number
//! lasting     = count | (place | since_us)*                                 of segments that depend on who was in them
//! ```
//!
//! Numbers are LEB128, instants zigzag first. A user with an empty id is one who was erased: `skipped` is how many numbers
//! theirs were.

use std::sync::Arc;

use super::note::{Kind, Note, Step, UserNote};
use super::transition::{Cause, Transition};

impl Note {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer(vec![self.kind as u8]);
        out.instant(self.at_us);
        out.instant(self.until_us);
        out.number(self.first_number);
        // A map with text keys and plain values always serializes.
        let base = self.base.as_ref().and_then(|base| serde_json::to_vec(base).ok());
        out.bytes(&base.unwrap_or_default());
        out.number(self.names.len() as u64);
        self.names.iter().for_each(|name| out.bytes(name.as_bytes()));
        out.number(self.users.len() as u64);
        for user in &self.users {
            out.bytes(user.id.as_bytes());
            out.number(user.skipped);
            out.number(user.transitions.len() as u64);
            for step in &user.transitions {
                out.number(u64::from(step.segment) * 2 + u64::from(step.enter));
                out.0.push(step.cause as u8);
                out.instant(step.time_us);
            }
            out.number(user.lasting.len() as u64);
            for (segment, since_us) in &user.lasting {
                out.number(u64::from(*segment));
                out.instant(*since_us);
            }
        }
        out.0
    }

    /// # Errors
    /// What is wrong with the bytes.
    pub(super) fn decode(payload: &[u8]) -> Result<Self, String> {
        let mut from = Reader(payload);
        let kind = match from.byte()? {
            1 => Kind::Change,
            2 => Kind::Checkpoint,
            kind => return Err(format!("a note of the unknown kind {kind}")),
        };
        let (at_us, until_us, first_number) = (from.instant()?, from.instant()?, from.number()?);
        let base = match from.bytes()? {
            [] => None,
            json => Some(serde_json::from_slice(json).map_err(|error| format!("a note's segments: {error}"))?),
        };
        let names = from.list(Reader::text)?;
        let known = names.len();
        let users = from.list(|from| {
            let (id, skipped) = (from.text()?, from.number()?);
            let transitions = from.list(|from| from.step(known))?;
            let lasting = from.list(|from| Ok((from.place(known)?, from.instant()?)))?;
            Ok(UserNote { id, skipped, transitions, lasting })
        })?;
        if from.0.is_empty() {
            return Ok(Self { kind, at_us, until_us, first_number, base, names, users });
        }
        Err("a note is longer than it says".to_owned())
    }

    /// Of a note's bytes up to `limit` transitions after a number, as [`Self::transitions`] has them, and whether there are
    /// no more. What comes before is passed over: a note may tell of a hundred thousand, and its readers take some.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub(super) fn transitions_after(
        payload: &[u8],
        after: u64,
        limit: usize,
    ) -> Result<(Vec<Transition>, bool), String> {
        let (mut from, mut transitions) = (Reader(payload), Vec::new());
        if from.byte()? != Kind::Change as u8 {
            return Ok((transitions, true));
        }
        let (_at_us, _until_us, mut number) = (from.instant()?, from.instant()?, from.number()?);
        from.bytes()?;
        let names: Vec<Arc<str>> = from.list(|from| from.text().map(Arc::from))?;
        for _ in 0..from.number()? {
            let id = str::from_utf8(from.bytes()?).map_err(|_| "a note holds a text that is not UTF-8")?;
            number += from.number()?;
            let mut user: Option<Arc<str>> = None;
            for _ in 0..from.number()? {
                let Step { segment, enter, cause, time_us } = from.step(names.len())?;
                if number > after {
                    if transitions.len() == limit {
                        return Ok((transitions, false));
                    }
                    let user = Arc::clone(user.get_or_insert_with(|| Arc::from(id)));
                    let segment = Arc::clone(&names[segment as usize]);
                    transitions.push(Transition { number, user, segment, enter, time_us, cause });
                }
                number += 1;
            }
            for _ in 0..from.number()? {
                from.place(names.len())?;
                from.instant()?;
            }
        }
        Ok((transitions, true))
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn instant(&mut self, time_us: i64) {
        self.number(((time_us << 1) ^ (time_us >> 63)) as u64);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, String> {
        let (byte, rest) = self.0.split_first().ok_or("a note is cut short")?;
        self.0 = rest;
        Ok(*byte)
    }

    fn number(&mut self) -> Result<u64, String> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a note holds a number that is too long".to_owned())
    }

    fn instant(&mut self) -> Result<i64, String> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn bytes(&mut self) -> Result<&'a [u8], String> {
        let length = usize::try_from(self.number()?).map_err(|_| "a note is cut short")?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or("a note is cut short")?;
        self.0 = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<String, String> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| "a note holds a text that is not UTF-8".to_owned())
    }

    fn place(&mut self, known: usize) -> Result<u32, String> {
        let place = self.number()?;
        if place < known as u64 { Ok(place as u32) } else { Err("a note names a segment that it lacks".to_owned()) }
    }

    fn step(&mut self, known: usize) -> Result<Step, String> {
        let place = self.number()?;
        if place / 2 >= known as u64 {
            return Err("a note names a segment that it lacks".to_owned());
        }
        let cause = Cause::ALL.get(self.byte()? as usize).ok_or("a note holds an unknown cause")?;
        Ok(Step { segment: (place / 2) as u32, enter: place % 2 == 1, cause: *cause, time_us: self.instant()? })
    }

    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        let count = self.number()?;
        // No item is shorter than a byte: a count that is wrong must not take memory.
        let mut items = Vec::with_capacity(count.min(self.0.len() as u64) as usize);
        for _ in 0..count {
            items.push(one(self)?);
        }
        Ok(items)
    }
}
