//! Bytes that are no batch are refused, and never crash or ask for more memory than they are long.
#![allow(missing_docs, clippy::unwrap_used)]

use propense_store::{BatchProblem, ErasedUsers, EventBatch, Memory, ProfileBatch};
use proptest::prelude::*;

fn some_batch() -> EventBatch {
    let mut batch = EventBatch::new();
    for number in 0..40_i32 {
        let id = (number % 3 == 0).then(|| number.to_string());
        let row = batch
            .push_event(&format!("ü{}", number % 7), i64::from(number) * 1_000_003, "view", id.as_deref())
            .unwrap();
        batch.set_text(row, "category", ["é", "b", ""][number as usize % 3]).unwrap();
        if number % 2 == 0 {
            batch.set_number(row, "amount", f64::from(number) / 3.0).unwrap();
            batch.set_boolean(row, "is_gift", number % 4 == 0).unwrap();
            batch.set_time(row, "due", number.into()).unwrap();
        }
    }
    batch
}

fn encoded(batch: &EventBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    batch.encode(&mut bytes);
    bytes
}

/// Whatever decodes can be applied, or is refused for what it says.
fn take(bytes: &[u8]) {
    if let Ok(batch) = EventBatch::decode(bytes) {
        batch.validate().unwrap();
        let memory = Memory::new(ErasedUsers::default(), 0);
        let applied = memory.apply_events(&batch).unwrap();
        assert_eq!(applied.accepted + applied.duplicates, batch.len() as u64);
        let again = memory.apply_events(&batch).unwrap();
        assert_eq!((again.accepted, again.duplicates), (0, batch.len() as u64));
        let snapshot = memory.snapshot();
        let users = snapshot.users_from(None, usize::MAX);
        let ids: Vec<&str> = users.iter().map(String::as_str).collect();
        assert_eq!(snapshot.gather(&ids).unwrap().log.len() as u64, applied.accepted);
        assert_eq!(EventBatch::decode(&encoded(&batch)).unwrap(), batch);
    }
    if let Ok(batch) = ProfileBatch::decode(bytes) {
        let applied = Memory::new(ErasedUsers::default(), 0).apply_profiles(&batch).unwrap();
        assert_eq!(applied.accepted, batch.len() as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_crash(mut bytes in prop::collection::vec(any::<u8>(), 0..300), is_versioned: bool) {
        if let (true, Some(first)) = (is_versioned, bytes.first_mut()) {
            *first = 1;
        }
        take(&bytes);
    }

    #[test]
    fn changed_batches_never_crash(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..5_u8), 1..4)) {
        let mut bytes = encoded(&some_batch());
        for (place, value, how) in changes {
            let at = place.index(bytes.len());
            match how {
                0 => bytes[at] = value,
                1 => bytes[at] ^= 1 << (value % 8),
                2 => bytes.truncate(at.max(1)),
                3 => bytes.insert(at, value),
                _ => drop(bytes.remove(at)),
            }
            if bytes.is_empty() {
                bytes.push(value);
            }
        }
        take(&bytes);
    }
}

#[test]
fn every_cut_is_refused() {
    let bytes = encoded(&some_batch());
    take(&bytes);
    for length in 0..bytes.len() {
        assert!(EventBatch::decode(&bytes[..length]).is_err(), "cut to {length} bytes");
    }
    assert!(EventBatch::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
}

#[test]
fn huge_counts_are_refused_without_memory() {
    let bytes = [&[1_u8][..], &u32::MAX.to_le_bytes(), &[0; 60]].concat();
    assert!(EventBatch::decode(&bytes).is_err());
    assert!(ProfileBatch::decode(&bytes).is_err());
}

#[test]
fn limits_are_kept() {
    let mut batch = EventBatch::new();
    let problem = |result: Result<usize, propense_store::BatchError>| result.unwrap_err().problem;
    assert_eq!(problem(batch.push_event("", 0, "e", None)), BatchProblem::UserIdLength { bytes: 0 });
    let long = "x".repeat(1025);
    assert_eq!(problem(batch.push_event(&long, 0, "e", None)), BatchProblem::UserIdLength { bytes: 1025 });
    assert_eq!(problem(batch.push_event("u", 0, "", None)), BatchProblem::EventTypeLength { bytes: 0 });
    assert_eq!(problem(batch.push_event("u", i64::MAX, "e", None)), BatchProblem::Time { time_us: i64::MAX });
    let row = batch.push_event(&long[..1024], propense_store::LATEST_US, &long[..256], Some("")).unwrap();
    assert_ne!(batch.event_id(row), 0);
    let problem = |result: Result<(), propense_store::BatchError>| result.unwrap_err();
    let text = "x".repeat(65_537);
    assert!(matches!(problem(batch.set_text(row, "p", &text)).problem, BatchProblem::TextLength { .. }));
    batch.set_text(row, "p", &text[1..]).unwrap();
    assert!(matches!(problem(batch.set_number(row, "p", 1.0)).problem, BatchProblem::Kind { .. }));
    assert!(matches!(problem(batch.set_number(row, "event_id_high", 1.0)).problem, BatchProblem::ReservedName { .. }));
    for number in 1..512 {
        batch.set_number(row, &format!("n{number}"), 1.0).unwrap();
    }
    assert_eq!(problem(batch.set_number(row, "one more", 1.0)).problem, BatchProblem::TooManyProperties);
    batch.validate().unwrap();
}

#[test]
fn a_conflict_of_kinds_refuses_the_batch_whole() {
    let memory = Memory::new(ErasedUsers::default(), 0);
    let mut first = EventBatch::new();
    let row = first.push_event("u", 0, "e", None).unwrap();
    first.set_number(row, "amount", 1.0).unwrap();
    let mut second = EventBatch::new();
    second.push_event("v", 0, "e", None).unwrap();
    let row = second.push_event("w", 0, "e", None).unwrap();
    second.set_text(row, "amount", "1").unwrap();
    second.set_text(row, "new", "1").unwrap();
    // In one commit, before either is applied.
    let mut new = propense_store::NewKinds::default();
    memory.check_events(&first, &mut new).unwrap();
    let error = memory.check_events(&second, &mut new).unwrap_err();
    assert_eq!(error.row, Some(1));
    assert!(error.to_string().starts_with("row 1: \"amount\" is text here but number in the store"), "{error}");
    memory.apply_events(&first).unwrap();
    assert_eq!(memory.apply_events(&second).unwrap_err(), error);
    assert!(!memory.snapshot().has_user("v"));
    assert_eq!(memory.snapshot().shape().unwrap().columns().len(), 1);
}

#[test]
fn a_few_values_far_down_do_not_fill_memory() {
    let mut batch = EventBatch::new();
    for number in 0..100_000 {
        batch.push_event("ü", number, "view", None).unwrap();
    }
    let refused = (0..512).find_map(|name| batch.set_number(99_999, &format!("p{name}"), 1.0).err()).unwrap();
    assert_eq!((refused.row, refused.problem), (Some(99_999), BatchProblem::TooManyCells));
    // What there is already can be filled.
    for row in 0..100_000 {
        batch.set_number(row, "p0", 2.0).unwrap();
    }
    batch.validate().unwrap();
}
