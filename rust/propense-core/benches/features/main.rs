//! How fast one core walks events: `cargo bench -p propense-core --bench features`.
#![allow(missing_docs, clippy::unwrap_used)]

mod automatic;
mod tickets;

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use propense_core::expr::UnknownEvents;
use propense_core::features::{Feature, FeatureSpec, Period, Plan, Progress, Scan, ScanPlan, compute};
use tickets::{AS_OF_US, USERS, log};

fn spec(expressions: &[String]) -> FeatureSpec {
    let feature =
        |(place, expression): (usize, &String)| Feature { name: format!("f{place}"), expression: expression.clone() };
    FeatureSpec {
        features: expressions.iter().enumerate().map(feature).collect(),
        timezone: "Europe/London".to_owned(),
        vocabularies: BTreeMap::new(),
    }
}

/// What each kind of state costs, beside a walk that only counts.
fn kinds() -> Vec<(&'static str, Vec<String>)> {
    let windowed = automatic::windowed;
    let share = |function: &str, spans: &[&str]| spans.iter().map(|span| format!("{function}(*, {span})")).collect();
    vec![
        ("count of everything", vec!["count(*)".to_owned()]),
        ("count", windowed("count(view_item", "")),
        ("count of a category", windowed("count(view_item", " FILTER (WHERE category = 'c03')")),
        ("count of a condition", windowed("count(purchase", " FILTER (WHERE amount > 20)")),
        ("sum", windowed("sum(purchase.amount", "")),
        ("std", windowed("std(purchase.amount", "")),
        ("max", windowed("max(purchase.amount", "")),
        ("distinct", windowed("distinct(view_item.category", "")),
        ("active_days", windowed("active_days(*", "")),
        ("hour_share", share("hour_share", &["0, 5", "6, 11", "12, 17", "18, 23"])),
        ("decayed_count", vec!["decayed_count(*, '7d')".to_owned(), "decayed_count(*, '30d')".to_owned()]),
        ("recency", ["app_open", "purchase", "search", "view_item"].map(|event| format!("recency({event})")).to_vec()),
        ("198 features", automatic::features()),
    ]
}

fn features(criterion: &mut Criterion) {
    let log = log();
    let mut group = criterion.benchmark_group("features");
    group.throughput(Throughput::Elements(log.len() as u64));
    for (name, expressions) in kinds() {
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

/// The matrix, its memory included.
fn matrix(criterion: &mut Criterion) {
    let log = log();
    let users: Vec<u32> = (0..USERS as u32).collect();
    let plan = Plan::compile(&spec(&automatic::features()), &log, UnknownEvents::Refuse, AS_OF_US).unwrap();
    let mut group = criterion.benchmark_group("matrix");
    group.throughput(Throughput::Elements(log.len() as u64));
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        group.bench_function(BenchmarkId::new("threads", threads), |bencher| {
            bencher.iter(|| {
                let period = Period::before(AS_OF_US);
                pool.install(|| compute(&log, &plan, period, &users, &Progress::default()).unwrap())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, features, matrix);
criterion_main!(benches);
