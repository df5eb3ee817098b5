//! A model's plans, bound to the columns that a store has.

use std::sync::OnceLock;

use propense_core::events::EventLog;
use propense_core::expr::UnknownEvents;
use propense_core::features::{Changes, FeatureError, ParsedSpec, Plan, ScanPlan};
use propense_core::scorer::RowScorer;
use propense_onnx::OnnxModel;
use propense_store::Gathered;

/// The years 1900 to 2199, which the calendar of a plan covers unless an event is beyond them, microseconds.
pub(crate) const USUAL_SPAN_US: (i64, i64) = (-2_208_988_800_000_000, 7_258_118_399_999_999);

/// A plan's features and its audience's conditions, ready to run.
pub(crate) struct Bound {
    /// The features that the model reads.
    pub(super) features: ScanPlan,
    /// The conditions of the audience.
    pub(super) audience: ScanPlan,
    plan: Plan,
    audience_plan: Plan,
    changes: OnceLock<(Changes, Changes)>,
    shape: EventLog,
    all_features: OnceLock<ScanPlan>,
    lineage: u64,
}

impl Bound {
    /// Binds both to the columns of a log with dictionaries, for the events of `gathered` and most others.
    pub(super) fn new(
        features: &ParsedSpec,
        audience: &ParsedSpec,
        reads: Option<&[bool]>,
        shape: EventLog,
        gathered: &Gathered,
    ) -> Result<Self, FeatureError> {
        let (mut first_us, mut last_us) = USUAL_SPAN_US;
        if let Some((earliest_us, latest_us)) = gathered.log.time_span_us() {
            (first_us, last_us) = (first_us.min(earliest_us), last_us.max(latest_us));
        }
        // A model's vocabularies were filled at training: no instant matters here.
        let bind = |spec| Plan::bind(spec, &shape, UnknownEvents::Empty, i64::MAX, (first_us, last_us));
        let (plan, audience_plan) = (bind(features)?, bind(audience)?);
        Ok(Self {
            features: ScanPlan::new(&shape, &plan, reads),
            audience: ScanPlan::new(&shape, &audience_plan, None),
            plan,
            audience_plan,
            changes: OnceLock::new(),
            shape,
            all_features: OnceLock::new(),
            lineage: gathered.lineage,
        })
    }

    /// Every feature, those that no tree reads included.
    pub(super) fn all_features(&self) -> &ScanPlan {
        self.all_features.get_or_init(|| ScanPlan::new(&self.shape, &self.plan, None))
    }

    /// The first instant after another at which time alone may change a user's score or place in the audience.
    pub(crate) fn next_change_us(&self, model: &OnnxModel, log: &EventLog, user: usize, after_us: i64) -> i64 {
        let (features, audience) = self.changes.get_or_init(|| {
            let features = Changes::new(&self.shape, &self.plan, model.reads(), model.thresholds().as_deref());
            (features, Changes::new(&self.shape, &self.audience_plan, None, None))
        });
        features.next_us(log, user, after_us).min(audience.next_us(log, user, after_us))
    }

    /// Whether these events are as those that it was bound for.
    pub(super) fn fits(&self, gathered: &Gathered, with_features: bool) -> bool {
        let Gathered { log, sizes, lineage } = gathered;
        self.lineage == *lineage
            && self.features.fits(log, sizes)
            && self.audience.fits(log, sizes)
            && (!with_features || self.all_features().fits(log, sizes))
    }
}
