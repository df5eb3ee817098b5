//! Work that is shared out among threads comes back in its place, however unevenly the events lie.
#![allow(missing_docs, clippy::unwrap_used)]

use propense_core::events::{Cells, EventLog, Events, UserIds};
use propense_core::expr::UnknownEvents;
use propense_core::features::{FeatureSpec, Period, Plan, Progress, Scan, ScanPlan, compute};
use propense_core::scorer::{RowScorer, score_users};

const AS_OF_US: i64 = 1_000_000_000_000;

/// Users with 0 to 4 events, but for one with very many.
fn log() -> EventLog {
    let counts = (0..9_000_u64).map(|user| if user == 4_321 { 200_000 } else { user % 5 });
    let offsets: Vec<u64> =
        std::iter::once(0).chain(counts.scan(0, |sum, count| Some((*sum += count, *sum).1))).collect();
    let rows = *offsets.last().unwrap();
    EventLog::from_parts(Events {
        users: UserIds::Integers((0..offsets.len() as i64 - 1).collect()),
        time_us: (0..rows as i64).map(|row| row * 1_000).collect(),
        event: Cells::U8((0..rows).map(|row| (row * 7 % 3) as u8).collect()),
        event_types: ["a", "b", "c"].map(str::to_owned).to_vec(),
        offsets: offsets.into(),
        columns: Vec::new(),
        dropped: 0,
    })
    .unwrap()
}

fn plan(log: &EventLog) -> Plan {
    let texts = ["count(*)", "count(a)", "tenure(b)", "recency(c)"].map(|text| (None, text.to_owned()));
    let spec = FeatureSpec::declare(&texts, "UTC").unwrap();
    Plan::compile(&spec, log, UnknownEvents::Refuse, AS_OF_US).unwrap()
}

/// Every row alone, one after the other.
fn rows_alone(log: &EventLog, plan: &Plan, users: &[u32]) -> Vec<Vec<u32>> {
    let ready = ScanPlan::new(log, plan, None);
    let mut scan = Scan::new(&ready, log, Period::before(AS_OF_US));
    let mut row = vec![0.0; plan.width()];
    let bits = |user: &u32| {
        scan.write_row(*user as usize, &mut row);
        row.iter().map(|value| value.to_bits()).collect()
    };
    users.iter().map(bits).collect()
}

#[test]
fn every_value_of_the_matrix_is_its_own_users() {
    let log = log();
    let plan = plan(&log);
    for users in [(0..9_000).collect::<Vec<u32>>(), (0..9_000).rev().step_by(7).collect(), vec![4_321], vec![]] {
        let matrix = compute(&log, &plan, Period::before(AS_OF_US), &users, &Progress::default()).unwrap();
        for (place, row) in rows_alone(&log, &plan, &users).iter().enumerate() {
            for (feature, &bits) in row.iter().enumerate() {
                assert_eq!(
                    matrix[feature * users.len() + place].to_bits(),
                    bits,
                    "feature {feature} of {}",
                    users[place]
                );
            }
        }
    }
}

/// Scores a row by what it reads of it.
struct Reads([bool; 4]);

impl RowScorer for Reads {
    type Error = std::convert::Infallible;

    fn width(&self) -> usize {
        4
    }

    fn reads(&self) -> Option<&[bool]> {
        Some(&self.0)
    }

    fn tile_rows(&self) -> usize {
        64
    }

    fn score(&self, rows: &[f32], scores: &mut [f32]) -> Result<(), Self::Error> {
        for (row, score) in rows.chunks_exact(4).zip(scores) {
            *score = row.iter().zip(self.0).filter(|(_, read)| *read).map(|(value, _)| value).sum();
        }
        Ok(())
    }
}

#[test]
fn every_score_is_its_own_users_and_what_is_not_read_does_not_matter() {
    let log = log();
    let plan = plan(&log);
    let users: Vec<u32> = (0..9_000).rev().collect();
    let alone = rows_alone(&log, &plan, &users);
    for reads in [[true, true, false, false], [false, false, true, true], [false, true, false, true]] {
        let scores =
            score_users(&log, &plan, Period::before(AS_OF_US), &users, &Reads(reads), &Progress::default()).unwrap();
        for ((score, row), user) in scores.iter().zip(&alone).zip(&users) {
            let read = row.iter().zip(reads).filter(|(_, read)| *read).map(|(&bits, _)| f32::from_bits(bits));
            assert_eq!(score.to_bits(), read.sum::<f32>().to_bits(), "user {user}");
        }
    }
}
