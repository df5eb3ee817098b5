//! A model's plans, bound to the columns that a store has.

use std::sync::OnceLock;

use propense_core::events::EventLog;
use propense_core::features::{Plan, ScanPlan};
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
    shape: EventLog,
    all_features: OnceLock<ScanPlan>,
    lineage: u64,
}

impl Bound {
    /// Readies plans that are bound to the columns of `shape`.
    pub(super) fn new([plan, audience]: [Plan; 2], reads: Option<&[bool]>, shape: EventLog, lineage: u64) -> Self {
        Self {
            features: ScanPlan::new(&shape, &plan, reads),
            audience: ScanPlan::new(&shape, &audience, None),
            plan,
            shape,
            all_features: OnceLock::new(),
            lineage,
        }
    }

    /// Every feature, those that no tree reads included.
    pub(super) fn all_features(&self) -> &ScanPlan {
        self.all_features.get_or_init(|| ScanPlan::new(&self.shape, &self.plan, None))
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

/// From the first to the last instant that a calendar is to cover, both in: the usual ones, and those of some events.
pub(crate) fn span_us(log: &EventLog) -> (i64, i64) {
    let (first_us, last_us) = USUAL_SPAN_US;
    let (earliest_us, latest_us) = log.time_span_us().unwrap_or(USUAL_SPAN_US);
    (first_us.min(earliest_us), last_us.max(latest_us))
}
