//! Several plans as one: what they have in common is computed once.

use super::plan::Plan;
use crate::expr::Program;

/// Plans over the same columns whose outputs are columns of one plan.
pub struct JoinedPlan {
    /// Every output of any of them, those that are the same once.
    pub plan: Plan,
    /// For each of the plans and each of its outputs, the column of [`JoinedPlan::plan`] that is it.
    pub columns: Vec<Vec<usize>>,
}

impl JoinedPlan {
    /// Joins plans that are bound to the same log, over the same span, in the same time zone; `None` if there is none,
    /// or their time zones differ.
    ///
    /// An output's values have the bits that they have in its own plan: a leaf's do not depend on what else is read.
    #[must_use]
    pub fn new(plans: &[&Plan]) -> Option<Self> {
        let (first, others) = plans.split_first()?;
        if others.iter().any(|plan| plan.spec().timezone != first.spec().timezone) {
            return None;
        }
        let (mut leaves, mut outputs) = (Vec::new(), Vec::new());
        let columns = plans.iter().map(|plan| {
            let numbers: Vec<usize> = plan.leaves.iter().map(|leaf| place_of(&mut leaves, leaf.clone())).collect();
            let renumbered = |output: &Program| output.renumbered(|leaf| numbers[leaf]);
            plan.outputs.iter().map(|output| place_of(&mut outputs, renumbered(output))).collect()
        });
        let columns = columns.collect();
        Some(Self { plan: first.with_programs(leaves, outputs), columns })
    }
}

/// Where an item is in a list; it is added if it is not there.
fn place_of<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter().position(|known| *known == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    })
}
