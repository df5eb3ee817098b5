//! Segments that fit together are taken, others refused with the place; a few timelines that can be read.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod support;

use propense_core::events::EventLog;
use propense_core::expr::{UnknownEvents, parse, parse_segment_rule};
use propense_core::features::{DictionarySizes, RECHECK_US};
use propense_core::segments::{Evaluator, NoScores, RuleSet, SegmentDefinition, SegmentError, Standing, Transition};
use support::logs::{Event, Profile, log};
use support::moments::instant_us;

const DAY_US: i64 = 86_400_000_000;
const SPAN_US: (i64, i64) = (-2_208_988_800_000_000, 7_258_118_399_999_999);

fn event(user: u32, time_us: i64, kind: &'static str) -> Event {
    Event { user, time_us, kind, amount: Some(1.0), unit_price: None, category: Some("book"), gift: None, due_us: None }
}

fn sample(events: &[Event]) -> EventLog {
    let profile = Profile { age: Some(30.0), country: Some("book"), member: Some(true), joined_us: Some(0) };
    log(&[events], &[profile])
}

fn models() -> Vec<String> {
    ["buys", "brand_a"].map(str::to_owned).to_vec()
}

#[allow(clippy::result_large_err)]
fn set(segments: &[(&str, &str)]) -> Result<RuleSet, SegmentError> {
    let definitions: Vec<_> = segments.iter().map(|(name, rule)| SegmentDefinition::new(name, rule)).collect();
    RuleSet::new(&definitions, &models())
}

/// What binding says of a rule.
#[allow(clippy::result_large_err)]
fn refusal(rule: &str) -> String {
    let log = sample(&[event(0, 0, "buy")]);
    let bound = set(&[("vip", "count(buy) > 1"), ("mine", rule)])
        .and_then(|rules| rules.bind(&log, UnknownEvents::Refuse, SPAN_US).map(drop));
    bound.err().unwrap().to_string()
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_the_nearest_name() {
    for (rule, parts) in [
        ("count(buy) >= >= 1", &["segment \"mine\", rule", "cannot parse", "Column"][..]),
        ("count(bye) >= 1", &["unknown event type \"bye\" at column 7", "did you mean \"buy\""]),
        ("attr(cuntry) = 'GB'", &["unknown attribute \"cuntry\" at column 6", "\"country\""]),
        ("score(by) > 0.5", &["unknown model \"by\" at column 7", "did you mean \"buys\""]),
        ("NOT tier(brand_b) = 'most_likely'", &["unknown model \"brand_b\" at column 10", "\"brand_a\""]),
        ("tier(buys) = 'most likely'", &["unknown tier \"most likely\" at column 14", "\"most_likely\""]),
        ("'mostly' = tier(buys)", &["unknown tier \"mostly\" at column 1"]),
        ("tier(buys) IN ('most_likely', 'lest_likely')", &["unknown tier \"lest_likely\" at column 31"]),
        ("count(buy) > 1\n  AND score(by) > 0.5", &["unknown model \"by\" at line 2, column 13"]),
        ("count(buy) > 1\nAND attr(country) = 3", &["= near line 2, column 10"]),
        ("tier(buys) IN ('least')", &["unknown tier \"least\""]),
        ("in_segment(vipp)", &["unknown segment \"vipp\" at column 12", "did you mean \"vip\""]),
        ("in_segment(\"buys.most_likly\")", &["unknown segment", "\"buys.most_likely\""]),
        ("attr(country) = 3", &["= near column 6", "a text in single quotes", "found number"]),
        ("count(buy) = 'one'", &["= near column 7", "a number and a text"]),
        ("score(buys) = 'high'", &["= near column 7", "a number and a text"]),
        ("tier(buys) > 3", &["near column 6", "found number"]),
        ("count(buy) > 1 AND attr(country) IN (3)", &["IN near column 25"]),
        ("count(buy)", &["is a number", "a rule is a condition"]),
        ("score(buys)", &["is a number"]),
        ("tier(buys)", &["is a text"]),
        ("score('buys') > 1", &["score(model)"]),
        ("hour_now(3) > 1", &["hour_now()"]),
        ("in_segment(vip, 3)", &["in_segment(segment)"]),
        ("in_segment(vip) FILTER (WHERE gift)", &["in_segment", "no FILTER"]),
        ("count(buy) FILTER (WHERE in_segment(vip)) > 1", &["in_segment", "FILTER"]),
        ("in_segmnt(vip)", &["unknown function \"in_segmnt\" at column 1", "in_segment"]),
    ] {
        let refusal = refusal(rule);
        for part in parts {
            assert!(refusal.contains(part), "{rule}: {part:?} is not in: {refusal}");
        }
    }
}

#[test]
fn only_segments_read_scores_and_the_clock() {
    for text in ["score(buys)", "tier(buys) = 'most_likely'", "in_segment(vip)", "hour_now() > 3", "weekday_now() = 1"]
    {
        let refused = parse(text).unwrap_err().to_string();
        assert!(refused.contains("in segments only"), "{refused}");
        let read = parse_segment_rule(text).unwrap().to_string();
        assert_eq!(read, text);
    }
    assert_eq!(
        parse_segment_rule("in_segment(buys.most_likely)").unwrap().to_string(),
        "in_segment(\"buys.most_likely\")"
    );
}

#[test]
fn a_circle_is_refused_with_its_path() {
    let refused = set(&[("a", "in_segment(b)"), ("b", "NOT in_segment(c)"), ("c", "in_segment(a) OR count(buy) > 1")]);
    assert_eq!(refused.unwrap_err().to_string(), "segments read each other in a circle: a → b → c → a");
    let refused = set(&[("x", "count(buy) > 1"), ("self", "in_segment(self)")]).unwrap_err();
    assert_eq!(refused, SegmentError::Cycle { path: vec!["self".to_owned(), "self".to_owned()] });
    let stay = SegmentDefinition { stay: Some("in_segment(b)".to_owned()), ..SegmentDefinition::new("a", "TRUE") };
    let refused = RuleSet::new(&[stay, SegmentDefinition::new("b", "in_segment(a)")], &[]).unwrap_err();
    assert_eq!(refused.to_string(), "segments read each other in a circle: a → b → a");
}

#[test]
fn names_times_and_definitions_are_checked() {
    for name in ["", "9lives", "buys.most_likely", "a b", "é", "../x", &"x".repeat(129)] {
        assert!(matches!(set(&[(name, "TRUE")]), Err(SegmentError::Name { .. })), "{name}");
    }
    assert!(set(&[(&"x".repeat(128), "TRUE"), ("_a-9", "TRUE")]).is_ok());
    assert!(matches!(set(&[("a", "TRUE"), ("a", "FALSE")]), Err(SegmentError::DuplicateName { .. })));
    let base = SegmentDefinition::new("a", "TRUE");
    let refused = |definition: SegmentDefinition| RuleSet::new(&[definition], &[]).unwrap_err();
    let zone = SegmentDefinition { timezone: "Mars/Olympus".to_owned(), ..base.clone() };
    assert!(matches!(refused(zone), SegmentError::TimeZone { .. }));
    let never = SegmentDefinition { valid_from_us: Some(5), valid_until_us: Some(5), ..base.clone() };
    assert!(matches!(refused(never), SegmentError::NeverValid { .. }));
    let stay = SegmentDefinition { min_stay: Some("a week".to_owned()), ..base };
    assert!(refused(stay).to_string().contains("min_stay"));
}

#[test]
fn json_is_strict_and_canonical_texts_read_back() {
    let json = r#"{"name": "at_risk", "rule": "count(support_contact,'4w')>=3", "stay": "count(support_contact,'30d')>=2", "min_stay": "2w"}"#;
    let read: SegmentDefinition = serde_json::from_str(json).unwrap();
    assert_eq!((read.timezone.as_str(), read.valid_from_us), ("UTC", None));
    let canonical = read.canonical().unwrap();
    assert_eq!(canonical.rule, "count(support_contact, '28d') >= 3");
    assert_eq!(canonical.min_stay.as_deref(), Some("14d"));
    assert_eq!(canonical.canonical().unwrap(), canonical);
    assert_eq!(
        serde_json::from_str::<SegmentDefinition>(&serde_json::to_string(&canonical).unwrap()).unwrap(),
        canonical
    );
    assert!(serde_json::from_str::<SegmentDefinition>(r#"{"name": "a", "rule": "TRUE", "rul": 1}"#).is_err());
}

#[test]
fn tiers_are_segments_and_everything_stands_after_what_it_reads() {
    let rules =
        set(&[("a", "in_segment(z)"), ("z", "in_segment(\"buys.most_likely\")"), ("m", "count(buy.amount) > 1")])
            .unwrap();
    let number = |name: &str| rules.number(name).unwrap();
    assert_eq!(rules.len(), 3 + 6);
    assert!(rules.names().is_sorted());
    assert_eq!(rules.models(), ["brand_a", "buys"]);
    assert_eq!(rules.models_read(), [false, true]);
    let place = |name: &str| rules.order().iter().position(|&segment| segment == number(name)).unwrap();
    assert!(place("buys.most_likely") < place("z") && place("z") < place("a"));
    assert_eq!(rules.reads_of(number("a")).segments, [number("z")]);
    assert_eq!(rules.depends_on(number("a")), [number("buys.most_likely"), number("z")]);
    assert_eq!(rules.columns().properties.into_iter().collect::<Vec<_>>(), ["amount"]);
}

/// The transitions of user 0 from an instant to another, by a rule that reads no score.
fn transitions(definition: &SegmentDefinition, events: &[Event], to_us: i64) -> Vec<(i64, bool)> {
    let log = sample(events);
    let rules = RuleSet::new(std::slice::from_ref(definition), &[]).unwrap();
    let bound = rules.bind(&log, UnknownEvents::Empty, SPAN_US).unwrap();
    assert!(bound.fits(&log, &DictionarySizes::of(&log)));
    let mut evaluator = Evaluator::new(&bound, &log);
    let mut standings = [Standing::OUT];
    let mut found = Vec::new();
    let mut on = |transition: Transition| found.push((transition.time_us, transition.enter));
    let first_us = log.time_us()[0];
    evaluator.at(0, first_us, &mut NoScores, None, &mut standings).unwrap();
    evaluator.advance(0, first_us, to_us, &mut NoScores, &mut standings, &mut on).unwrap();
    found
}

#[test]
fn who_was_at_risk_leaves_as_the_third_contact_ages_out() {
    let start_us = instant_us("2026-01-01T00:00:00Z");
    let contacts = [0, 1, 2, 20].map(|day| event(0, start_us + day * DAY_US, "view"));
    let at_risk = SegmentDefinition::new("at_risk", "count(view, '30d') >= 3");
    let last_us = start_us + 100 * DAY_US;
    let (third_us, second_aged_us) = (start_us + 2 * DAY_US + 1, start_us + 31 * DAY_US + 1);
    assert_eq!(transitions(&at_risk, &contacts, last_us), [(third_us, true), (second_aged_us, false)]);
    let longer = SegmentDefinition { min_stay: Some("60d".to_owned()), ..at_risk.clone() };
    assert_eq!(transitions(&longer, &contacts, last_us), [(third_us, true), (third_us + 60 * DAY_US, false)]);
    let band = SegmentDefinition { stay: Some("count(view, '30d') >= 1".to_owned()), ..at_risk.clone() };
    assert_eq!(transitions(&band, &contacts, last_us), [(third_us, true), (start_us + 50 * DAY_US + 1, false)]);
    let over = SegmentDefinition { valid_until_us: Some(start_us + 10 * DAY_US), ..at_risk };
    assert_eq!(transitions(&over, &contacts, last_us), [(third_us, true), (start_us + 10 * DAY_US, false)]);
}

#[test]
fn quiet_hours_follow_the_wall_clock() {
    // The night in which London's clocks went forward.
    let start_us = instant_us("2024-03-30T21:30:00Z");
    let quiet = SegmentDefinition {
        timezone: "Europe/London".to_owned(),
        ..SegmentDefinition::new("quiet", "hour_now() >= 22 OR hour_now() < 8")
    };
    let expected = [("2024-03-30T22:00:00Z", true), ("2024-03-31T07:00:00Z", false), ("2024-03-31T21:00:00Z", true)];
    let expected = expected.map(|(instant, enter)| (instant_us(instant), enter));
    let events = [event(0, start_us, "view")];
    assert_eq!(transitions(&quiet, &events, instant_us("2024-04-01T00:00:00Z")), expected);
}

#[test]
fn fractions_are_solved_to_the_microsecond() {
    let start_us = instant_us("2024-01-01T00:00:30Z");
    let hour_us = DAY_US / 24;
    let views = [0, 2, 3].map(|hour| event(0, start_us + hour * hour_us, "view"));
    for (rule, expected_us) in [
        ("recency(view) * 24 >= 1", vec![hour_us, 2 * hour_us + 1, 3 * hour_us, 3 * hour_us + 1, 4 * hour_us]),
        // (t - 3) / t >= 0.75, t in hours.
        ("recency(view) / tenure(view) > 0.7499999999", vec![1, 2 * hour_us + 1, 12 * hour_us - 17]),
        ("tenure(view) > 2 * recency(view) + 1", vec![]),
        ("count(view) / tenure(view) < 12", vec![6 * hour_us + 1]),
        // Every 1.5 hours a view: so long after the last that two were due.
        ("recency(view) / ((tenure(view) - recency(view)) / (count(view) - 1)) >= 2", vec![6 * hour_us]),
        ("24 / (2 - recency(view)) BETWEEN 12 AND 24", vec![1, 27 * hour_us + 1]),
    ] {
        let found = transitions(&SegmentDefinition::new("a", rule), &views, start_us + 2 * DAY_US);
        let found: Vec<i64> = found.into_iter().map(|(now_us, _)| now_us - start_us).collect();
        assert_eq!(found, expected_us, "{rule}");
    }
}

#[test]
fn what_cannot_be_solved_is_looked_at_every_minute() {
    let start_us = instant_us("2024-01-01T00:00:30Z");
    let rule = SegmentDefinition::new("lapsed", "recency(view) * recency(view) * 576 >= 1");
    let found = transitions(&rule, &[event(0, start_us, "view")], start_us + DAY_US);
    assert_eq!(found, [(instant_us("2024-01-01T01:01:00Z"), true)]);
    assert_eq!(found[0].0 % RECHECK_US, 0);
    let rule = SegmentDefinition::new("lapsed", "recency(view) >= 0.5");
    assert_eq!(transitions(&rule, &[event(0, start_us, "view")], start_us + DAY_US), [(start_us + DAY_US / 2, true)]);
}

#[test]
fn whoever_requires_audits_has_nobody_without_them() {
    let log = log(&[&[event(0, 0, "view")]], &[]);
    let models = ["buys".to_owned(), "stays".to_owned()];
    let audited =
        |name: &str, rule: &str| SegmentDefinition { requires_audit: true, ..SegmentDefinition::new(name, rule) };
    let definitions = [
        SegmentDefinition::new("free", "count(view) >= 1 OR score(buys) > 2"),
        audited("own", "count(view) >= 1 OR score(buys) > 2"),
        audited("through", "count(view) >= 1 OR in_segment(free) OR tier(stays) = 'most_likely'"),
    ];
    let set = RuleSet::new(&definitions, &models).unwrap();
    // What requires nothing has its members whatever was audited.
    let cases: [(&[&str], [bool; 3]); 4] = [
        (&[], [true, false, false]),
        (&["buys"], [true, true, false]),
        (&["stays"], [true, false, false]),
        (&["buys", "stays"], [true, true, true]),
    ];
    for (audits, expected) in cases {
        let set = set.clone().with_audits(|model| audits.contains(&model));
        let number = |name| set.number(name).unwrap();
        let bound = set.bind(&log, UnknownEvents::Empty, SPAN_US).unwrap();
        let mut standings = vec![Standing::OUT; set.len()];
        Evaluator::new(&bound, &log).settle(0, 10, &mut NoScores, &mut standings).unwrap();
        let names = ["free", "own", "through"];
        assert_eq!(names.map(|name| standings[number(name)].member), expected, "audited: {audits:?}");
        let missing = names.map(|name| set.unaudited(number(name)).len());
        assert_eq!(missing.map(|missing| missing == 0), expected, "audited: {audits:?}");
    }
    let refused = RuleSet::new(&[audited("none", "count(view) >= 1")], &models).unwrap_err();
    assert!(matches!(refused, SegmentError::NothingToAudit { ref segment } if segment == "none"), "{refused}");
}
