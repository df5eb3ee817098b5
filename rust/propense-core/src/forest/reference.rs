//! The meaning of an [`Ensemble`], slow and obvious: the oracle of the engines' tests.
//!
//! It compares floats as the file says, one row and one tree at a time, and shares no code with an engine.

use super::ensemble::{Aggregate, Ensemble, Node, Test};

/// Scores of rows, `outputs` values a row, row after row.
///
/// `rows` holds `width` values a row; NaN is missing. The ensemble must be one that
/// [`Forest::compile`](super::Forest::compile) takes; a row that meets a node out of range gets NaN.
#[must_use]
pub fn score(ensemble: &Ensemble, rows: &[f32]) -> Vec<f32> {
    rows.chunks_exact(ensemble.width).flat_map(|row| score_row(ensemble, row)).collect()
}

fn score_row(ensemble: &Ensemble, row: &[f32]) -> Vec<f32> {
    let mut totals: Vec<Option<f64>> = vec![None; ensemble.outputs];
    for &root in &ensemble.roots {
        let Some((first, count)) = leaf(ensemble, root, row) else {
            return vec![f32::NAN; ensemble.outputs];
        };
        for weight in &ensemble.weights[first..first + count] {
            let (total, value) = (&mut totals[weight.output as usize], f64::from(weight.value));
            *total = Some(match (ensemble.aggregate, *total) {
                (Aggregate::Sum | Aggregate::Average, sum) => sum.unwrap_or(0.0) + value,
                (Aggregate::Min, Some(least)) if least <= value => least,
                (Aggregate::Max, Some(greatest)) if greatest >= value => greatest,
                (Aggregate::Min | Aggregate::Max, _) => value,
            });
        }
    }
    let trees = ensemble.roots.len() as f64;
    let values = totals.iter().enumerate().map(|(output, total)| {
        let total = total.unwrap_or(0.0);
        let total = if ensemble.aggregate == Aggregate::Average { total / trees } else { total };
        (total + ensemble.base_values.get(output).map_or(0.0, |&base| f64::from(base))) as f32
    });
    values.collect()
}

/// The weights of the leaf that a row ends in, as their first and their number.
fn leaf(ensemble: &Ensemble, root: u32, row: &[f32]) -> Option<(usize, usize)> {
    let mut node = root;
    for _ in 0..=ensemble.nodes.len() {
        match *ensemble.nodes.get(node as usize)? {
            Node::Leaf { first_weight, weight_count } => return Some((first_weight as usize, weight_count as usize)),
            Node::Branch { feature, test, missing_goes_true, if_true, if_false } => {
                let x = row[feature as usize];
                let goes_true = passes(ensemble, test, x) || (x.is_nan() && missing_goes_true);
                node = if goes_true { if_true } else { if_false };
            }
        }
    }
    None
}

fn passes(ensemble: &Ensemble, test: Test, x: f32) -> bool {
    match test {
        Test::LessEqual(t) => x <= t,
        Test::Less(t) => x < t,
        Test::GreaterEqual(t) => x >= t,
        Test::Greater(t) => x > t,
        Test::Equal(t) => x == t,
        Test::NotEqual(t) => x != t,
        Test::Member { first, count } => {
            ensemble.members.iter().skip(first as usize).take(count as usize).any(|&member| x == member)
        }
    }
}
