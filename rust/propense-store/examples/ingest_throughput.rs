//! How many events a second a store acknowledges after a sync: `ingest_throughput FOLDER [SECONDS]`, in release.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use propense_store::{EventBatch, Store, StoreOptions, WriteError};

const SUBMITTERS: u64 = 8;
const BATCH: u64 = 1_000;

fn batch(first: u64) -> EventBatch {
    let mut batch = EventBatch::new();
    for event in first..first + BATCH {
        let user = format!("user-{:08}", event.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 47);
        let kind = ["view_item", "app_open", "purchase"][(event % 3) as usize];
        let row = batch.push_event(&user, 1_700_000_000_000_000 + event as i64 * 1_000, kind, None).unwrap();
        batch.set_number(row, "amount", (event % 997) as f64).unwrap();
        batch.set_text(row, "category", ["movie", "book", "game", "music"][(event % 4) as usize]).unwrap();
    }
    batch
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "throughput-store".to_owned()));
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(10);
    let store = Store::open(&folder, StoreOptions::default()).unwrap();
    let (next, acknowledged, busy) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..SUBMITTERS {
            scope.spawn(|| {
                while start.elapsed() < Duration::from_secs(seconds) {
                    let events = batch(next.fetch_add(BATCH, Ordering::Relaxed));
                    loop {
                        match store.ingest(events.clone()) {
                            Ok(receipt) => {
                                acknowledged.fetch_add(receipt.accepted, Ordering::Relaxed);
                                break;
                            }
                            Err(WriteError::Busy) => {
                                busy.fetch_add(1, Ordering::Relaxed);
                                thread::sleep(Duration::from_millis(2));
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
    });
    let took = start.elapsed().as_secs_f64();
    let events = acknowledged.into_inner();
    println!("{events} events in {took:.1} s: {:.0} a second; busy {}", events as f64 / took, busy.into_inner());
    println!("{:?}", store.stats());
}
