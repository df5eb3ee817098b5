//! What one core takes a user for twenty segments: `cargo bench -p propense-core --bench segments`.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use propense_core::DAY_US;
use propense_core::events::{Cells, Column, ColumnKind, EventLog, Events, UserIds};
use propense_core::expr::UnknownEvents;
use propense_core::segments::{Evaluator, NoScores, RuleSet, SegmentDefinition, Standing};

const USERS: u64 = 2_000;
const EVENTS_OF_USER: u64 = 50;
const AS_OF_US: i64 = 600 * DAY_US;

/// Numbers that look random and are the same every time.
fn mixed(number: u64) -> u64 {
    let number = (number ^ number >> 31).wrapping_mul(0x7fb5_d329_728e_a185);
    (number ^ number >> 27).wrapping_mul(0x81da_def4_bc2d_d44d) >> 33
}

/// A log of users with equally many events each, in the 600 days before the instant that is asked for.
fn log(users: u64, events_of_user: u64) -> EventLog {
    let events = users * events_of_user;
    let mut time_us: Vec<i64> =
        (0..events).map(|row| AS_OF_US - (mixed(row) % 600_000) as i64 * (DAY_US / 1_000) - 1).collect();
    time_us.chunks_mut(events_of_user as usize).for_each(<[i64]>::sort_unstable);
    let types = ["app_open", "purchase", "search", "view_item"];
    let code = |row: u64| (mixed(row + 1) % 4) as u8;
    let amount = |row: u64| if code(row) == 1 { (mixed(row + 2) % 10_000) as f64 / 100.0 } else { f64::NAN };
    let categories = (0..12).map(|category| format!("c{category:02}")).collect();
    let column = |name: &str, kind, cells, dictionary| Column { name: name.to_owned(), kind, cells, dictionary };
    EventLog::from_parts(Events {
        users: UserIds::Integers((0..users as i64).collect()),
        offsets: (0..=users).map(|user| user * events_of_user).collect(),
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

/// Ten kinds of rules, each with two windows; every tenth segment stays a week.
fn definitions() -> Vec<SegmentDefinition> {
    let rules = [
        "count(view_item, 'W') >= 3",
        "count(search, 'W') >= 3 AND sum(purchase.amount, '365d') > 500",
        "recency(app_open) > 7 AND count(*, 'W') >= 1",
        "count(view_item, 'W') FILTER (WHERE category = 'c03') >= 1",
        "distinct(view_item.category, 'W') >= 5",
        "mean(purchase.amount, 'W') > 60 OR max(purchase.amount) > 99",
        "active_days(*, 'W') >= 4",
        "decayed_count(search, 'W') > 2.5",
        "tenure(*) > 400 AND NOT in_segment(s3_30d)",
        "in_segment(s0_30d) AND count(purchase, 'W') = 0",
    ];
    let of_window = |window: &'static str| {
        let definition = move |(place, rule): (usize, &&str)| {
            let rule = rule.replace("'W'", &format!("'{window}'"));
            let min_stay = (place == 0 && window == "90d").then(|| "7d".to_owned());
            SegmentDefinition { min_stay, ..SegmentDefinition::new(&format!("s{place}_{window}"), &rule) }
        };
        rules.iter().enumerate().map(definition).collect::<Vec<_>>()
    };
    [of_window("30d"), of_window("90d")].concat()
}

fn segments(criterion: &mut Criterion) {
    let log = log(USERS, EVENTS_OF_USER);
    let rules = RuleSet::new(&definitions(), &[]).unwrap();
    let bound = rules.bind(&log, UnknownEvents::Refuse, (0, AS_OF_US)).unwrap();
    let mut evaluator = Evaluator::new(&bound, &log);
    let mut standings = vec![Standing::OUT; rules.len()];
    let mut group = criterion.benchmark_group("segments");
    group.throughput(Throughput::Elements(USERS));
    group.bench_function("at an instant", |bencher| {
        bencher.iter(|| {
            for user in 0..log.users().len() {
                evaluator.at(user, AS_OF_US, &mut NoScores, None, &mut standings).unwrap();
                black_box(&standings);
            }
        });
    });
    group.bench_function("the next change", |bencher| {
        bencher.iter(|| {
            for user in 0..log.users().len() {
                black_box(evaluator.next_change_us(user, AS_OF_US, &NoScores, &standings));
            }
        });
    });
    group.sample_size(10);
    group.bench_function("settled, one with a shortest stay", |bencher| {
        bencher.iter(|| {
            for user in 0..log.users().len() {
                evaluator.settle(user, AS_OF_US, &mut NoScores, &mut standings).unwrap();
                black_box(&standings);
            }
        });
    });
    group.finish();
}

/// Since when one user has been in the segments, each with what it reads; a replay says it of all at once.
fn since(criterion: &mut Criterion) {
    let rules = RuleSet::new(&definitions(), &[]).unwrap();
    let alone = |segment: usize| {
        let read = [segment].into_iter().chain(rules.depends_on(segment));
        let definitions: Vec<SegmentDefinition> =
            read.filter_map(|segment| rules.definition(segment).cloned()).collect();
        RuleSet::new(&definitions, &[]).unwrap()
    };
    let sets: Vec<(RuleSet, usize)> = (0..rules.len())
        .map(|segment| (alone(segment), alone(segment).number(&rules.names()[segment]).unwrap()))
        .collect();
    let mut group = criterion.benchmark_group("since when, one user");
    group.sample_size(10);
    for events in [400, 4_000] {
        let log = log(1, events);
        let bound = |rules: &RuleSet| rules.bind(&log, UnknownEvents::Refuse, (0, AS_OF_US)).unwrap();
        group.bench_function(format!("{events} events"), |bencher| {
            bencher.iter(|| {
                for (set, number) in &sets {
                    let bound = bound(set);
                    let mut evaluator = Evaluator::new(&bound, &log);
                    black_box(evaluator.since(0, AS_OF_US, &mut NoScores, &[*number]).unwrap());
                }
            });
        });
        let bound = bound(&rules);
        let mut standings = vec![Standing::OUT; rules.len()];
        group.bench_function(format!("{events} events, replayed"), |bencher| {
            bencher.iter(|| {
                Evaluator::new(&bound, &log).replay(0, AS_OF_US, &mut NoScores, &mut standings).unwrap();
                black_box(&standings);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, segments, since);
criterion_main!(benches);
