//! A model's plans, bound to the columns that a store has.

use propense_core::events::EventLog;
use propense_core::expr::UnknownEvents;
use propense_core::features::{FeatureError, ParsedSpec, Plan, ScanPlan};

use super::source::Gathered;

/// The years 1900 to 2199, which the calendar of a plan covers unless an event is beyond them, microseconds.
const USUAL_SPAN_US: (i64, i64) = (-2_208_988_800_000_000, 7_258_118_399_999_999);

/// A plan's features and its audience's conditions, ready to run.
pub(super) struct Bound {
    /// The features that the model reads.
    pub(super) features: ScanPlan,
    /// All features.
    pub(super) all_features: ScanPlan,
    /// The conditions of the audience.
    pub(super) audience: ScanPlan,
    lineage: u64,
}

impl Bound {
    /// Binds both to the columns of a log without rows, for the events of `gathered` and most others.
    pub(super) fn new(
        features: &ParsedSpec,
        audience: &ParsedSpec,
        reads: Option<&[bool]>,
        shape: &EventLog,
        gathered: &Gathered,
    ) -> Result<Self, FeatureError> {
        let (mut first_us, mut last_us) = USUAL_SPAN_US;
        if let Some((earliest_us, latest_us)) = gathered.log.time_span_us() {
            (first_us, last_us) = (first_us.min(earliest_us), last_us.max(latest_us));
        }
        // A model's vocabularies were filled at training: no instant matters here.
        let bind = |spec| Plan::bind(spec, shape, UnknownEvents::Empty, i64::MAX, (first_us, last_us));
        let (features, audience) = (bind(features)?, bind(audience)?);
        Ok(Self {
            features: ScanPlan::new(shape, &features, reads),
            all_features: ScanPlan::new(shape, &features, None),
            audience: ScanPlan::new(shape, &audience, None),
            lineage: gathered.lineage,
        })
    }

    /// Whether these events are as those that it was bound for.
    pub(super) fn fits(&self, gathered: &Gathered) -> bool {
        let Gathered { log, sizes, lineage } = gathered;
        self.lineage == *lineage
            && [&self.features, &self.all_features, &self.audience].into_iter().all(|plan| plan.fits(log, sizes))
    }
}
