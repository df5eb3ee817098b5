//! What live segments cost ingest: events a second that a store acknowledges after a sync, with and without twenty segments.
//!
//! ```text
//! cargo run --release --example segments_ingest -p propense-server -- FOLDER [SECONDS] [ROUNDS]
//! ```
//!
//! Two stores of the same 100,000 users with ten events each, alternately so many seconds each and so many rounds; medians.

#[path = "segments/filling.rs"]
mod filling;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use filling::{definitions, fill, random_event};
use propense_server::{Backend, LiveOptions, StoreBackend};
use propense_store::{EventBatch, Store, StoreOptions, WriteError};

type Failure = Box<dyn Error + Send + Sync>;

const USERS: u64 = 100_000;
const EVENTS_OF_USER: u64 = 10;
const SUBMITTERS: usize = 8;
const BATCH: u64 = 1_000;

fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("a folder is needed")?);
    let seconds = Duration::from_secs(arguments.next().map_or(Ok(5), |text| text.parse())?);
    let rounds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let (plain, observed) = (folder.join("plain"), folder.join("observed"));
    for store in [&plain, &observed] {
        if !store.exists() {
            fill(store, USERS, EVENTS_OF_USER, now_us())?;
        }
    }
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        without.push(without_segments(&plain, seconds, round)?);
        with.push(with_segments(&observed, seconds, round)?);
        println!(
            "round {round}: {:.0} events/s without, {:.0} with 20 segments",
            without[without.len() - 1],
            with[with.len() - 1]
        );
    }
    let (without, with) = (median(without), median(with));
    println!("median: {without:.0} events/s without, {with:.0} with 20 segments: {:.2} times as long", without / with);
    Ok(())
}

fn without_segments(folder: &Path, seconds: Duration, round: u64) -> Result<f64, Failure> {
    ingest(&Store::open(folder, StoreOptions::default())?, seconds, round)
}

fn with_segments(folder: &Path, seconds: Duration, round: u64) -> Result<f64, Failure> {
    let backend = StoreBackend::open(folder, StoreOptions::default(), LiveOptions::default())?;
    backend.serve_models(&[])?;
    let live = backend.segments().ok_or("no segments")?;
    live.put(definitions(0))?;
    live.catch_up()?;
    ingest(live.store(), seconds, round)
}

/// Events a second.
fn ingest(store: &Store, seconds: Duration, round: u64) -> Result<f64, Failure> {
    let (next, acknowledged) = (AtomicU64::new(round << 40), AtomicU64::new(0));
    let began = Instant::now();
    let submit = || -> Result<(), WriteError> {
        while began.elapsed() < seconds {
            let first = next.fetch_add(BATCH, Relaxed);
            let mut events = EventBatch::new();
            (first..first + BATCH).for_each(|number| random_event(&mut events, USERS, number, now_us()));
            loop {
                match store.ingest(events.clone()) {
                    Ok(receipt) => {
                        acknowledged.fetch_add(receipt.accepted, Relaxed);
                        break;
                    }
                    Err(WriteError::Busy) => thread::sleep(Duration::from_millis(2)),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let submitters: Vec<_> = (0..SUBMITTERS).map(|_| scope.spawn(submit)).collect();
        submitters
            .into_iter()
            .try_for_each(|submitter| submitter.join().map_err(|_| "a submitter panicked")?.map_err(Failure::from))
    })?;
    Ok(acknowledged.into_inner() as f64 / began.elapsed().as_secs_f64())
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}
