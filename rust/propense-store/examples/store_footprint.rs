//! How many bytes an event takes in a store, and how long it takes to gather one user's.
//!
//! `cargo run --release -p propense-store --example store_footprint -- [events] [users]`
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use propense_store::{ErasedUsers, EventBatch, LocalDisk, Memory, Snapshot};

const BATCH: usize = 50_000;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn batch(first: usize, events: usize, users: u64, random: &mut Random, with_ids: bool) -> EventBatch {
    let mut batch = EventBatch::new();
    for number in first..first + events {
        let id = with_ids.then(|| number.to_string());
        let event = ["view_item", "app_open", "purchase", "search"][random.below(4) as usize];
        let user = format!("user-{:08}", random.below(users));
        let row = batch.push_event(&user, number as i64 * 1_000_000, event, id.as_deref()).unwrap();
        batch.set_text(row, "category", &format!("category {}", random.below(40))).unwrap();
        batch.set_text(row, "country", ["GB", "DE", "FR"][random.below(3) as usize]).unwrap();
        if event == "purchase" {
            batch.set_number(row, "amount", random.below(10_000) as f64 / 100.0).unwrap();
        }
    }
    batch
}

/// A store whose events came evenly over so many sources, the last of them the active memtable.
fn store(events: usize, users: u64, sources: usize, with_ids: bool, folder: &Path) -> Memory {
    let memory = Memory::new(ErasedUsers::default(), 500_000);
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let (mut done, mut applying, mut sealing, mut bytes) = (0, 0.0, 0.0, 0);
    for source in 0..sources {
        let end = events * (source + 1) / sources;
        while done < end {
            let count = BATCH.min(end - done);
            let batch = batch(done, count, users, &mut random, with_ids);
            let start = Instant::now();
            memory.apply_events(&batch).unwrap();
            applying += start.elapsed().as_secs_f64();
            done += count;
        }
        bytes = memory.memtable_bytes().max(bytes);
        if source + 1 < sources || sources == 1 {
            let start = Instant::now();
            let frozen = memory.freeze().unwrap();
            let part = folder.join(format!("{source:06}"));
            memory.write_part(&[frozen], &LocalDisk, &part, &mut |_| ControlFlow::Continue(())).unwrap();
            memory.replace(&[frozen], Some(("part", &part))).unwrap();
            sealing += start.elapsed().as_secs_f64();
        }
    }
    let per_source = events / sources;
    println!(
        "{sources} sources: applied {:.0} k events/s; sealed {:.0} k events/s; memtable {:.1} B an event",
        events as f64 / applying / 1e3,
        events as f64 * (sources.max(2) - 1) as f64 / sources as f64 / sealing / 1e3,
        bytes as f64 / per_source as f64,
    );
    memory
}

fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) * 1024.0
}

/// The median time of gathering one user, microseconds.
fn gather_us(snapshot: &Snapshot, users: &[String]) -> f64 {
    let mut times: Vec<f64> = users
        .iter()
        .map(|user| {
            let start = Instant::now();
            black_box(snapshot.gather(&[user]).unwrap());
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>().unwrap());
    let events = arguments.next().unwrap_or(2_000_000);
    let users = arguments.next().unwrap_or(events / 100) as u64;
    for (sources, with_ids) in [(1, false), (1, true), (4, false), (10, false), (10, true)] {
        let folder = tempfile::tempdir().unwrap();
        let memory = store(events, users, sources, with_ids, folder.path());
        let snapshot = memory.snapshot();
        let all = snapshot.users_from(None, usize::MAX);
        let some: Vec<String> = all.iter().step_by((all.len() / 2_000).max(1)).cloned().collect();
        for user in &some {
            black_box(snapshot.gather(&[user]).unwrap());
        }
        let one = gather_us(&snapshot, &some);
        let ids: Vec<&str> = all.iter().take(10_000).map(String::as_str).collect();
        let start = Instant::now();
        let rows = snapshot.gather(&ids).unwrap().log.len();
        let many = start.elapsed().as_secs_f64();
        let mapped: u64 = memory.parts().iter().map(|part| part.mapped_bytes).sum();
        let sealed: u64 = memory.parts().iter().map(|part| part.events).sum();
        println!(
            "  ids: {with_ids}; one user of {:.0} events: {one:.1} µs; {} users: {:.0} M events/s; sealed: {:.1} B mapped + {:.2} B of its own an event",
            events as f64 / users as f64,
            ids.len(),
            rows as f64 / many / 1e6,
            mapped as f64 / sealed as f64,
            memory.index_bytes() as f64 / sealed as f64,
        );
        if sources == 1 {
            // A store opened anew: what it needs once every event has been read.
            let before = resident_bytes();
            let opened = Memory::new(ErasedUsers::default(), 0);
            let start = Instant::now();
            opened.add_part("part", &folder.path().join("000000")).unwrap();
            let opening = start.elapsed().as_secs_f64();
            let snapshot = opened.snapshot();
            for users in all.chunks(1_000) {
                let ids: Vec<&str> = users.iter().map(String::as_str).collect();
                black_box(snapshot.gather(&ids).unwrap());
            }
            let grown = resident_bytes() - before;
            println!("  opened in {opening:.2} s; resident after reading all: {:.1} B an event", grown / events as f64);
        }
    }
}
