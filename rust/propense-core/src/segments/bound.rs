//! Rules bound to the columns of a log.

use super::error::SegmentError;
use super::rules::{Rule, RuleSet};
use crate::events::{ColumnKind, EventLog};
use crate::expr::{Binder, Expr, Function, Program, UnknownEvents};
use crate::features::{Changes, DictionarySizes, Plan, ScanPlan};

/// Rules ready to run over the log that they were bound to and any other of its shape.
pub struct BoundRules {
    pub(super) rules: RuleSet,
    /// Of all segments.
    pub(super) all: Stage,
    /// Of those that depend on who was in them and what they read; `None` if there are none, or no others.
    pub(super) lasting: Option<Stage>,
    /// Whether a segment that depends on who was in it reads another such.
    pub(super) nested: bool,
}

/// Some segments, ready to be evaluated together.
pub(super) struct Stage {
    /// In order: each after those it reads.
    pub(super) steps: Vec<Step>,
    /// One a time zone.
    pub(super) groups: Vec<Group>,
    pub(super) changes: Changes,
    /// Which models are read.
    pub(super) models: Vec<bool>,
    pub(super) reads_models: bool,
    /// The instants at which segments begin and cease to be valid, ascending.
    pub(super) validity_us: Vec<i64>,
}

/// One segment.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) segment: usize,
    pub(super) group: usize,
    pub(super) rule: Program,
    pub(super) stay: Option<Program>,
    pub(super) min_stay_us: Option<i64>,
    pub(super) valid_us: (i64, i64),
}

/// The rules of a time zone.
pub(super) struct Group {
    pub(super) plan: Plan,
    pub(super) scan: ScanPlan,
    pub(super) reads_clock: bool,
}

impl BoundRules {
    /// The rules bound.
    #[must_use]
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// Whether the rules give a log's segments as if they had been bound to it: as [`ScanPlan::fits`].
    #[must_use]
    pub fn fits(&self, log: &EventLog, sizes: &DictionarySizes) -> bool {
        self.all.groups.iter().all(|group| group.scan.fits(log, sizes))
    }

    /// The sets of models, as places in [`RuleSet::models`], whose changes are asked for together.
    #[must_use]
    pub fn model_sets(&self) -> Vec<&[bool]> {
        let mut sets: Vec<&[bool]> = Vec::with_capacity(2);
        for stage in [&self.all].into_iter().chain(&self.lasting) {
            if !sets.contains(&stage.models.as_slice()) {
                sets.push(&stage.models);
            }
        }
        sets
    }

    /// Whether some rule holds what cannot be solved, so that it is looked at again at every multiple of
    /// [`RECHECK_US`](crate::features::RECHECK_US); between them its answer at an instant may be another.
    #[must_use]
    pub fn rechecks(&self) -> bool {
        self.all.changes.rechecks()
    }
}

impl RuleSet {
    /// Binds the rules to the columns of a log with dictionaries. Local days and hours are right for events and
    /// instants from the first to the last of `span_us`, both in.
    ///
    /// # Errors
    /// An event type, property or attribute is unknown, an operand has the wrong type, or a rule is not a condition;
    /// says which segment.
    pub fn bind(
        &self,
        shape: &EventLog,
        unknown_events: UnknownEvents,
        span_us: (i64, i64),
    ) -> Result<BoundRules, SegmentError> {
        let stage = |wanted: &[bool]| self.stage(wanted, shape, unknown_events, span_us);
        let all = stage(&vec![true; self.len()])?;
        let lasting = self.closure(|segment| self.path_dependent()[segment]);
        let some = lasting.contains(&true) && lasting.contains(&false);
        let lasts = |segment: &usize| self.path_dependent()[*segment];
        let nested = (0..self.len()).filter(lasts).any(|segment| self.depends_on(segment).iter().any(lasts));
        Ok(BoundRules { rules: self.clone(), all, nested, lasting: some.then(|| stage(&lasting)).transpose()? })
    }

    fn stage(
        &self,
        wanted: &[bool],
        shape: &EventLog,
        unknown_events: UnknownEvents,
        span_us: (i64, i64),
    ) -> Result<Stage, SegmentError> {
        let order: Vec<usize> = self.order().iter().copied().filter(|&segment| wanted[segment]).collect();
        let zones = self.zones(&order);
        let mut steps: Vec<Option<Step>> = order.iter().map(|_| None).collect();
        let mut groups = Vec::with_capacity(zones.len());
        for (group, zone) in zones.iter().enumerate() {
            let mut binder = Binder::for_rules(shape, unknown_events, self.externals());
            let mut outputs = Vec::new();
            for (step, &segment) in steps.iter_mut().zip(&order) {
                let rule = &self.rules()[segment];
                if zone_of(rule).unwrap_or(zones[0]) != *zone {
                    continue;
                }
                let mut programs = Vec::with_capacity(2);
                for (part, expr, text) in rule.parts() {
                    let segment = || self.names()[segment].clone();
                    let located = |source| SegmentError::Rule { segment: segment(), part, source };
                    let bound = binder.bind(expr, text).map_err(located)?;
                    if bound.kind != ColumnKind::Boolean && !bound.program.is_null() {
                        let (text, found) = (text.to_owned(), bound.kind.name());
                        return Err(SegmentError::NotACondition { segment: segment(), part, text, found });
                    }
                    outputs.push(bound.program.clone());
                    programs.push(bound.program);
                }
                let mut programs = programs.into_iter();
                *step = programs.next().map(|rule_program| Step {
                    segment,
                    group,
                    rule: rule_program,
                    stay: programs.next(),
                    min_stay_us: rule.min_stay_us,
                    valid_us: rule.validity_us(),
                });
            }
            let reads_clock = order.iter().any(|&segment| {
                let rule = &self.rules()[segment];
                zone_of(rule) == Some(zone) && expressions(rule).any(|part| matches!(part, Expr::Now(_)))
            });
            // Every definition's time zone was looked up when it was parsed.
            let plan = Plan::of_programs(binder.into_leaves(), outputs, zone, span_us)
                .map_err(|_| SegmentError::TimeZone { segment: String::new(), name: (*zone).to_owned() })?;
            groups.push(Group { scan: ScanPlan::new(shape, &plan, None), plan, reads_clock });
        }
        let models = self.models_of(wanted);
        let mut validity_us: Vec<i64> = (order.iter())
            .flat_map(|&segment| <[i64; 2]>::from(self.rules()[segment].validity_us()))
            .filter(|&instant_us| instant_us != i64::MIN && instant_us != i64::MAX)
            .collect();
        validity_us.sort_unstable();
        validity_us.dedup();
        let mut changes = Changes::default();
        for group in &groups {
            changes.add_conditions(shape, &group.plan);
        }
        Ok(Stage {
            steps: steps.into_iter().flatten().collect(),
            groups,
            changes,
            reads_models: models.contains(&true),
            models,
            validity_us,
        })
    }

    /// The time zones in which rules are evaluated, at least one; rules that read no calendar go with the first.
    fn zones(&self, order: &[usize]) -> Vec<&str> {
        let mut zones: Vec<&str> = order.iter().filter_map(|&segment| zone_of(&self.rules()[segment])).collect();
        zones.sort_unstable();
        zones.dedup();
        if zones.is_empty() {
            zones.push("UTC");
        }
        zones
    }
}

/// The time zone of a rule, if it matters to it.
fn zone_of(rule: &Rule) -> Option<&str> {
    let of_calendar = |part: &Expr| match part {
        Expr::Now(_) => true,
        Expr::Aggregate(aggregate) => matches!(
            aggregate.function,
            Function::ActiveDays | Function::HourShare { .. } | Function::WeekdayShare { .. }
        ),
        _ => false,
    };
    expressions(rule).any(of_calendar).then(|| rule.timezone())
}

fn expressions(rule: &Rule) -> impl Iterator<Item = &Expr> {
    rule.parts().flat_map(|(_, expr, _)| expr.parts())
}
