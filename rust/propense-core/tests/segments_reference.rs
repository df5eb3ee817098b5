//! Membership is what the definition says, whatever the segments, the log and the instant.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use propense_core::events::EventLog;
use propense_core::expr::UnknownEvents;
use propense_core::segments::reference::Oracle;
use propense_core::segments::{BoundRules, Evaluator, NoScores, RuleSet, SegmentDefinition, Standing, Transition};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use support::logs::{Event, Profile, events, log, profiles};
use support::moments::{instant_us, moments};
use support::rules::{MODELS, Scores, Sketch, definitions, is_usual, sketch};

/// The usual number of cases, divided where a case is long.
fn config(divisor: u32) -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases / divisor, failure_persistence: None, max_shrink_time: 20_000, ..usual }
}

/// Segments over a log, and two instants at which to look.
#[derive(Debug, Clone)]
struct Case {
    events: Vec<Event>,
    profiles: Vec<Profile>,
    segments: Vec<SegmentDefinition>,
    models: Vec<Sketch>,
    earlier_us: i64,
    later_us: i64,
}

fn case(
    times: impl Strategy<Value = Vec<i64>>,
    zones: &'static [&'static str],
    clock: bool,
) -> impl Strategy<Value = Case> {
    let parts = times.prop_flat_map(move |times_us| {
        let instants = (select(times_us.clone()), select(times_us.clone()));
        let data = (events(times_us.clone()), profiles(times_us.clone()));
        let models = vec(sketch(is_usual(&times_us)), MODELS.len());
        (data, definitions(times_us, zones, clock), models, instants)
    });
    parts.prop_map(|((events, profiles), segments, models, (one_us, other_us))| {
        // The end of time stands for never.
        let (one_us, other_us) = (one_us.min(i64::MAX - 1), other_us.min(i64::MAX - 1));
        let (earlier_us, later_us) = (one_us.min(other_us), one_us.max(other_us));
        Case { events, profiles, segments, models, earlier_us, later_us }
    })
}

/// Times around the edges of windows, far apart and at the ends of time.
fn far() -> impl Strategy<Value = Vec<i64>> {
    let instants = |moments: support::moments::Moments| [moments.times_us, vec![moments.as_of_us]].concat();
    (moments().prop_map(instants), vec(-400_i64..400, 2)).prop_map(|(mut times_us, days)| {
        let middle_us = times_us[0];
        times_us.extend(days.iter().map(|day| middle_us.saturating_add(day * 86_400_000_000)));
        times_us
    })
}

/// Times within two days of a change of some clocks.
fn near() -> impl Strategy<Value = Vec<i64>> {
    let changes = ["2024-03-31T01:00:00Z", "2024-10-05T15:30:00Z", "2024-11-03T06:00:00Z", "2024-07-01T00:00:00Z"];
    select(changes.to_vec()).prop_flat_map(|change| {
        let step = prop_oneof![Just(1_i64), Just(60_000_000), Just(1_800_000_000), Just(1_000_000)];
        vec((-40_i64..40, step).prop_map(move |(steps, step_us)| instant_us(change) + steps * step_us), 2..10)
    })
}

const ZONES: [&str; 5] = ["UTC", "Europe/London", "Australia/Lord_Howe", "America/New_York", "Asia/Kathmandu"];

/// The years 1900 to 2199.
const USUAL_SPAN_US: (i64, i64) = (-2_208_988_800_000_000, 7_258_118_399_999_999);

struct World {
    log: EventLog,
    bound: BoundRules,
}

impl Case {
    fn world(&self) -> World {
        let log = log(&[&self.events], &self.profiles);
        let rules = RuleSet::new(&self.segments, &MODELS.map(str::to_owned)).unwrap();
        let bound = rules.bind(&log, UnknownEvents::Empty, USUAL_SPAN_US).unwrap_or_else(|e| panic!("{e}"));
        World { log, bound }
    }

    /// Every disagreement between the evaluator and the oracle.
    fn disagreements(&self) -> Vec<String> {
        let World { log, bound } = self.world();
        let (log, bound) = (&log, &bound);
        let by_reference: Vec<_> = self.models.iter().map(|model| model.by_reference(log)).collect();
        let models = (MODELS.iter().zip(&self.models).zip(&by_reference))
            .map(|((name, sketch), score)| sketch.model(name, score))
            .collect();
        let oracle = Oracle::new(log, &self.segments, models);
        let mut scores = Scores::new(log, &self.models);
        let mut evaluator = Evaluator::new(bound, log);
        let mut found = Vec::new();
        for user in 0..log.users().len() {
            let timeline = oracle.timeline(user, self.later_us);
            let expected: Vec<Standing> = timeline[&self.later_us].values().copied().collect();
            let mut got = vec![Standing::OUT; expected.len()];
            let names = bound.rules().names();
            let mut compare = |what: &str, got: &[Standing], same: &dyn Fn(usize, Standing, Standing) -> bool| {
                for (segment, (&got, &expected)) in got.iter().zip(&expected).enumerate() {
                    if !same(segment, got, expected) {
                        found.push(format!("{what}: user {user} in {}: {got:?}, not {expected:?}", names[segment]));
                    }
                }
            };
            let path_dependent = bound.rules().path_dependent();
            evaluator.replay(user, self.later_us, &mut scores, &mut got).unwrap();
            compare("replay", &got, &|_, got, expected| got == expected);
            let all: Vec<usize> = (0..got.len()).collect();
            let since_us = evaluator.since(user, self.later_us, &mut scores, &all).unwrap();
            for (got, since_us) in got.iter_mut().zip(since_us) {
                *got = since_us.map_or(Standing::OUT, |since_us| Standing { member: true, since_us });
            }
            compare("since", &got, &|_, got, expected| got == expected);
            evaluator.settle(user, self.later_us, &mut scores, &mut got).unwrap();
            compare("settle", &got, &|_, got, expected| got.member == expected.member);
            if !path_dependent.contains(&true) {
                evaluator.at(user, self.later_us, &mut scores, None, &mut got).unwrap();
                compare("at", &got, &|_, got, expected| got.member == expected.member);
            }
            let first_us = log.time_us()[log.rows(user)].first().copied();
            if first_us.is_none_or(|first_us| first_us >= self.earlier_us) {
                evaluator.replay(user, self.earlier_us, &mut scores, &mut got).unwrap();
                let to_us = self.later_us;
                evaluator.advance(user, self.earlier_us, to_us, &mut scores, &mut got, &mut |_| {}).unwrap();
                let has_begun = first_us.is_some_and(|first_us| first_us < to_us);
                let same = |got: Standing, expected: Standing| {
                    if has_begun { got == expected } else { got.member == expected.member }
                };
                compare("advance from before the first event", &got, &|_, got, expected| same(got, expected));
            }
            if first_us.is_some_and(|first_us| first_us < self.earlier_us) {
                evaluator.replay(user, self.earlier_us, &mut scores, &mut got).unwrap();
                let mut transitions = Vec::new();
                let mut on = |transition| transitions.push(transition);
                evaluator.advance(user, self.earlier_us, self.later_us, &mut scores, &mut got, &mut on).unwrap();
                compare("advance", &got, &|_, got, expected| got == expected);
                let mut settled = got.clone();
                evaluator.settle(user, self.earlier_us, &mut scores, &mut settled).unwrap();
                let to_us = self.later_us;
                evaluator.advance(user, self.earlier_us, to_us, &mut scores, &mut settled, &mut |_| {}).unwrap();
                compare("settle and advance", &settled, &|_, got, expected| got.member == expected.member);
                let wanted = transitions_of(&timeline, self.earlier_us);
                transitions.sort_unstable_by_key(|transition| (transition.time_us, transition.segment));
                if transitions != wanted {
                    found.push(format!("transitions of user {user}: {transitions:?}, not {wanted:?}"));
                }
            }
        }
        found
    }
}

/// What changes in a timeline after an instant.
fn transitions_of(timeline: &BTreeMap<i64, BTreeMap<String, Standing>>, after_us: i64) -> Vec<Transition> {
    let mut transitions = Vec::new();
    let mut last: Option<&BTreeMap<String, Standing>> = None;
    for (&time_us, standings) in timeline {
        for (segment, (name, standing)) in standings.iter().enumerate() {
            let was = last.is_some_and(|last| last[name].member);
            if was != standing.member && time_us > after_us {
                transitions.push(Transition { segment, enter: standing.member, time_us });
            }
        }
        last = Some(standings);
    }
    transitions
}

proptest! {
    #![proptest_config(config(4))]

    #[test]
    fn membership_equals_the_reference(case in case(far(), &ZONES[..1], false)) {
        let found = case.disagreements();
        prop_assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

proptest! {
    #![proptest_config(config(8))]

    #[test]
    fn membership_by_the_clock_equals_the_reference(case in case(near(), &ZONES, true)) {
        let found = case.disagreements();
        prop_assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

/// Segments that cannot be solved, of which both sides visit the same instants.
fn rechecked() -> impl Strategy<Value = Vec<SegmentDefinition>> {
    let rules = [
        "recency(*) * 24 >= 1",
        "decayed_count(*, '1h') + 0 > 1.5",
        "tenure(*, '6h') / 2 > 0.05",
        "count(*, '1h') >= 2",
        "recency(*) < tenure(*) - 0.1",
        "NOT recency(*, '6h') * 24 > 2",
    ];
    let rule = move || select(rules.to_vec());
    let min_stay = proptest::option::weighted(0.5, select(&["1s", "30m", "6h"][..]));
    let definition = (rule(), proptest::option::weighted(0.5, rule()), min_stay);
    vec(definition, 1..4).prop_map(|parts| {
        let segment =
            |(place, (rule, stay, min_stay)): (usize, (&str, Option<&str>, Option<&str>))| SegmentDefinition {
                stay: stay.map(str::to_owned),
                min_stay: min_stay.map(str::to_owned),
                ..SegmentDefinition::new(["a", "b", "c"][place], rule)
            };
        parts.into_iter().enumerate().map(segment).collect()
    })
}

proptest! {
    #![proptest_config(config(16))]

    #[test]
    fn what_cannot_be_solved_is_rechecked_at_the_same_instants(
        (events, later_us) in near().prop_flat_map(|times_us| {
            let within = times_us[0]..times_us[0] + 30_000_000_000;
            (events(times_us), within)
        }),
        segments in rechecked(),
    ) {
        let log = log(&[&events], &[]);
        let rules = RuleSet::new(&segments, &[]).unwrap();
        let bound = rules.bind(&log, UnknownEvents::Empty, USUAL_SPAN_US).unwrap();
        let oracle = Oracle::new(&log, &segments, Vec::new());
        let mut evaluator = Evaluator::new(&bound, &log);
        for user in 0..log.users().len() {
            let expected: Vec<Standing> = oracle.standings(user, later_us).values().copied().collect();
            let mut got = vec![Standing::OUT; expected.len()];
            evaluator.replay(user, later_us, &mut NoScores, &mut got).unwrap();
            prop_assert_eq!(&got, &expected, "user {}", user);
        }
    }
}
