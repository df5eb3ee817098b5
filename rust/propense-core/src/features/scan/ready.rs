//! A plan made ready to run.

use super::finish::Finish;
use super::layout::Layout;
use super::shape::{DictionarySizes, Shape};
use super::states::State;
use crate::events::EventLog;
use crate::features::calendar::Calendar;
use crate::features::plan::Plan;

/// A plan made ready to run: what each event sets off, and what each column of a row is made of.
///
/// It runs over the log that it was made for, and over any other of the same shape ([`ScanPlan::fits`]).
pub struct ScanPlan {
    shape: Shape,
    width: usize,
    pub(super) layout: Layout,
    /// The states of a user without events, one an op.
    pub(super) initial: Vec<State>,
    pub(super) finish: Finish,
}

impl ScanPlan {
    /// Readies those columns of a plan that are read; the others are never written. `None` reads all.
    #[must_use]
    pub fn new(log: &EventLog, plan: &Plan, reads: Option<&[bool]>) -> Self {
        let is_read = |output: usize| reads.is_none_or(|reads| reads.get(output) == Some(&true));
        let mut leaf_is_read = vec![false; plan.leaves.len()];
        for (output, program) in plan.outputs.iter().enumerate() {
            if is_read(output) {
                program.for_each_leaf(&mut |leaf| leaf_is_read[leaf] = true);
            }
        }
        let layout = Layout::new(log, plan, |leaf| leaf_is_read[leaf]);
        let leaves = plan.leaves.iter().zip(&leaf_is_read).filter(|(_, is_read)| **is_read).map(|(leaf, _)| leaf);
        let ops = layout.lists.iter().flat_map(|list| &list.ops);
        Self {
            shape: Shape::of(log, leaves),
            width: plan.width(),
            initial: ops.map(|op| State::new(op.kind)).collect(),
            finish: Finish::new(
                &plan.outputs,
                &layout.readings,
                layout.counts_of_none.len(),
                layout.numbers_of_none.len(),
                is_read,
            ),
            layout,
        }
    }

    /// How many values a row has.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many values [`Scan::write_values`](super::Scan::write_values) writes.
    pub(in crate::features) fn values(&self) -> usize {
        self.layout.counts_of_none.len() + self.layout.numbers_of_none.len() + self.finish.evaluated()
    }

    /// For each column that is read, which of the values it is and its number, in the order of the values.
    pub(in crate::features) fn columns(&self) -> &[(u32, u32)] {
        self.finish.columns()
    }

    /// Whether the plan gives a log's features as if it had been made for it: codes mean the same event types and texts,
    /// what is read lies in cells of the same type, and no event is beyond the time that the calendar covers.
    ///
    /// That equal codes stand for equal texts is for the caller to know: the two logs must share dictionaries that only
    /// grow. What is compared is how far they have grown, which for `log` is `sizes`: no further than for the plan.
    #[must_use]
    pub fn fits(&self, log: &EventLog, sizes: &DictionarySizes) -> bool {
        let calendar = self.layout.wanted.calendar.as_ref();
        self.shape.fits(log, sizes) && calendar.is_none_or(|calendar| covers(calendar, log))
    }
}

/// Whether a calendar's offsets reach to every event of a log.
fn covers(calendar: &Calendar, log: &EventLog) -> bool {
    log.time_span_us().is_none_or(|(first_us, last_us)| calendar.covers(first_us) && calendar.covers(last_us))
}
