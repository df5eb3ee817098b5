//! A tree written down for explanations: its splits, and the numbers that its edges multiply with.
//!
//! For a row and a path to a leaf of value `v`, let `o` be 1 for a feature whose every test on the path the row
//! passes and else 0, and `z` the share of training rows that went this way at the feature's tests. With `x` the
//! probability that a feature is known, the path is worth `v Π (z + x (o − z))`, and a feature's Shapley value is the
//! integral over `x` from 0 to 1 of the derivative by it (Owen's multilinear extension). That is a polynomial
//! of a degree below the number of features on the path, which Gauss–Legendre quadrature integrates exactly with half as
//! many points. For one point a single way down and up the tree does: a product on every edge on the way down, the
//! sums of the leaves below on the way up.

use super::error::ExplainError;
use super::quadrature::{Point, gauss_legendre};
use crate::forest::bins::{Bins, Condition};
use crate::forest::ensemble::Ensemble;
use crate::forest::graph::{Graph, Vertex};

/// Features on a path, at most.
pub const MAX_PATH_FEATURES: usize = 128;
/// Leaves of a tree, at most.
const MAX_LEAVES: usize = 1 << 16;

/// A tree as its splits, parents first. Place 0 is the root; split `s` leads to the places `2 s + 1`, where rows go
/// that pass, and `2 s + 2`.
#[derive(Debug)]
pub(in crate::forest) struct PathTree {
    pub(in crate::forest) splits: Vec<PathSplit>,
    /// For each point of the quadrature, one entry a split.
    pub(in crate::forest) factors: Vec<Factors>,
    /// For each point of the quadrature, the place and weighted value of every leaf.
    pub(in crate::forest) leaves: Vec<(u32, f32)>,
    /// The feature of each slot, as a place among those that are read.
    pub(in crate::forest) features: Vec<u32>,
    /// What an average row gets.
    pub(in crate::forest) mean: f64,
}

/// One split.
#[derive(Debug)]
pub(in crate::forest) struct PathSplit {
    pub(in crate::forest) condition: Condition,
    pub(in crate::forest) place: u32,
    /// The place below the nearest split above on the same feature; 0 if there is none.
    pub(in crate::forest) above: u32,
    /// The place of its feature in the tree's own list.
    pub(in crate::forest) slot: u32,
}

/// The numbers of the two edges below a split at one point: `[0]` for rows that pass, `[1]` for the others.
#[derive(Debug, Clone, Copy)]
pub(in crate::forest) struct Factors(pub(in crate::forest) [Edge; 2]);

/// What an edge does to the product, and what its feature gets of the sum below; by whether the row goes along it
/// (`on`), leaves the feature's path here (`off`), or has left it further up (`out`, which gets nothing).
#[derive(Debug, Clone, Copy)]
pub(in crate::forest) struct Edge {
    pub(in crate::forest) on: f32,
    pub(in crate::forest) off: f32,
    pub(in crate::forest) out: f32,
    pub(in crate::forest) share_on: f32,
    pub(in crate::forest) share_off: f32,
}

struct Branch {
    vertex: u32,
    place: u32,
    above: u32,
    slot: u32,
}

/// A place of the tree while it is written out.
#[derive(Clone, Copy)]
struct Reached {
    vertex: u32,
    /// Training rows that went along the edge, over those at its split, times the same of the edges above it on the
    /// same feature.
    share: f64,
    /// Training rows that got here, over all.
    weight: f64,
    /// Different features on the way.
    features: usize,
}

/// Writes out the tree at a root. `covers` has the rows of each vertex, `slots` each feature's place among those read.
pub(super) fn path_tree(
    (ensemble, graph): (&Ensemble, &Graph),
    tree: usize,
    covers: &[f64],
    bins: &mut Bins,
    slots: &[u32],
) -> Result<PathTree, ExplainError> {
    let mut places = vec![Reached { vertex: graph.roots[tree], share: 1.0, weight: 1.0, features: 0 }];
    // For each place the split that leads to it, to look up from there.
    let mut branches: Vec<Branch> = Vec::new();
    let mut features: Vec<u32> = Vec::new();
    let mut leaves = Vec::new();
    let mut next = 0;
    while next < places.len() {
        let Reached { vertex, weight, features: known, .. } = places[next];
        match graph.vertices[vertex as usize] {
            Vertex::Leaf { first, count } => {
                let weights = &ensemble.weights[first as usize..first as usize + count as usize];
                let value: f64 = weights.iter().map(|weight| f64::from(weight.value)).sum();
                leaves.push((next as u32, value, weight));
            }
            Vertex::Split { feature, on_true, on_false, .. } => {
                let slot = features.iter().position(|&known| known == feature).unwrap_or(features.len());
                if slot == features.len() {
                    features.push(feature);
                }
                let above = above(&branches, next, slot as u32);
                let known = known + usize::from(above == 0);
                let of_above = if above == 0 { 1.0 } else { places[above].share };
                for child in [on_true, on_false] {
                    let ratio = covers[child as usize] / covers[vertex as usize];
                    let reached =
                        Reached { vertex: child, share: ratio * of_above, weight: weight * ratio, features: known };
                    places.push(reached);
                }
                if known > MAX_PATH_FEATURES || branches.len() > MAX_LEAVES {
                    return Err(ExplainError::TooDeep { tree });
                }
                branches.push(Branch { vertex, place: next as u32, above: above as u32, slot: slot as u32 });
            }
        }
        next += 1;
    }
    let degree = places.iter().map(|place| place.features).max().unwrap_or(0);
    let points = gauss_legendre(degree.div_ceil(2));
    let share = |place: usize| places[place].share;
    let factors = points.iter().flat_map(|point| {
        branches.iter().enumerate().map(|(split, branch)| {
            let above = if branch.above == 0 { 1.0 } else { share(branch.above as usize) };
            Factors([1, 2].map(|side| edge(*point, share(2 * split + side), above)))
        })
    });
    let factors = factors.collect();
    let weighted = points
        .iter()
        .flat_map(|point| leaves.iter().map(|&(place, value, _)| (place, (point.weight * value) as f32)))
        .collect();
    let splits = branches.iter().map(|branch| {
        let Vertex::Split { feature, rule, .. } = &graph.vertices[branch.vertex as usize] else { return None };
        let condition = bins.condition(*feature, rule)?;
        Some(PathSplit { condition, place: branch.place, above: branch.above, slot: branch.slot })
    });
    Ok(PathTree {
        splits: splits.collect::<Option<_>>().ok_or(ExplainError::Categories)?,
        factors,
        leaves: weighted,
        features: features.iter().map(|&feature| slots[feature as usize]).collect(),
        mean: leaves.iter().map(|(_, value, weight)| value * weight).sum(),
    })
}

/// The place below the nearest split on the same feature, from a place upwards; 0 if there is none.
fn above(branches: &[Branch], mut place: usize, slot: u32) -> usize {
    while place > 0 {
        let branch = &branches[(place - 1) / 2];
        if branch.slot == slot {
            return place;
        }
        place = branch.place as usize;
    }
    0
}

/// An edge whose feature has the shares `share` from here and `above` from the edge above.
fn edge(point: Point, share: f64, above: f64) -> Edge {
    let x = point.at;
    let on = |z: f64| z + x * (1.0 - z);
    let gain = |z: f64| (1.0 - z) / on(z);
    Edge {
        on: (on(share) / on(above)) as f32,
        off: (share * (1.0 - x) / on(above)) as f32,
        out: (share / above) as f32,
        share_on: (gain(share) - gain(above)) as f32,
        share_off: (-1.0 / (1.0 - x) - gain(above)) as f32,
    }
}
