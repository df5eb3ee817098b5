//! Plans joined give what each gives by itself, to the bit, and what they have in common once.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod support;

use propense_core::events::EventLog;
use propense_core::expr::UnknownEvents;
use propense_core::features::{JoinedPlan, Period, Plan, Scan, ScanPlan};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use support::comparison::spec;
use support::expressions::feature;
use support::logs::log;
use support::situation;

/// The bits of a user's row; of a missing value, those of one NaN.
fn row(log: &EventLog, plan: &Plan, is_read: Option<&[bool]>, user: usize, as_of_us: i64) -> Vec<u32> {
    let ready = ScanPlan::new(log, plan, is_read);
    let mut row = vec![f32::NAN; plan.width()];
    Scan::new(&ready, log, Period::before(as_of_us)).write_row(user, &mut row);
    row.iter().map(|value| if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() }).collect()
}

fn plan(log: &EventLog, features: &[String], timezone: &str) -> Plan {
    Plan::compile(&spec(features, timezone), log, UnknownEvents::Empty, i64::MAX).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn joined_plans_give_what_each_gives(
        (moments, events, profiles) in situation(),
        pool in vec(feature(), 1..=8),
        choices in vec(vec(any::<Index>(), 1..=6), 1..=4),
    ) {
        let log = log(&[&events], &profiles);
        let chosen = |choice: &Vec<Index>| choice.iter().map(|index| index.get(&pool).clone()).collect::<Vec<_>>();
        let plans: Vec<Plan> = choices.iter().map(|choice| plan(&log, &chosen(choice), moments.timezone)).collect();
        let joined = JoinedPlan::new(&plans.iter().collect::<Vec<_>>()).unwrap();
        for user in 0..log.users().len() {
            let together = row(&log, &joined.plan, None, user, moments.as_of_us);
            for (plan, columns) in plans.iter().zip(&joined.columns) {
                let own = row(&log, plan, None, user, moments.as_of_us);
                let taken: Vec<u32> = columns.iter().map(|&column| together[column]).collect();
                prop_assert_eq!(&own, &taken);
                // What others read beside it changes nothing.
                let reads: Vec<bool> = (0..joined.plan.width()).map(|column| columns.contains(&column)).collect();
                let alone = row(&log, &joined.plan, Some(&reads), user, moments.as_of_us);
                prop_assert_eq!(&own, &columns.iter().map(|&column| alone[column]).collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn the_same_feature_is_there_once() {
    let events = Vec::new();
    let log = log(&[&events], &[]);
    let of = |texts: &[&str]| plan(&log, &texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>(), "UTC");
    let plans = [of(&["count(*)", "recency(*) / tenure(*)"]), of(&["tenure(*)", "recency(*) / tenure(*)", "count(*)"])];
    let joined = JoinedPlan::new(&[&plans[0], &plans[1]]).unwrap();
    assert_eq!(joined.columns, [vec![0, 1], vec![2, 1, 0]]);
    assert_eq!(joined.plan.width(), 3);
}

#[test]
fn plans_of_two_time_zones_are_not_joined() {
    let log = log(&[&Vec::new()], &[]);
    let plans = ["UTC", "Europe/London"].map(|timezone| plan(&log, &["active_days(*)".to_owned()], timezone));
    assert!(JoinedPlan::new(&[&plans[0], &plans[1]]).is_none());
    assert!(JoinedPlan::new(&[]).is_none());
}
