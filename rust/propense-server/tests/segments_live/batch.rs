//! What a batch run says: the evaluator over a log of its own, and the slow oracle of the core, which shares no code with it.

use propense_core::events::EventLog;
use propense_core::expr::{UnknownEvents, parse};
use propense_core::features::{Changes, Distinguished, FeatureSpec, Period, Plan, Progress, audience};
use propense_core::scorer::{RowScorer, score_users};
use propense_core::segments::reference::{Model, Oracle};
use propense_core::segments::{BoundRules, Evaluator, RuleSet, Score, SegmentDefinition, Standing, UserScores};
use propense_onnx::LoadedModel;

use crate::dice::MODEL;

const SPAN_US: (i64, i64) = (-2_208_988_800_000_000, 7_258_118_399_999_999);

/// Segments over a log.
pub struct Batch<'a> {
    pub log: &'a EventLog,
    definitions: &'a [SegmentDefinition],
    bound: BoundRules,
    scores: Option<BatchScores<'a>>,
}

/// A model's plans over a log.
#[derive(Clone, Copy)]
struct BatchScores<'a> {
    log: &'a EventLog,
    model: &'a LoadedModel,
    plans: &'a [Plan; 2],
    changes: &'a [Changes; 2],
}

impl BatchScores<'_> {
    fn score(&self, user: usize, as_of_us: i64) -> Option<Score> {
        let (period, progress) = (Period::before(as_of_us), Progress::default());
        let members = audience(self.log, &self.plans[1], period, &progress).unwrap();
        members.binary_search(&(user as u32)).ok()?;
        let users = [user as u32];
        let scores = score_users(self.log, &self.plans[0], period, &users, &self.model.onnx, &progress).unwrap();
        Some((scores[0], 2 - self.model.tier(scores[0]) as u8))
    }
}

impl UserScores for BatchScores<'_> {
    type Error = std::convert::Infallible;

    fn scores(&mut self, user: usize, as_of_us: i64, _: &[bool], out: &mut [Option<Score>]) -> Result<(), Self::Error> {
        out[0] = self.score(user, as_of_us);
        Ok(())
    }

    fn next_change_us(&self, user: usize, after_us: i64, _: &[bool]) -> i64 {
        self.changes.iter().map(|changes| changes.next_us(self.log, user, after_us)).min().unwrap()
    }
}

/// Those of the features and of the audience.
pub type Plans = ([Plan; 2], [Changes; 2]);

/// A model's plans and changes over a log.
pub fn plans(model: &LoadedModel, log: &EventLog) -> Plans {
    let conditions: Vec<_> = model.audience.iter().map(|text| (None, text.clone())).collect();
    let conditions = FeatureSpec::declare(&conditions, model.timezone()).unwrap();
    let compile = |spec| Plan::compile(spec, log, UnknownEvents::Empty, i64::MAX).unwrap();
    let plans = [compile(&model.spec), compile(&conditions)];
    let thresholds = model.onnx.thresholds();
    let changes = [
        Changes::new(log, &plans[0], |output| {
            Distinguished::by_model(model.onnx.reads(), thresholds.as_deref(), output)
        }),
        Changes::new(log, &plans[1], |_| Distinguished::Everything),
    ];
    (plans, changes)
}

impl<'a> Batch<'a> {
    pub fn new(
        log: &'a EventLog,
        definitions: &'a [SegmentDefinition],
        model: Option<(&'a LoadedModel, &'a Plans)>,
    ) -> Self {
        let models: Vec<String> = model.iter().map(|_| MODEL.to_owned()).collect();
        let rules = RuleSet::new(definitions, &models).unwrap();
        let bound = rules.bind(log, UnknownEvents::Empty, SPAN_US).unwrap();
        let scores = model.map(|(model, (plans, changes))| BatchScores { log, model, plans, changes });
        Self { log, definitions, bound, scores }
    }

    pub fn names(&self) -> &[String] {
        self.bound.rules().names()
    }

    /// Where a user stands in every segment.
    pub fn standings(&self, user: usize, as_of_us: i64) -> Vec<Standing> {
        let mut out = vec![Standing::OUT; self.names().len()];
        let mut evaluator = Evaluator::new(&self.bound, self.log);
        if let Some(mut scores) = self.scores {
            evaluator.replay(user, as_of_us, &mut scores, &mut out).unwrap();
        } else {
            let mut none = propense_core::segments::NoScores;
            evaluator.replay(user, as_of_us, &mut none, &mut out).unwrap();
        }
        out
    }

    /// Which segments users are in at instants, as `pp.segment` finds it: from as little of the past as decides.
    pub fn members(&self, asked: &[(usize, i64)]) -> Vec<Vec<bool>> {
        let mut evaluator = Evaluator::new(&self.bound, self.log);
        let mut out = vec![Standing::OUT; self.names().len()];
        let mut members = |&(user, as_of_us): &(usize, i64)| {
            if let Some(mut scores) = self.scores {
                evaluator.settle(user, as_of_us, &mut scores, &mut out).unwrap();
            } else {
                evaluator.settle(user, as_of_us, &mut propense_core::segments::NoScores, &mut out).unwrap();
            }
            out.iter().map(|standing| standing.member).collect()
        };
        asked.iter().map(&mut members).collect()
    }

    /// The same by the slow oracle.
    pub fn slow_standings(&self, user: usize, as_of_us: i64) -> Vec<Standing> {
        let score = |user: usize, as_of_us: i64| self.scores.and_then(|scores| scores.score(user, as_of_us));
        let models = self.scores.iter().map(|scores| {
            let thresholds = scores.model.onnx.thresholds().unwrap();
            let features = scores.model.spec.features.iter().zip(thresholds);
            Model {
                name: MODEL.to_owned(),
                score: &score,
                features: features.map(|(feature, steps)| (parse(&feature.expression).unwrap(), steps)).collect(),
                audience: scores.model.audience.iter().map(|text| parse(text).unwrap()).collect(),
            }
        });
        let oracle = Oracle::new(self.log, self.definitions, models.collect());
        oracle.standings(user, as_of_us).into_values().collect()
    }
}
