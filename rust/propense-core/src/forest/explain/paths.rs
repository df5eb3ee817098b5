//! A tree written down for explanations: its splits, and the numbers that its edges multiply with.
//!
//! For a row and a path to a leaf of value `v`, let `o` be 1 for a feature whose every test on the path the row
//! passes and else 0, and `z` the share of training rows that went this way at the feature's tests. With `x` the
//! probability that a feature is known, the path is worth `v Π (z + x (o − z))`, and a feature's Shapley value is the
//! integral over `x` from 0 to 1 of the derivative by it (Owen's multilinear extension). That is a polynomial
//! of a degree below the number of features on the path, which Gauss–Legendre quadrature integrates exactly with half as
//! many points.
//!
//! For one point a single way up and down the tree does. Of what comes to a split, the share `f` goes to the first
//! side and `1 − f` to the second, so that a split is worth `V = V₂ + f (V₁ − V₂)`, and what comes to it is the product `Π`
//! of the shares above. With `ρ` the share of training rows at a split that went to the first side, `f = ρ + x (o − ρ)` if
//! the feature is new on the path, `o` being 1 for a row that goes there, and the feature gets `Π (V₁ − V₂) (o − ρ)`. If it
//! is not new, let `a` be the `z` of the feature up to here. A row that is still on its path has
//! `f = ρ + x (o − ρ) / (a + x (1 − a))`, which makes the product of all the feature's shares `z + x (o − z)`, and the
//! feature gets `Π (V₁ − V₂) (o − ρ) a / (a + x (1 − a))²` more. For any other row `f = ρ`, and it gets nothing.

use super::error::ExplainError;
use super::quadrature::{Point, gauss_legendre};
use crate::forest::bins::{Bins, Condition};
use crate::forest::ensemble::Ensemble;
use crate::forest::graph::{Graph, Vertex};

/// Features on a path, at most.
pub const MAX_PATH_FEATURES: usize = 128;
/// Leaves of a tree, at most.
const MAX_LEAVES: usize = 1 << 16;

/// A tree as its splits, and its leaves.
#[derive(Debug)]
pub(in crate::forest) struct PathTree {
    /// Parents first; those with two leaves come last.
    pub(in crate::forest) splits: Vec<PathSplit>,
    /// The two sides of each split but those with two leaves: a split's number; or a leaf's, that of the first leaf being one
    /// more than there are splits.
    pub(in crate::forest) inner: Vec<[u32; 2]>,
    /// Of those with two leaves what the second is worth, and by how much more the first is.
    pub(in crate::forest) last: Vec<[f32; 2]>,
    /// The value of each leaf of a split with one.
    pub(in crate::forest) leaves: Vec<f32>,
    /// The weight of each point of the quadrature.
    pub(in crate::forest) weights: Vec<f32>,
    /// For each point, one a split.
    pub(in crate::forest) factors: Vec<Factor>,
    /// What an average row gets.
    pub(in crate::forest) mean: f64,
}

/// One split. Its first side is where rows go that pass.
#[derive(Debug)]
pub(in crate::forest) struct PathSplit {
    pub(in crate::forest) condition: Condition,
    /// The share of training rows that went to the first side.
    pub(in crate::forest) share: f32,
    /// What knowing that a row goes to the first side changes about that.
    pub(in crate::forest) if_first: f32,
    /// What knowing that it goes to the second side does.
    pub(in crate::forest) if_second: f32,
    /// The nearest side above of a split on the same feature: `2 s + 1` for the first of split `s`, `2 s + 2` for the second, 0
    /// if there is none.
    pub(in crate::forest) above: u32,
    /// The place of its feature among those that are read.
    pub(in crate::forest) feature: u32,
}

/// The numbers of a split at one point.
#[derive(Debug, Clone, Copy)]
pub(in crate::forest) struct Factor {
    /// How much of what knowing the feature changes about the share is known.
    pub(in crate::forest) known: f32,
    /// What the feature gets of what such a change is worth; of a split with two leaves, times by how much more the first is
    /// worth.
    pub(in crate::forest) worth: f32,
}

struct Branch {
    vertex: u32,
    place: usize,
    /// The place below the nearest split above on the same feature; 0 if there is none.
    above: usize,
    feature: u32,
}

/// A place of the tree while it is written out: 0 is the root, split `s` leads to `2 s + 1`, its first side, and `2 s + 2`.
#[derive(Clone, Copy)]
struct Reached {
    vertex: u32,
    /// Training rows that went along the edge, over those at its split.
    ratio: f64,
    /// That times the same of the edges above it on the same feature.
    share: f64,
    /// Training rows that got here, over all.
    weight: f64,
    /// Different features on the way.
    features: usize,
    /// The split of that number, or a leaf of that value.
    here: Here,
}

#[derive(Clone, Copy)]
enum Here {
    Split(usize),
    Leaf(f64),
}

/// Writes out the tree at a root. `covers` has the rows of each vertex, `slots` each feature's place among those read.
pub(super) fn path_tree(
    (ensemble, graph): (&Ensemble, &Graph),
    tree: usize,
    covers: &[f64],
    bins: &mut Bins,
    slots: &[u32],
) -> Result<PathTree, ExplainError> {
    let reached = |vertex| Reached { vertex, ratio: 1.0, share: 1.0, weight: 1.0, features: 0, here: Here::Leaf(0.0) };
    let mut places = vec![reached(graph.roots[tree])];
    let mut branches: Vec<Branch> = Vec::new();
    let (mut mean, mut next) = (0.0, 0);
    while next < places.len() {
        let Reached { vertex, weight, features: known, .. } = places[next];
        match graph.vertices[vertex as usize] {
            Vertex::Leaf { first, count } => {
                let weights = &ensemble.weights[first as usize..first as usize + count as usize];
                let value: f64 = weights.iter().map(|weight| f64::from(weight.value)).sum();
                mean += value * weight;
                places[next].here = Here::Leaf(value);
            }
            Vertex::Split { feature, on_true, on_false, .. } => {
                let above = above(&branches, next, feature);
                let known = known + usize::from(above == 0);
                for child in [on_true, on_false] {
                    let ratio = covers[child as usize] / covers[vertex as usize];
                    let share = ratio * if above == 0 { 1.0 } else { places[above].share };
                    places.push(Reached { ratio, share, weight: weight * ratio, features: known, ..reached(child) });
                }
                if known > MAX_PATH_FEATURES || branches.len() > MAX_LEAVES {
                    return Err(ExplainError::TooDeep { tree });
                }
                places[next].here = Here::Split(branches.len());
                branches.push(Branch { vertex, place: next, above, feature });
            }
        }
        next += 1;
    }
    let sides = |branch: usize| [places[2 * branch + 1].here, places[2 * branch + 2].here];
    let is_last = |branch: &usize| sides(*branch).iter().all(|side| matches!(side, Here::Leaf(_)));
    let (ending, mut order): (Vec<usize>, Vec<usize>) = (0..branches.len()).partition(is_last);
    order.extend(&ending);
    let mut numbers = vec![0; order.len()];
    order.iter().enumerate().for_each(|(number, &branch)| numbers[branch] = number as u32);
    let (mut inner, mut last, mut leaves) = (Vec::new(), Vec::new(), Vec::new());
    for &branch in &order {
        match sides(branch) {
            [Here::Leaf(first), Here::Leaf(second)] => last.push([second as f32, (first - second) as f32]),
            sides => inner.push(sides.map(|side| match side {
                Here::Split(branch) => numbers[branch],
                Here::Leaf(value) => {
                    leaves.push(value as f32);
                    (order.len() + leaves.len()) as u32
                }
            })),
        }
    }
    let degree = places.iter().map(|place| place.features).max().unwrap_or(0);
    let points = gauss_legendre(degree.div_ceil(2));
    let factor = |point: &Point, (number, &branch): (usize, &usize)| {
        // The share of the feature up to its side above; that of the root is 1.
        let above = places[branches[branch].above].share;
        let on = above + point.at * (1.0 - above);
        let more = number.checked_sub(inner.len()).map_or(1.0, |place| f64::from(last[place][1]));
        Factor { known: (point.at / on) as f32, worth: (above / (on * on) * more) as f32 }
    };
    let factors = points.iter().flat_map(|point| order.iter().enumerate().map(|split| factor(point, split))).collect();
    let split = |&branch: &usize| {
        let Branch { vertex, above, .. } = branches[branch];
        let Vertex::Split { feature, rule, .. } = &graph.vertices[vertex as usize] else { return None };
        let condition = bins.condition(*feature, rule)?;
        let share = places[2 * branch + 1].ratio as f32;
        let above = above.checked_sub(1).map_or(0, |place| 2 * numbers[place / 2] + 1 + (place % 2) as u32);
        let feature = slots[*feature as usize];
        Some(PathSplit { condition, share, if_first: 1.0 - share, if_second: -share, above, feature })
    };
    Ok(PathTree {
        splits: order.iter().map(split).collect::<Option<_>>().ok_or(ExplainError::Categories)?,
        factors,
        weights: points.iter().map(|point| point.weight as f32).collect(),
        inner,
        last,
        leaves,
        mean,
    })
}

/// The place below the nearest split on the same feature, from a place upwards; 0 if there is none.
fn above(branches: &[Branch], mut place: usize, feature: u32) -> usize {
    while place > 0 {
        let branch = &branches[(place - 1) / 2];
        if branch.feature == feature {
            return place;
        }
        place = branch.place;
    }
    0
}
