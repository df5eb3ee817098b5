//! Where the nodes of the walking engine lie: parents and children in one cache line, as far as they fit.
//!
//! A walk waits for a line more than for anything else. With eight nodes of eight bytes a line, a root lies with its
//! children and theirs, so that three steps wait once.

use std::collections::VecDeque;

use super::walk_nodes::{UNUSED, WalkNode, WalkNodes};

/// Nodes of a line; they lie in pairs, the two that one step can lead to.
const LINE: usize = 8;
/// No place yet.
const NOWHERE: u32 = u32::MAX;

impl WalkNodes {
    /// The same nodes in an order that needs fewer lines.
    pub(super) fn in_lines(self) -> Self {
        let mut lines = Lines {
            from: &self,
            nodes: Vec::with_capacity(self.nodes.len() * 2),
            places: vec![NOWHERE; self.nodes.len().div_ceil(2)],
            begun: VecDeque::new(),
        };
        let roots = self.roots.iter().map(|&root| lines.tree(root)).collect();
        let nodes = lines.resolved();
        Self { nodes, roots, ..self }
    }
}

struct Lines<'a> {
    from: &'a WalkNodes,
    /// Nodes in their new places, which still lead to old ones.
    nodes: Vec<WalkNode>,
    /// The new place of each old pair.
    places: Vec<u32>,
    /// Old pairs that begin a line of their own.
    begun: VecDeque<u32>,
}

impl Lines<'_> {
    /// Lays out a tree; gives its root's place.
    fn tree(&mut self, root: u32) -> u32 {
        let node = self.from.nodes[root as usize];
        let below = if leads_to_itself(node, root) { None } else { Some(node.pair) };
        let pairs = self.near(below, LINE / 2 - 1);
        self.begin(pairs.len() + 1);
        let place = self.nodes.len() as u32;
        // A leaf is told by leading to where it is.
        let pair = below.unwrap_or(place);
        self.nodes.extend([WalkNode { pair, ..node }, UNUSED]);
        self.place(&pairs);
        while let Some(pair) = self.begun.pop_back() {
            let pairs = self.near(Some(pair), LINE / 2);
            self.begin(pairs.len());
            self.place(&pairs);
        }
        place
    }

    /// Up to so many pairs without a place, from one on downwards; those below them begin lines of their own.
    fn near(&mut self, first: Option<u32>, most: usize) -> Vec<u32> {
        let mut pairs = Vec::with_capacity(most);
        let mut next: VecDeque<u32> = first.into_iter().collect();
        while let Some(pair) = next.pop_front() {
            if self.places[pair as usize / 2] != NOWHERE || pairs.contains(&pair) {
                continue;
            }
            if pairs.len() == most {
                self.begun.push_back(pair);
                continue;
            }
            pairs.push(pair);
            for place in [pair, pair + 1] {
                let node = self.from.nodes[place as usize];
                if !leads_to_itself(node, place) {
                    next.push_back(node.pair);
                }
            }
        }
        pairs
    }

    /// Goes on to the next line if so many pairs do not fit into this one.
    fn begin(&mut self, pairs: usize) {
        let used = self.nodes.len() % LINE;
        if used + 2 * pairs > LINE {
            self.nodes.resize(self.nodes.len() + LINE - used, UNUSED);
        }
    }

    fn place(&mut self, pairs: &[u32]) {
        for &pair in pairs {
            self.places[pair as usize / 2] = self.nodes.len() as u32;
            let both = [pair, pair + 1].map(|place| self.from.nodes[place as usize]);
            self.nodes.extend(both);
        }
    }

    /// The nodes, each leading to the new place of its pair.
    fn resolved(self) -> Vec<WalkNode> {
        let never = self.from.slots() as u32 - 2;
        let Self { mut nodes, places, .. } = self;
        for (place, node) in nodes.iter_mut().enumerate() {
            if node.slot >= never {
                (node.slot, node.pair) = (never + (place % 2) as u32, (place & !1) as u32);
            } else {
                node.pair = places.get(node.pair as usize / 2).copied().unwrap_or(NOWHERE);
            }
        }
        nodes
    }
}

/// Whether a node is a leaf: there is nowhere to go.
fn leads_to_itself(node: WalkNode, place: u32) -> bool {
    node.pair == place & !1
}
