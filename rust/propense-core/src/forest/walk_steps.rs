//! Nodes in the form in which they are walked: eight bytes each where all numbers are small enough, as they almost
//! always are.

use super::walk_nodes::WalkNode;

/// Nodes of a cache line.
const LINE: usize = 8;

/// Steps from node to node.
pub(super) trait Steps {
    /// Where a row goes on from a node; `keys` are its own. A leaf leads to itself.
    fn next(&self, place: u32, keys: &[u32]) -> u32;

    /// Whether a node is a leaf.
    fn is_leaf(&self, place: u32) -> bool;

    /// A leaf's number.
    fn leaf(&self, place: u32) -> u32;
}

/// Nodes of any forest.
impl Steps for [WalkNode] {
    #[inline]
    fn next(&self, place: u32, keys: &[u32]) -> u32 {
        let node = self[place as usize];
        node.pair + 1 - u32::from(keys[node.slot as usize] < node.key)
    }

    #[inline]
    fn is_leaf(&self, place: u32) -> bool {
        self[place as usize].pair == place & !1
    }

    #[inline]
    fn leaf(&self, place: u32) -> u32 {
        self[place as usize].key - 1
    }
}

/// Nodes of eight bytes: from the lowest bits up, the key, the slot, and how many pairs further on its own pair lies.
#[derive(Debug)]
pub(super) struct PackedNodes {
    cells: Vec<u64>,
    /// Nodes begin here, at a multiple of a line's bytes.
    first: usize,
}

impl PackedNodes {
    /// The same nodes; `None` if a slot or a distance does not fit.
    pub(super) fn of(nodes: &[WalkNode]) -> Option<Self> {
        let mut cells = vec![0; nodes.len() + LINE - 1];
        let first = cells.as_ptr().align_offset(LINE * size_of::<u64>()).min(LINE - 1);
        for ((place, node), cell) in nodes.iter().enumerate().zip(&mut cells[first..]) {
            let slot = u16::try_from(node.slot).ok()?;
            let hop = i16::try_from((i64::from(node.pair) - (place as i64 & !1)) / 2).ok()?;
            *cell = u64::from(node.key) | u64::from(slot) << 32 | u64::from(hop.cast_unsigned()) << 48;
        }
        Some(Self { cells, first })
    }

    /// The nodes as they are walked.
    pub(super) fn nodes(&self) -> &[u64] {
        &self.cells[self.first..]
    }
}

impl Steps for [u64] {
    #[inline]
    fn next(&self, place: u32, keys: &[u32]) -> u32 {
        let node = self[place as usize];
        let pair = (place & !1).wrapping_add_signed((node.cast_signed() >> 48) as i32 * 2);
        pair + 1 - u32::from(keys[usize::from((node >> 32) as u16)] < node as u32)
    }

    #[inline]
    fn is_leaf(&self, place: u32) -> bool {
        self[place as usize] >> 48 == 0
    }

    #[inline]
    fn leaf(&self, place: u32) -> u32 {
        self[place as usize] as u32 - 1
    }
}
