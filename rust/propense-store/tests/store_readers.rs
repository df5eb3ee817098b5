//! Readers beside the writer see whole batches, at any moment of sealing and merging.
#![allow(missing_docs, clippy::unwrap_used)]

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use propense_store::{ErasedUsers, EventBatch, LocalDisk, Memory, SourceId};

const EVENTS: i64 = 600;
const BATCHES: i64 = 40;
const PATIENCE: Duration = Duration::from_mins(1);

/// A batch of events of one user and another, later batches earlier in time.
fn batch(number: i64) -> EventBatch {
    let mut batch = EventBatch::new();
    for event in 0..EVENTS {
        let user = if event % 2 == 0 { "even" } else { "odd" };
        let row = batch.push_event(user, (BATCHES - number) * EVENTS + event, "view", None).unwrap();
        batch.set_text(row, "number", &format!("{}", number * EVENTS + event)).unwrap();
    }
    batch
}

#[test]
fn a_batch_is_seen_whole_or_not_at_all() {
    let memory = Memory::new(ErasedUsers::default(), 0);
    let folder = tempfile::tempdir().unwrap();
    let (done, looks) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut seen = 0;
                loop {
                    let is_last = done.load(Ordering::Acquire);
                    let snapshot = memory.snapshot();
                    let gathered = snapshot.gather(&["even", "odd"]).unwrap();
                    let events = gathered.log.len() as i64;
                    assert_eq!(events % EVENTS, 0);
                    assert_eq!(snapshot.event_count(), events as u64);
                    assert!(events >= seen);
                    seen = events;
                    let users = gathered.log.rows(0).len() as i64;
                    assert_eq!(users * 2, events);
                    // Every code that is there has a text, and every text its own event.
                    let shape = snapshot.shape().unwrap();
                    if let Some(column) = gathered.log.columns().first() {
                        let texts = &shape.columns()[0].dictionary;
                        assert_eq!(texts.len() as i64, events);
                        assert!(
                            (0..gathered.log.len()).all(|row| (column.cells.code(row).unwrap() as usize) < texts.len())
                        );
                        assert_eq!(gathered.sizes.properties, [texts.len()]);
                    }
                    assert_eq!(snapshot.users_from(None, 3).len() as u64, snapshot.user_count());
                    looks.fetch_add(1, Ordering::Relaxed);
                    if is_last {
                        assert_eq!(events, EVENTS * BATCHES);
                        return;
                    }
                }
            });
        }
        let put = |sources: &[SourceId], name: &str| {
            let path = folder.path().join(name);
            assert!(memory.write_part(sources, &LocalDisk, &path, &mut |_| ControlFlow::Continue(())).unwrap());
            memory.replace(sources, Some((name, &path))).unwrap();
        };
        let began = Instant::now();
        for number in 0..BATCHES {
            // Some looks fall in between, however few threads run at a time.
            while looks.load(Ordering::Relaxed) < number.min(7) as u64 && began.elapsed() < PATIENCE {
                std::thread::yield_now();
            }
            let applied = memory.apply_events(&batch(number)).unwrap();
            assert_eq!((applied.accepted, applied.duplicates), (EVENTS as u64, 0));
            let applied = memory.apply_events(&batch(number / 2)).unwrap();
            assert_eq!((applied.accepted, applied.duplicates), (0, EVENTS as u64));
            if number % 9 == 4 {
                put(&[memory.freeze().unwrap()], &format!("sealed {number}"));
            }
            if number % 20 == 19 {
                let parts: Vec<SourceId> = memory.parts().iter().map(|part| part.id).collect();
                put(&parts, &format!("merged {number}"));
            }
        }
        done.store(true, Ordering::Release);
    });
    assert!(looks.load(Ordering::Relaxed) > 6);
    assert!(memory.replace(&[], None).is_err());
}
