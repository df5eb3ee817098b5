//! Random segments that read events, scores, tiers, each other and the clock, and models to give the scores.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use propense_core::events::EventLog;
use propense_core::expr::{Expr, UnknownEvents, parse};
use propense_core::features::reference::{Moment, Value, evaluate};
use propense_core::features::{Changes, Distinguished, Period, Plan, Scan, ScanPlan};
use propense_core::segments::reference::Model;
use propense_core::segments::{Score, SegmentDefinition, UserScores};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;

use super::comparison::spec;
use super::expressions::{SUBJECTS, aggregate as any_aggregate};
use super::moments::WINDOWS;

/// In an order in which no segment reads a later one, which is not that of their names.
const NAMES: [&str; 5] = ["keen", "at-risk", "quiet", "b2b", "_late"];
pub const MODELS: [&str; 2] = ["buys", "leaves soon"];
const TIERS: [&str; 3] = ["least_likely", "moderately_likely", "most_likely"];
const COMPARISONS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];
const DAYS: [&str; 12] =
    ["0", "0.041666666666666664", "0.25", "1", "1.5", "2", "7", "29.99", "30", "1e-11", "364", "0.000011574"];
const COUNTS: [&str; 8] = ["0", "1", "2", "0.5", "3", "0.75", "1.25", "NULL"];

pub fn comparison() -> impl Strategy<Value = &'static str> {
    select(&COMPARISONS[..])
}

/// A function over events; where a half-life is ages of the world, a decayed count cannot be solved.
fn aggregate() -> BoxedStrategy<String> {
    let solvable = |text: String| if text.starts_with("decayed") { text.replace(WINDOWS[8], WINDOWS[7]) } else { text };
    any_aggregate().prop_map(solvable).boxed()
}

/// A function that ages, of a subject and perhaps with a window.
pub fn aging() -> impl Strategy<Value = String> {
    let window = weighted(0.5, select(&WINDOWS[..]));
    let filter = select(&["", "", " FILTER (WHERE amount > 0.1)", " FILTER (WHERE gift)"][..]);
    (select(&["recency", "tenure"][..]), select(&SUBJECTS[..]), window, filter).prop_map(
        |(function, event, window, filter)| {
            let window = window.map_or_else(String::new, |window| format!(", '{window}'"));
            format!("{function}({event}{window}){filter}")
        },
    )
}

pub fn decayed() -> impl Strategy<Value = String> {
    (select(&SUBJECTS[..]), select(&WINDOWS[..8])).prop_map(|(event, life)| format!("decayed_count({event}, '{life}')"))
}

/// A fraction of values that age: those that automatic features have, and others. Over ages of the world, where a float
/// does not know a minute from the next, it cannot be solved: then what ages alone.
pub fn fraction(usual: bool) -> BoxedStrategy<String> {
    if !usual {
        return aging().boxed();
    }
    let days = select(&["active_days", "count"][..]);
    let parts = (aging(), aging(), select(&SUBJECTS[..]), days, 0..8);
    let text = parts.prop_map(|(one, other, event, days, form)| match form {
        0 => format!("{one} / ((tenure({event}) - recency({event})) / ({days}({event}) - 1))"),
        1 => format!("(tenure({event}) - recency({event})) / ({days}({event}) - 1)"),
        2 => format!("{one} / {other}"),
        3 => format!("{days}({event}) / {one}"),
        4 => format!("recency({event}) / tenure({event})"),
        5 => format!("1.5 * {one} + coalesce(mean(buy.amount), 0.25) - {other} / 3"),
        6 => format!("coalesce({one} / ({days}({event}) - 1), {other}) - 0.1"),
        _ => format!("{one} / {other} + 0.3 * {days}({event})"),
    });
    text.boxed()
}

/// Whether instants are of the years 1900 to 2199.
pub fn is_usual(times_us: &[i64]) -> bool {
    times_us.iter().all(|time_us| (-2_208_988_800_000_000..=7_258_118_399_999_999).contains(time_us))
}

/// Numbers that a fraction of whole hours is not.
pub const UNEVEN: [&str; 6] = ["0.123", "0.70711", "0.9973", "1.00031", "2.7183", "31.4159"];

/// Comparisons of fractions.
fn fractions(usual: bool) -> impl Strategy<Value = String> {
    let numbers = (select(&UNEVEN[..]), select(&UNEVEN[..]));
    (fraction(usual), comparison(), numbers, 0..7).prop_map(|(operand, op, (number, other), form)| match form {
        0 => format!("{number} {op} {operand}"),
        1 => format!("{operand} NOT BETWEEN {number} AND {other}"),
        2 => format!("coalesce({operand}, {number}) {op} {other}"),
        3 => format!("({operand}) IS NULL"),
        4 => format!("2.5 * recency(*) + {number} {op} tenure(view) / 3"),
        _ => format!("{operand} {op} {number}"),
    })
}

/// Comparisons that can be solved.
fn comparisons(usual: bool) -> impl Strategy<Value = String> {
    let with = |operand: BoxedStrategy<String>, numbers: &'static [&'static str]| {
        (operand, comparison(), select(numbers), 0..7).prop_map(|(operand, op, number, form)| match form {
            0 => format!("{number} {op} {operand}"),
            1 if number != "NULL" => format!("{operand} IN (1, 2, {number})"),
            2 => format!("{operand} NOT BETWEEN {number} AND 2"),
            3 if number != "NULL" => format!("coalesce({operand}, {number}) {op} 1"),
            4 => format!("({operand}) IS NULL"),
            _ => format!("{operand} {op} {number}"),
        })
    };
    prop_oneof![
        3 => with(aggregate(), &COUNTS),
        3 => with(aging().boxed(), &DAYS),
        2 => with(decayed().boxed(), &COUNTS),
        2 => fractions(usual),
        1 => select(&["attr(age) > 0.2", "attr(member)", "attr(country) = 'book'"][..]).prop_map(str::to_owned),
    ]
}

/// Reads of models, of earlier segments and of the clock.
fn outside(earlier: &'static [&'static str], clock: bool) -> BoxedStrategy<String> {
    let model = || select(&MODELS[..]).prop_map(|model| format!("\"{model}\""));
    let score = (model(), comparison(), select(&["0.2", "0.5", "0.6", "0.75"][..]))
        .prop_map(|(model, op, number)| format!("score({model}) {op} {number}"));
    let tier = (model(), select(&["=", "<>"][..]), select(&TIERS[..]))
        .prop_map(|(model, op, tier)| format!("tier({model}) {op} '{tier}'"));
    let tiers =
        (select(&MODELS[..]), select(&TIERS[..])).prop_map(|(model, tier)| format!("in_segment(\"{model}.{tier}\")"));
    let hours = (comparison(), 0..24).prop_map(|(op, hour)| format!("hour_now() {op} {hour}"));
    let days = (comparison(), 1..8).prop_map(|(op, day)| format!("weekday_now() {op} {day}"));
    let now = if clock { prop_oneof![3 => hours, 1 => days].boxed() } else { Just("TRUE".to_owned()).boxed() };
    let segment = if earlier.is_empty() {
        tiers.clone().boxed()
    } else {
        select(earlier).prop_map(|name| format!("in_segment(\"{name}\")")).boxed()
    };
    prop_oneof![2 => score, 1 => tier, 1 => tiers, 3 => segment, 2 => now].boxed()
}

fn condition(earlier: &'static [&'static str], clock: bool, usual: bool) -> BoxedStrategy<String> {
    let leaf = prop_oneof![3 => comparisons(usual), 1 => outside(earlier, clock)];
    let any = leaf.prop_recursive(2, 4, 2, |inner| {
        prop_oneof![
            4 => (inner.clone(), select(&["AND", "OR"][..]), inner.clone()).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
            1 => inner.prop_map(|a| format!("NOT ({a})")),
        ]
    });
    any.boxed()
}

/// Up to five segments in a random order; a `stay` is the rule or something weaker.
pub fn definitions(
    times_us: Vec<i64>,
    timezones: &'static [&'static str],
    clock: bool,
) -> impl Strategy<Value = Vec<SegmentDefinition>> {
    let usual = is_usual(&times_us);
    let definition = move |place: usize| {
        let min_stay = prop_oneof![2 => Just(None), 1 => select(&WINDOWS[..8]).prop_map(Some)];
        let instant = || weighted(0.15, select(times_us.clone()));
        let rules = (condition(&NAMES[..place], clock, usual), weighted(0.4, condition(&NAMES[..place], clock, usual)));
        (rules, min_stay, instant(), instant(), select(timezones)).prop_map(
            move |((rule, stay), min_stay, from, until, timezone)| {
                let until = until.filter(|&until| from.is_none_or(|from| from < until));
                SegmentDefinition {
                    stay: stay.map(|stay| format!("({rule}) OR ({stay})")),
                    min_stay: min_stay.map(str::to_owned),
                    valid_from_us: from,
                    valid_until_us: until,
                    timezone: timezone.to_owned(),
                    ..SegmentDefinition::new(NAMES[place], &rule)
                }
            },
        )
    };
    let all = (0..NAMES.len()).map(definition).collect::<Vec<_>>();
    (all, 1..=NAMES.len())
        .prop_map(|(mut definitions, count)| {
            definitions.truncate(count);
            definitions
        })
        .prop_shuffle()
}

/// A model: each feature with its thresholds, and a condition of the audience.
#[derive(Debug, Clone)]
pub struct Sketch {
    pub features: Vec<(String, Vec<f32>)>,
    pub audience: String,
}

pub fn sketch(usual: bool) -> impl Strategy<Value = Sketch> {
    let from = |numbers: &'static [f32]| vec(select(numbers), 0..4);
    let even = || from(&[0.0, 0.1, 0.5, 0.75, 1.0, 1.3, 2.0, 7.0, 30.0]);
    let feature = prop_oneof![2 => aging(), 1 => decayed(), 2 => aggregate()];
    let fraction = (fraction(usual), from(&[0.0, 0.123, 0.7107, 0.9973, 1.00031, 2.771, 31.459]));
    let feature = prop_oneof![5 => (feature, even()), 2 => fraction];
    let audience = prop_oneof![2 => Just("TRUE".to_owned()), 1 => comparisons(usual)];
    (vec(feature, 1..4), audience).prop_map(|(mut features, audience)| {
        for (_, thresholds) in &mut features {
            thresholds.sort_unstable_by(f32::total_cmp);
            thresholds.dedup();
        }
        Sketch { features, audience }
    })
}

impl Sketch {
    /// A score that depends on which thresholds a row's values have come to, and on which are missing.
    fn score(&self, row: &[f32]) -> Score {
        let mut hash = 17_u32;
        for (value, (_, thresholds)) in row.iter().zip(&self.features) {
            let bin = if value.is_nan() { 99 } else { thresholds.iter().filter(|&step| value >= step).count() as u32 };
            hash = hash.wrapping_mul(31).wrapping_add(bin);
        }
        let score = (hash.wrapping_mul(2_654_435_769) >> 8) as f32 / (1 << 24) as f32;
        (score, if score >= 0.7 { 2 } else { u8::from(score >= 0.3) })
    }

    /// The score of a user at an `as_of` by the reference.
    pub fn by_reference(&self, log: &EventLog) -> impl Fn(usize, i64) -> Option<Score> {
        let features: Vec<Expr> = self.features.iter().map(|(text, _)| parse(text).unwrap()).collect();
        let audience = parse(&self.audience).unwrap();
        move |user, as_of_us| {
            let moment = Moment { start_us: None, end_us: as_of_us, timezone: TimeZone::UTC };
            let value = |expr: &Expr| evaluate(log, expr, user, &moment);
            let row: Vec<f32> = features.iter().map(|feature| value(feature).as_f64() as f32).collect();
            (value(&audience) == Value::Boolean(true)).then(|| self.score(&row))
        }
    }

    /// As the oracle wants it.
    pub fn model<'a>(&self, name: &str, score: &'a dyn Fn(usize, i64) -> Option<Score>) -> Model<'a> {
        let parsed = |text: &String| -> Expr { parse(text).unwrap() };
        let features = self.features.iter().map(|(text, thresholds)| (parsed(text), thresholds.clone()));
        Model { name: name.to_owned(), score, features: features.collect(), audience: vec![parsed(&self.audience)] }
    }
}

/// Models as they are served: plans, and the instants at which they may change.
pub struct Scores<'a> {
    log: &'a EventLog,
    models: Vec<(Sketch, [ScanPlan; 2], [Changes; 2])>,
}

impl<'a> Scores<'a> {
    pub fn new(log: &'a EventLog, sketches: &[Sketch]) -> Self {
        let models = sketches.iter().map(|sketch| {
            let texts: Vec<String> = sketch.features.iter().map(|(text, _)| text.clone()).collect();
            let thresholds: Vec<Vec<f32>> = sketch.features.iter().map(|(_, thresholds)| thresholds.clone()).collect();
            let plan = |texts: &[String]| {
                let spec = propense_core::features::FeatureSpec { vocabularies: BTreeMap::new(), ..spec(texts, "UTC") };
                Plan::compile(&spec, log, UnknownEvents::Empty, i64::MAX).unwrap()
            };
            let plans = [plan(&texts), plan(std::slice::from_ref(&sketch.audience))];
            let changes = [
                Changes::new(log, &plans[0], |output| Distinguished::Steps(&thresholds[output])),
                Changes::new(log, &plans[1], |_| Distinguished::Everything),
            ];
            (sketch.clone(), plans.map(|plan| ScanPlan::new(log, &plan, None)), changes)
        });
        Self { log, models: models.collect() }
    }
}

impl UserScores for Scores<'_> {
    type Error = std::convert::Infallible;

    fn scores(
        &mut self,
        user: usize,
        as_of_us: i64,
        read: &[bool],
        out: &mut [Option<Score>],
    ) -> Result<(), Self::Error> {
        for (((sketch, plans, _), out), _) in self.models.iter().zip(out).zip(read).filter(|(_, read)| **read) {
            let row = |plan: &ScanPlan| {
                let mut row = vec![0.0; plan.width()];
                Scan::new(plan, self.log, Period::before(as_of_us)).write_row(user, &mut row);
                row
            };
            *out = (row(&plans[1])[0] == 1.0).then(|| sketch.score(&row(&plans[0])));
        }
        Ok(())
    }

    fn next_change_us(&self, user: usize, after_us: i64, read: &[bool]) -> i64 {
        let models = self.models.iter().zip(read).filter(|(_, read)| **read);
        let changes = models.flat_map(|((_, _, changes), _)| changes);
        changes.map(|changes| changes.next_us(self.log, user, after_us)).min().unwrap_or(i64::MAX)
    }
}
