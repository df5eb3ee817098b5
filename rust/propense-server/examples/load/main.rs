//! An open-loop load generator: calls start when they are due, whether or not earlier ones have been answered, and their
//! latency counts from when they were due. So a server that stalls is charged for every call that it made late.
//!
//! `cargo run --release --example load -- --address 127.0.0.1:50051 --mode unary --rate 2000 --users users.txt --model m`
//! prints one JSON object. `benches/load` drives it.

mod calls;
mod outcomes;
mod schedule;
mod settings;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use calls::Caller;
use outcomes::{Answer, Outcome, Outcomes};
use schedule::Schedule;
use settings::Settings;

/// More calls than this under way at once are not made but counted as failed: memory is not without end either.
const MOST_UNDER_WAY: usize = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_arguments(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(settings.threads).enable_all().build()?;
    let caller = Arc::new(runtime.block_on(Caller::connect(&settings))?);
    let (sender, receiver) = mpsc::channel::<Outcome>();
    let warmup = Duration::from_secs_f64(settings.warmup_s);
    let measured_for = Duration::from_secs_f64(settings.seconds);
    let length = warmup + measured_for;
    let under_way = Arc::new(AtomicUsize::new(0));
    let start = Instant::now() + Duration::from_millis(50);
    // The calls are paced by this thread: the runtime's own clock ticks in milliseconds, too coarse here.
    for (number, due) in Schedule::new(settings.rate, settings.seed).take_while(|due| *due < length).enumerate() {
        std::thread::sleep((start + due).saturating_duration_since(Instant::now()));
        let measured = due >= warmup;
        if under_way.load(Ordering::Relaxed) >= MOST_UNDER_WAY {
            sender.send(Outcome { measured, latency: Duration::ZERO, answer: Answer::Failed })?;
            continue;
        }
        under_way.fetch_add(1, Ordering::Relaxed);
        let (caller, sender, under_way) = (Arc::clone(&caller), sender.clone(), Arc::clone(&under_way));
        runtime.spawn(async move {
            let answer = caller.call(number).await;
            let latency = (start + due).elapsed();
            under_way.fetch_sub(1, Ordering::Relaxed);
            // The receiver is gone only if the program ends.
            let _ = sender.send(Outcome { measured, latency, answer });
        });
    }
    drop(sender);
    let outcomes: Outcomes = receiver.into_iter().filter(|outcome| outcome.measured).collect();
    let elapsed = start.elapsed().saturating_sub(warmup).max(measured_for);
    println!("{}", outcomes.to_json(&settings, elapsed));
    Ok(())
}
