//! Times the grouping of unsorted events: `group_timing KIND ROWS USERS BATCH_ROWS ROUNDS [shuffled|ordered|grouped]`.
//!
//! `KIND` is the layout of the columns: `view`, `utf8`, `large`, `categorical` or `integer`. Prints one line a round: seconds, peak
//! memory, and a digest of the log by which two versions can be compared.
#![allow(clippy::unwrap_used)]

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Instant;

use arrow_array::types::UInt32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int64Array, LargeStringArray, RecordBatch, StringArray, StringViewArray,
    TimestampMicrosecondArray,
};
use propense_core::events::{Cells, EventColumns, EventLog, EventLogBuilder, UserIds};

const KINDS: [&str; 6] = ["view", "app_open", "purchase", "add_to_cart", "search", "notification_dismissed"];
const CATEGORIES: [&str; 8] = ["movie", "music", "books", "garden", "kitchen and home", "toys", "sport", "beauty"];

fn texts(kind: &str, of: Vec<String>) -> ArrayRef {
    match kind {
        "utf8" => Arc::new(of.into_iter().map(Some).collect::<StringArray>()),
        "large" => Arc::new(of.into_iter().map(Some).collect::<LargeStringArray>()),
        _ => Arc::new(of.into_iter().map(Some).collect::<StringViewArray>()),
    }
}

fn words(kind: &str, of: Vec<&'static str>) -> ArrayRef {
    match kind {
        "categorical" => Arc::new(of.into_iter().collect::<DictionaryArray<UInt32Type>>()),
        _ => texts(kind, of.into_iter().map(str::to_owned).collect()),
    }
}

fn batch(kind: &str, rows: usize, users: u64, shape: &str) -> RecordBatch {
    let mut state = 42_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) ^ (state >> 45)
    };
    let mut keyed: Vec<(u64, i64)> =
        (0..rows as i64).map(|row| (next() % users, 1_600_000_000_000_000 + row * 3_000_000)).collect();
    match shape {
        "grouped" => keyed.sort_unstable(),
        "shuffled" => {
            for row in (1..rows).rev() {
                let other = next() as usize % (row + 1);
                let time = keyed[row].1;
                keyed[row].1 = keyed[other].1;
                keyed[other].1 = time;
            }
        }
        _ => {}
    }
    let ids: ArrayRef = match kind {
        "integer" => Arc::new(Int64Array::from_iter_values(keyed.iter().map(|&(user, _)| user as i64 * 7 + 1_000_000))),
        _ => texts(kind, keyed.iter().map(|&(user, _)| format!("user-{user:09}")).collect()),
    };
    let times = TimestampMicrosecondArray::from_iter_values(keyed.iter().map(|&(_, time)| time));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("user_id", ids),
        ("ts", Arc::new(times)),
        ("event", words(kind, (0..rows).map(|_| KINDS[next() as usize % KINDS.len()]).collect())),
        ("amount", Arc::new(Float64Array::from_iter_values((0..rows).map(|_| (next() % 100_000) as f64 / 100.0)))),
        ("category", words(kind, (0..rows).map(|_| CATEGORIES[next() as usize % CATEGORIES.len()]).collect())),
        ("item", Arc::new(Int64Array::from_iter_values((0..rows).map(|_| (next() % 50_000) as i64)))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn digest(log: &EventLog) -> u64 {
    let parts = log.parts();
    let mut hasher = foldhash::quality::FixedState::default().build_hasher();
    match &parts.users {
        UserIds::Integers(ids) => ids.iter().for_each(|&id| hasher.write_i64(id)),
        UserIds::Texts(ids) => ids.iter().flatten().for_each(|id| hasher.write(id.as_bytes())),
    }
    parts.offsets.iter().for_each(|&offset| hasher.write_u64(offset));
    parts.time_us.iter().for_each(|&time| hasher.write_i64(time));
    let mut cells = |cells: &Cells| {
        hasher.write_usize(cells.bytes_per_row());
        (0..cells.len()).for_each(|row| hasher.write_u64(cells.number(row).to_bits()));
    };
    cells(&parts.event);
    parts.columns.iter().for_each(|column| cells(&column.cells));
    hasher.finish()
}

/// Megabytes of a field of the process's status.
fn megabytes(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Seconds of processor time that the process has taken.
fn processor_seconds() -> f64 {
    let status = std::fs::read_to_string("/proc/self/stat").unwrap();
    let ticks = status.split_whitespace().skip(13).take(2).map(|ticks| ticks.parse::<f64>().unwrap());
    ticks.sum::<f64>() / 100.0
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize| arguments[place].parse::<usize>().unwrap();
    let (kind, rows, batch_rows) = (arguments[0].as_str(), number(1), number(3));
    let shape = arguments.get(5).map_or("ordered", String::as_str);
    let whole = batch(kind, rows, number(2) as u64, shape);
    for _ in 0..number(4) {
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = megabytes("VmRSS");
        let (start, processor) = (Instant::now(), processor_seconds());
        let names = EventColumns { user: "user_id".into(), time: "ts".into(), event: "event".into() };
        let mut builder = EventLogBuilder::new(names);
        for first in (0..rows).step_by(batch_rows) {
            builder.push(&whole.slice(first, batch_rows.min(rows - first))).unwrap();
        }
        let pushed = start.elapsed().as_secs_f64();
        let processor_pushed = processor_seconds() - processor;
        let log = builder.finish().unwrap();
        let seconds = start.elapsed().as_secs_f64();
        let processor = processor_seconds() - processor;
        let peak = megabytes("VmHWM") - before;
        println!(
            "{kind} {shape} batch {batch_rows}: push {pushed:.3} total {seconds:.3} s; processor {processor_pushed:.2} \
             of {processor:.2} s; +{peak} MB; {:016x}",
            digest(&log)
        );
    }
}
