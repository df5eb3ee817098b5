//! An open-loop load generator: calls start when they are due, whether or not earlier ones have been answered, and their
//! latency counts from when they were due. So a server that stalls is charged for every call that it made late.
//!
//! `cargo run --release --example load -- --address 127.0.0.1:50051 --mode unary --rate 2000 --users users.txt --model m`
//! prints one JSON object. `benches/load` drives it.

mod calls;
mod grpc;
mod outcomes;
mod pacer;
mod schedule;
mod settings;

use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::unbounded_channel;
use tokio::task::{LocalSet, spawn_local, yield_now};

use calls::Caller;
use outcomes::{Answer, Outcome, Outcomes};
use pacer::Pacer;
use schedule::Schedule;
use settings::Settings;

/// More calls than this under way at once are not made but counted as failed: memory is not without end either.
const MOST_UNDER_WAY: usize = 20_000;
/// After so many calls made in one go, as they were all late, those under way get their turn.
const IN_ONE_GO: usize = 16;

/// Everything is done on one thread: no call waits for another thread to wake up.
fn main() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_arguments(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run(settings))
}

async fn run(settings: Settings) -> Result<(), Box<dyn Error>> {
    let (caller, pacer) = (Rc::new(Caller::connect(&settings).await?), Pacer::new()?);
    let (sender, mut receiver) = unbounded_channel::<Outcome>();
    let warmup = Duration::from_secs_f64(settings.warmup_s);
    let measured_for = Duration::from_secs_f64(settings.seconds);
    let length = warmup + measured_for;
    let under_way = Rc::new(Cell::new(0));
    let start = Instant::now() + Duration::from_millis(50);
    for (number, due) in Schedule::new(settings.rate, settings.seed).take_while(|due| *due < length).enumerate() {
        pacer.wait_until(start + due).await?;
        if number % IN_ONE_GO == 0 {
            yield_now().await;
        }
        let (measured, lateness) = (due >= warmup, (start + due).elapsed());
        if under_way.get() >= MOST_UNDER_WAY {
            sender.send(Outcome { measured, lateness, latency: lateness, answer: Answer::Failed })?;
            continue;
        }
        under_way.set(under_way.get() + 1);
        let (caller, sender, under_way) = (Rc::clone(&caller), sender.clone(), Rc::clone(&under_way));
        spawn_local(async move {
            let answer = caller.call(number).await;
            let latency = (start + due).elapsed();
            under_way.set(under_way.get() - 1);
            // The receiver is gone only if the program ends.
            let _ = sender.send(Outcome { measured, lateness, latency, answer });
        });
    }
    drop(sender);
    let mut outcomes = Vec::new();
    while let Some(outcome) = receiver.recv().await {
        outcomes.push(outcome);
    }
    let elapsed = start.elapsed().saturating_sub(warmup).max(measured_for);
    let outcomes: Outcomes = outcomes.into_iter().filter(|outcome| outcome.measured).collect();
    println!("{}", outcomes.to_json(&settings, elapsed));
    Ok(())
}
