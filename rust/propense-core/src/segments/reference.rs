//! Who is in which segment, slow and obvious: the oracle to which the tests hold the evaluator.
//!
//! It walks a user's timeline over a list of all instants that could matter, made by brute force: every event's time,
//! one microsecond after it, one after every window that a text names, every multiple of a quarter of an hour where a
//! rule reads the clock, and wherever a comparison changes its answer between two of these, found by halving. It
//! evaluates the expressions as they were parsed with [`evaluate_with`] and shares no code with the binder, the plan,
//! the kernels or [`Changes`](crate::features::Changes).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::definition::SegmentDefinition;
use super::standing::{Score, Standing};
use crate::events::EventLog;
use crate::expr::{BinaryOp, Clock, Expr, Function, Literal, MathFunction, parse_duration_us, parse_segment_rule};
use crate::features::RECHECK_US;
use crate::features::reference::{Moment, Value, evaluate_with};

/// A quarter of an hour: all clocks of today's time zones change at multiples of it.
const QUARTER_US: i64 = 900_000_000;

/// A model as the oracle sees it.
pub struct Model<'a> {
    /// Its name.
    pub name: String,
    /// A user's score at an `as_of`; `None` outside the audience.
    pub score: &'a dyn Fn(usize, i64) -> Option<Score>,
    /// What the score is made of and, for each, the f32 at which it may change.
    pub features: Vec<(Expr, Vec<f32>)>,
    /// Conditions of its audience.
    pub audience: Vec<Expr>,
}

/// Segments and models over a log.
pub struct Oracle<'a> {
    log: &'a EventLog,
    segments: BTreeMap<String, Segment>,
    models: Vec<Model<'a>>,
}

struct Segment {
    rule: Expr,
    stay: Option<Expr>,
    min_stay_us: Option<i64>,
    valid_us: (i64, i64),
    timezone: TimeZone,
}

/// A value that may change with time alone, and a number that it is compared with.
enum Atom {
    /// Whether it is the number or above.
    Reaches(Expr, f64),
    /// Whether it is above the number.
    Exceeds(Expr, f64),
    /// Whether the nearest f32 is the number or above.
    Single(Expr, f32),
}

impl<'a> Oracle<'a> {
    /// An oracle over definitions that are known to be right.
    ///
    /// # Panics
    /// They are not.
    #[must_use]
    #[allow(clippy::expect_used)]
    pub fn new(log: &'a EventLog, definitions: &[SegmentDefinition], models: Vec<Model<'a>>) -> Self {
        let parse = |text: &String| parse_segment_rule(text).expect("a rule that parses");
        let zone = |name: &str| TimeZone::get(name).expect("a known time zone");
        let mut segments = BTreeMap::new();
        for definition in definitions {
            let segment = Segment {
                rule: parse(&definition.rule),
                stay: definition.stay.as_ref().map(parse),
                min_stay_us: definition.min_stay.as_ref().map(|text| parse_duration_us(text).expect("an interval")),
                valid_us: (definition.valid_from_us.unwrap_or(i64::MIN), definition.valid_until_us.unwrap_or(i64::MAX)),
                timezone: zone(&definition.timezone),
            };
            segments.insert(definition.name.clone(), segment);
        }
        for model in &models {
            for tier in ["least_likely", "moderately_likely", "most_likely"] {
                let rule = parse(&format!("tier(\"{}\") = '{tier}'", model.name.replace('"', "\"\"")));
                let segment = Segment {
                    rule,
                    stay: None,
                    min_stay_us: None,
                    valid_us: (i64::MIN, i64::MAX),
                    timezone: TimeZone::UTC,
                };
                segments.insert(format!("{}.{tier}", model.name), segment);
            }
        }
        Self { log, segments, models }
    }

    /// Where a user stands at an instant in every segment, by name.
    #[must_use]
    pub fn standings(&self, user: usize, as_of_us: i64) -> BTreeMap<String, Standing> {
        self.timeline(user, as_of_us).pop_last().map(|(_, standings)| standings).unwrap_or_default()
    }

    /// Where a user stands at every instant at which that may have changed up to another, and at that.
    #[must_use]
    pub fn timeline(&self, user: usize, as_of_us: i64) -> BTreeMap<i64, BTreeMap<String, Standing>> {
        let mut instants = self.instants(user, as_of_us);
        let mut timeline = BTreeMap::new();
        let mut standings: BTreeMap<String, Standing> =
            self.segments.keys().map(|name| (name.clone(), Standing::OUT)).collect();
        while let Some(now_us) = instants.pop_first() {
            let before = standings.clone();
            for (name, standing) in &mut standings {
                let member = self.member(name, user, now_us, &before);
                if member != standing.member {
                    *standing = if member { Standing { member, since_us: now_us } } else { Standing::OUT };
                }
                let min_stay_us = self.segments[name].min_stay_us;
                if let (true, Some(min_stay_us)) = (standing.member, min_stay_us) {
                    let end_us = standing.since_us.saturating_add(min_stay_us);
                    if end_us > now_us && end_us <= as_of_us {
                        instants.insert(end_us);
                    }
                }
            }
            timeline.insert(now_us, standings.clone());
        }
        timeline
    }

    /// Whether a user is in a segment at an instant.
    fn member(&self, name: &str, user: usize, now_us: i64, before: &BTreeMap<String, Standing>) -> bool {
        let segment = &self.segments[name];
        let (from_us, until_us) = segment.valid_us;
        let holds = |expr: &Expr| {
            let outside = |expr: &Expr| self.outside(expr, user, now_us, &segment.timezone, before);
            self.value(expr, user, now_us, &segment.timezone, &outside) == Value::Boolean(true)
        };
        let was = before[name];
        let stays = || {
            segment.stay.as_ref().is_some_and(holds)
                || segment.min_stay_us.is_some_and(|length_us| now_us < was.since_us.saturating_add(length_us))
        };
        from_us <= now_us && now_us < until_us && (holds(&segment.rule) || (was.member && stays()))
    }

    fn value(
        &self,
        expr: &Expr,
        user: usize,
        now_us: i64,
        timezone: &TimeZone,
        outside: &dyn Fn(&Expr) -> Value,
    ) -> Value {
        let moment = Moment { start_us: None, end_us: now_us, timezone: timezone.clone() };
        evaluate_with(self.log, expr, user, &moment, outside)
    }

    /// The value of what is not in the log.
    fn outside(
        &self,
        expr: &Expr,
        user: usize,
        now_us: i64,
        timezone: &TimeZone,
        before: &BTreeMap<String, Standing>,
    ) -> Value {
        let score = |name: &String| {
            let model = self.models.iter().find(|model| model.name == *name)?;
            (model.score)(user, now_us)
        };
        match expr {
            Expr::Score { name, .. } => score(name).map_or(Value::Missing, |score| Value::Number(score.0.into())),
            Expr::Tier { name, .. } => score(name).map_or(Value::Missing, |(_, tier)| {
                let names = ["least_likely", "moderately_likely", "most_likely"];
                Value::Text(names[usize::from(tier)].to_owned())
            }),
            Expr::InSegment { name, .. } => Value::Boolean(self.member(name, user, now_us, before)),
            Expr::Now(clock) => {
                let second = Timestamp::from_second(now_us.div_euclid(1_000_000)).unwrap_or_default();
                let local = second.to_zoned(timezone.clone());
                Value::Number(match clock {
                    Clock::Hour => f64::from(local.hour()),
                    Clock::Weekday => f64::from(local.weekday().to_monday_one_offset()),
                })
            }
            _ => Value::Missing,
        }
    }

    /// Every instant that could matter: from the user's first event, up to and with the `as_of`.
    fn instants(&self, user: usize, as_of_us: i64) -> BTreeSet<i64> {
        let times_us = &self.log.time_us()[self.log.rows(user)];
        let Some(&first_us) = times_us.first().filter(|&&first_us| first_us < as_of_us) else {
            return BTreeSet::from([as_of_us]);
        };
        let (mut instants, mut lengths_us) = (BTreeSet::from([first_us, as_of_us]), BTreeSet::from([0]));
        let mut atoms = Vec::new();
        let mut rechecks = false;
        for expr in self.expressions() {
            for part in expr.parts() {
                if let Expr::Aggregate(aggregate) = part {
                    lengths_us.extend(aggregate.window_us);
                }
            }
            rechecks |= compared(expr, &mut atoms);
        }
        for (feature, steps) in self.models.iter().flat_map(|model| &model.features) {
            atoms.extend(steps.iter().map(|&step| Atom::Single(feature.clone(), step)));
        }
        for &time_us in times_us {
            for &length_us in &lengths_us {
                instants.extend(time_us.checked_add(length_us).and_then(|end_us| end_us.checked_add(1)));
            }
        }
        for segment in self.segments.values() {
            instants.extend([segment.valid_us.0, segment.valid_us.1]);
        }
        let reads_clock = |expr: &Expr| expr.parts().iter().any(|part| matches!(part, Expr::Now(_)));
        let mut every = |step_us: i64| {
            let mut instant_us = first_us.div_euclid(step_us) * step_us;
            while instant_us <= as_of_us {
                instants.insert(instant_us);
                instant_us = instant_us.saturating_add(step_us);
            }
        };
        if self.expressions().any(reads_clock) {
            every(QUARTER_US);
        }
        if rechecks {
            every(RECHECK_US);
        }
        instants.retain(|&instant_us| first_us <= instant_us && instant_us <= as_of_us);
        // Just before an instant too: what an event brings could hide what time took.
        let before = instants.range(first_us.saturating_add(1)..).map(|instant_us| instant_us - 1);
        let ends_us: BTreeSet<i64> = before.chain(instants.iter().copied()).collect();
        let ends_us: Vec<i64> = ends_us.into_iter().collect();
        for atom in &atoms {
            let answer = |now_us: i64| self.answer(atom, user, now_us);
            let answers: Vec<bool> = ends_us.iter().map(|&end_us| answer(end_us)).collect();
            for place in 1..ends_us.len() {
                if answers[place - 1] != answers[place] {
                    instants.insert(flip_us(answer, ends_us[place - 1], ends_us[place]));
                }
            }
        }
        instants
    }

    fn answer(&self, atom: &Atom, user: usize, now_us: i64) -> bool {
        let value = |expr| self.value(expr, user, now_us, &TimeZone::UTC, &|_| Value::Missing).as_f64();
        match atom {
            Atom::Reaches(expr, number) => value(expr) >= *number,
            Atom::Exceeds(expr, number) => value(expr) > *number,
            Atom::Single(expr, step) => value(expr) as f32 >= *step,
        }
    }

    /// All expressions of segments and models.
    fn expressions(&self) -> impl Iterator<Item = &Expr> {
        let of_segments = self.segments.values().flat_map(|segment| [Some(&segment.rule), segment.stay.as_ref()]);
        let of_models = self.models.iter().flat_map(move |model| {
            let mut expressions: Vec<&Expr> = model.audience.iter().collect();
            expressions.extend(model.features.iter().map(|(feature, _)| feature));
            expressions
        });
        of_segments.flatten().chain(of_models)
    }
}

/// Where between two instants with different answers an answer that changes once changes.
fn flip_us(answer: impl Fn(i64) -> bool, mut before_us: i64, mut at_us: i64) -> i64 {
    let after = answer(at_us);
    while at_us.abs_diff(before_us) > 1 {
        let middle_us = before_us.midpoint(at_us);
        if answer(middle_us) == after { at_us = middle_us } else { before_us = middle_us }
    }
    at_us
}

/// Adds the comparisons of an expression that may change with time alone; says whether any such value is put to another
/// use.
fn compared(expr: &Expr, atoms: &mut Vec<Atom>) -> bool {
    let ages = |expr: &Expr| {
        expr.parts().iter().any(|part| {
            let of =
                |function| matches!(function, Function::Recency | Function::Tenure | Function::DecayedCount { .. });
            matches!(part, Expr::Aggregate(aggregate) if of(aggregate.function))
        })
    };
    if !ages(expr) {
        return false;
    }
    let mut add = |value: &Expr, number: f64| {
        atoms.extend([Atom::Reaches(value.clone(), number), Atom::Exceeds(value.clone(), number)]);
    };
    let number = |expr: &Expr| match expr {
        Expr::Literal(Literal::Number(number)) => Some(*number),
        _ => None,
    };
    match expr {
        Expr::Binary(op, left, right) if op.is_comparison() => {
            if !is_monotone(left) || !is_monotone(right) {
                return true;
            }
            match (number(left), number(right)) {
                (_, Some(number)) => add(left, number),
                (Some(number), _) => add(right, number),
                // With NULL, nothing.
                _ if matches!(left.as_ref(), Expr::Literal(_)) || matches!(right.as_ref(), Expr::Literal(_)) => {}
                _ => add(&Expr::Binary(BinaryOp::Subtract, left.clone(), right.clone()), 0.0),
            }
            false
        }
        Expr::InList(operand, list) if is_monotone(operand) => {
            list.iter()
                .filter_map(|literal| number(&Expr::Literal(literal.clone())))
                .for_each(|number| add(operand, number));
            false
        }
        Expr::Binary(_, left, right) => {
            let left = compared(left, atoms);
            compared(right, atoms) || left
        }
        Expr::Unary(_, operand) => compared(operand, atoms),
        // Whether there is a value depends on the events alone, and so does what is text.
        expr => !is_monotone(expr),
    }
}

/// Whether a value that may change with time alone only rises or only falls between the instants at which events come and
/// go: what ages, another in its place, and fractions of lines whose denominators are not 0 in between.
fn is_monotone(expr: &Expr) -> bool {
    let decays = |expr: &Expr| {
        let decays = |function| matches!(function, Function::DecayedCount { .. });
        matches!(expr, Expr::Aggregate(aggregate) if decays(aggregate.function))
    };
    match expr {
        Expr::Aggregate(_) | Expr::Literal(_) => true,
        Expr::Math(MathFunction::Coalesce, operands) => operands.iter().all(is_monotone),
        Expr::Binary(op, left, right) if !op.is_comparison() => {
            is_monotone(left) && is_monotone(right) && !expr.parts().into_iter().any(decays)
        }
        _ => false,
    }
}
