//! The ensemble as splits by rules: branches on one feature that lead to just two places become one split.
//!
//! Exporters write a category set as a chain of comparisons with shared children; taken literally it would make
//! trees deep and their leaves many.

use super::ensemble::{Ensemble, Node, Test};
use super::rule::Rule;

/// Steps of a rule, at most: its values must fit the bins of one column.
pub(super) const MAX_FLIPS: usize = 254;

/// A place in the graph.
#[derive(Debug, Clone)]
pub(super) enum Vertex {
    /// An end, with the first of its weights and their number.
    Leaf { first: u32, count: u32 },
    /// A split; the targets are vertices that come before this one.
    Split { feature: u32, rule: Rule, on_true: u32, on_false: u32 },
}

/// Splits and leaves; vertices that no root reaches are left over from joining.
pub(super) struct Graph {
    pub(super) vertices: Vec<Vertex>,
    pub(super) roots: Vec<u32>,
    /// The vertex that stands for each node; of use only for nodes that some root reaches.
    pub(super) places: Vec<u32>,
}

/// Builds the graph from checked nodes in an order of children before parents.
pub(super) fn build(ensemble: &Ensemble, order: &[u32]) -> Graph {
    let mut uses = vec![0_u32; ensemble.nodes.len()];
    for &node in order {
        if let Node::Branch { if_true, if_false, .. } = ensemble.nodes[node as usize] {
            uses[if_true as usize] += 1;
            uses[if_false as usize] += 1;
        }
    }
    for &root in &ensemble.roots {
        uses[root as usize] += 1;
    }
    let mut builder = Builder { vertices: Vec::with_capacity(order.len()), uses: Vec::with_capacity(order.len()) };
    let mut places = vec![0_u32; ensemble.nodes.len()];
    for &node in order {
        let edges = uses[node as usize];
        places[node as usize] = match ensemble.nodes[node as usize] {
            Node::Leaf { first_weight: first, weight_count: count } => {
                builder.push(Vertex::Leaf { first, count }, edges)
            }
            Node::Branch { feature, test, missing_goes_true, if_true, if_false } => {
                let members = match test {
                    Test::Member { first, count } => &ensemble.members[first as usize..first as usize + count as usize],
                    _ => &[],
                };
                let rule = Rule::of(test, missing_goes_true, members);
                builder.split(feature, rule, (places[if_true as usize], places[if_false as usize]), edges)
            }
        };
    }
    let roots = ensemble.roots.iter().map(|&root| places[root as usize]).collect();
    Graph { vertices: builder.vertices, roots, places }
}

struct Builder {
    vertices: Vec<Vertex>,
    /// How many edges lead to a vertex, or more: one that several reach is never joined to a parent, so that the
    /// rules of all vertices together stay as large as the nodes they came from.
    uses: Vec<u32>,
}

/// Where a split leads: if its rule passes, if not.
type Exits = (u32, u32);

impl Builder {
    fn push(&mut self, vertex: Vertex, uses: u32) -> u32 {
        self.vertices.push(vertex);
        self.uses.push(uses);
        (self.vertices.len() - 1) as u32
    }

    /// Adds a split, or finds the vertex that does the same.
    fn split(&mut self, feature: u32, mut rule: Rule, mut exits: Exits, uses: u32) -> u32 {
        loop {
            let same = if exits.0 == exits.1 { Some(true) } else { rule.constant() };
            if let Some(passes) = same {
                let place = if passes { exits.0 } else { exits.1 };
                self.uses[place as usize] = self.uses[place as usize].saturating_add(uses);
                return place;
            }
            match self.join(feature, &rule, exits) {
                Some((joined, targets)) => (rule, exits) = (joined, targets),
                None => break,
            }
        }
        let (on_true, on_false) = exits;
        self.push(Vertex::Split { feature, rule, on_true, on_false }, uses)
    }

    /// The rule and exits of a split together with a child on the same feature, if they have two exits in all.
    fn join(&self, feature: u32, rule: &Rule, (yes, no): Exits) -> Option<(Rule, Exits)> {
        let (upper, lower) = (self.child(feature, yes), self.child(feature, no));
        let joined = match (upper, lower) {
            (Some((child, (a, b))), _) if no == b => (rule.join(child, |own, inner| own && inner), (a, b)),
            (Some((child, (a, b))), _) if no == a => (rule.join(child, |own, inner| !own || inner), (a, b)),
            (_, Some((child, (a, b)))) if yes == a => (rule.join(child, |own, inner| own || inner), (a, b)),
            (_, Some((child, (a, b)))) if yes == b => (rule.join(child, |own, inner| !own && inner), (a, b)),
            (Some((first, (a, b))), Some((second, (c, d)))) if (a, b) == (c, d) || (a, b) == (d, c) => {
                let turned = a == d;
                let passed = rule.join(first, |own, inner| own && inner);
                let failed = rule.join(second, |own, inner| !own && (inner != turned));
                (passed.join(&failed, |one, other| one || other), (a, b))
            }
            _ => return None,
        };
        (joined.0.flips.len() <= MAX_FLIPS).then_some(joined)
    }

    fn child(&self, feature: u32, place: u32) -> Option<(&Rule, Exits)> {
        match &self.vertices[place as usize] {
            Vertex::Split { feature: own, rule, on_true, on_false }
                if *own == feature && self.uses[place as usize] == 1 =>
            {
                Some((rule, (*on_true, *on_false)))
            }
            _ => None,
        }
    }
}
