//! Which calls are taken on, and until when they may run.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::error::ServiceError;
use crate::methods::Class;
use crate::options::Limits;

/// A deadline further away than this is not kept; no clock needs to look that far.
const FAR: Duration = Duration::from_hours(365 * 24);

/// Room for calls, by class.
pub(crate) struct Room {
    quick: Arc<Semaphore>,
    write: Arc<Semaphore>,
    batch: Arc<Semaphore>,
    bulk: Arc<Semaphore>,
    watch: Arc<Semaphore>,
}

/// A place taken; it is free again when the last copy of this is dropped. Copies go to work that may outlive its call.
#[derive(Clone, Default)]
pub(crate) struct Held {
    _place: Option<Arc<OwnedSemaphorePermit>>,
}

impl Room {
    pub(crate) fn new(limits: &Limits) -> Self {
        let room = |places| Arc::new(Semaphore::new(places));
        Self {
            quick: room(limits.quick_calls),
            write: room(limits.write_calls),
            batch: room(limits.batch_calls),
            bulk: room(limits.bulk_calls),
            watch: room(limits.watch_calls),
        }
    }

    /// Takes a place at once or not at all: nobody waits in a queue without end.
    pub(crate) fn take(&self, class: Class) -> Result<Held, ServiceError> {
        let room = match class {
            Class::Free => return Ok(Held::default()),
            Class::Quick => &self.quick,
            Class::Write => &self.write,
            Class::Batch => &self.batch,
            Class::Bulk => &self.bulk,
            Class::Watch => &self.watch,
        };
        let place = Arc::clone(room).try_acquire_owned().map_err(|_| ServiceError::Overloaded)?;
        Ok(Held { _place: Some(Arc::new(place)) })
    }

    /// Places free, by class.
    pub(crate) fn free(&self) -> [(&'static str, usize); 4] {
        [("quick", &self.quick), ("write", &self.write), ("batch", &self.batch), ("bulk", &self.bulk)]
            .map(|(class, room)| (class, room.available_permits()))
    }
}

/// Memory of large answers that were made and are still to be read.
#[derive(Clone)]
pub(crate) struct AnswerMemory {
    units: Arc<Semaphore>,
    bytes: usize,
}

/// A part of it, which is free again when the answer was read or given up: when the last copy of this is dropped.
#[derive(Clone)]
pub(crate) struct Unread {
    _units: Arc<OwnedSemaphorePermit>,
}

impl AnswerMemory {
    /// Bytes that one unit of the count stands for.
    const UNIT_BYTES: usize = 1 << 10;

    pub(crate) fn new(limits: &Limits) -> Self {
        let bytes = limits.answer_memory;
        Self { units: Arc::new(Semaphore::new(bytes / Self::UNIT_BYTES)), bytes }
    }

    /// Takes so many bytes at once or not at all.
    pub(crate) fn take(&self, bytes: usize) -> Result<Unread, ServiceError> {
        if bytes > self.bytes {
            return Err(ServiceError::AnswerTooLarge { limit: self.bytes });
        }
        let units = (bytes / Self::UNIT_BYTES) as u32;
        let units = Arc::clone(&self.units).try_acquire_many_owned(units).map_err(|_| ServiceError::Overloaded)?;
        Ok(Unread { _units: Arc::new(units) })
    }
}

/// When the caller stops waiting; `None` if it did not say. A header that cannot be read is an error.
pub(crate) fn deadline(headers: &HeaderMap) -> Result<Option<Instant>, ServiceError> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    let timeout = value.to_str().ok().and_then(parse_timeout);
    let timeout = timeout.ok_or_else(|| {
        ServiceError::invalid("grpc-timeout", "expected up to 8 digits and a unit of H, M, S, m, u, n")
    })?;
    Ok((timeout < FAR).then(|| Instant::now() + timeout))
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_has_them() {
        let cases =
            [("5S", 5_000_000), ("100m", 100_000), ("250u", 250), ("1M", 60_000_000), ("99999999u", 99_999_999)];
        for (text, us) in cases {
            assert_eq!(parse_timeout(text), Some(Duration::from_micros(us)), "{text}");
        }
        for text in ["", "S", "5", "-5S", "5s", "123456789S", "5 S", "é", "5é"] {
            assert_eq!(parse_timeout(text), None, "{text}");
        }
    }
}
