//! How fast one core walks events: `cargo bench -p propense-core --bench features`.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use propense_core::DAY_US;
use propense_core::events::{Cells, Column, ColumnKind, EventLog, Events, UserIds};
use propense_core::expr::UnknownEvents;
use propense_core::features::{Feature, FeatureSpec, Period, Plan, Scan, ScanPlan};

const USERS: u64 = 2_000;
const EVENTS_OF_USER: u64 = 50;
const AS_OF_US: i64 = 600 * DAY_US;

/// Numbers that look random and are the same every time.
fn mixed(number: u64) -> u64 {
    let number = (number ^ number >> 31).wrapping_mul(0x7fb5_d329_728e_a185);
    (number ^ number >> 27).wrapping_mul(0x81da_def4_bc2d_d44d) >> 33
}

fn log() -> EventLog {
    let events = USERS * EVENTS_OF_USER;
    let mut time_us: Vec<i64> =
        (0..events).map(|row| AS_OF_US - (mixed(row) % 600_000) as i64 * (DAY_US / 1_000) - 1).collect();
    time_us.chunks_mut(EVENTS_OF_USER as usize).for_each(<[i64]>::sort_unstable);
    let types = ["app_open", "purchase", "search", "view_item"];
    let code = |row: u64| (mixed(row + 1) % 4) as u8;
    let amount = |row: u64| if code(row) == 1 { (mixed(row + 2) % 10_000) as f64 / 100.0 } else { f64::NAN };
    let categories = (0..12).map(|category| format!("c{category:02}")).collect();
    let column = |name: &str, kind, cells, dictionary| Column { name: name.to_owned(), kind, cells, dictionary };
    EventLog::from_parts(Events {
        users: UserIds::Integers((0..USERS as i64).collect()),
        offsets: (0..=USERS).map(|user| user * EVENTS_OF_USER).collect(),
        time_us: time_us.into(),
        event: Cells::U8((0..events).map(code).collect()),
        event_types: types.map(str::to_owned).to_vec(),
        columns: vec![
            column("amount", ColumnKind::Number, Cells::F64((0..events).map(amount).collect()), Vec::new()),
            column(
                "category",
                ColumnKind::Text,
                Cells::U8((0..events).map(|row| (mixed(row + 3) % 12) as u8).collect()),
                categories,
            ),
        ],
        dropped: 0,
    })
    .unwrap()
}

fn spec(expressions: &[String]) -> FeatureSpec {
    let feature =
        |(place, expression): (usize, &String)| Feature { name: format!("f{place}"), expression: expression.clone() };
    FeatureSpec {
        features: expressions.iter().enumerate().map(feature).collect(),
        timezone: "Europe/London".to_owned(),
        vocabularies: BTreeMap::new(),
    }
}

/// An expression over each of nine windows.
fn windowed(call: &str, filter: &str) -> Vec<String> {
    let windows = [", '1d'", ", '3d'", ", '7d'", ", '14d'", ", '30d'", ", '90d'", ", '180d'", ", '365d'", ""];
    windows.iter().map(|window| format!("{call}{window}){filter}")).collect()
}

fn features(criterion: &mut Criterion) {
    let log = log();
    let kinds: [(&str, Vec<String>); 8] = [
        ("count", windowed("count(view_item", "")),
        ("count of a category", windowed("count(view_item", " FILTER (WHERE category = 'c03')")),
        ("sum", windowed("sum(purchase.amount", "")),
        ("std", windowed("std(purchase.amount", "")),
        ("distinct", windowed("distinct(view_item.category", "")),
        ("active_days", windowed("active_days(*", "")),
        ("decayed_count", vec!["decayed_count(*, '7d')".to_owned(), "decayed_count(*, '30d')".to_owned()]),
        ("recency", ["app_open", "purchase", "search", "view_item"].map(|event| format!("recency({event})")).to_vec()),
    ];
    let all = ("all of these", kinds.iter().flat_map(|(_, expressions)| expressions.clone()).collect());
    let mut group = criterion.benchmark_group("features");
    group.throughput(Throughput::Elements(log.len() as u64));
    for (name, expressions) in kinds.into_iter().chain([all]) {
        let plan = Plan::compile(&spec(&expressions), &log, UnknownEvents::Refuse, AS_OF_US).unwrap();
        let ready = ScanPlan::new(&log, &plan, None);
        let (mut scan, mut row) = (Scan::new(&ready, &log, Period::before(AS_OF_US)), vec![0.0; plan.width()]);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for user in 0..log.users().len() {
                    scan.write_row(user, &mut row);
                    black_box(&row);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, features);
criterion_main!(benches);
