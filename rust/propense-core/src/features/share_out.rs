//! Work shared out by events, not users.

use std::ops::Range;

use crate::events::EventLog;

/// Events that a block has before it is closed; a user is never divided.
const BLOCK_EVENTS: usize = 1 << 16;
/// The most users of a block, so that users without events are shared out too.
const BLOCK_USERS: usize = 2_048;

/// Consecutive users of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// Their places in the list.
    pub(crate) users: Range<usize>,
    /// The events they have in the whole log.
    pub(crate) events: usize,
}

impl Block {
    /// How many users it has.
    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }
}

/// Divides a list of users into blocks of about equal work; a user with very many events is nearly alone in theirs.
pub(crate) fn share_out(log: &EventLog, users: &[u32]) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut block = Block { users: 0..0, events: 0 };
    for (place, &user) in users.iter().enumerate() {
        block.events += log.rows(user as usize).len();
        block.users.end = place + 1;
        if block.events >= BLOCK_EVENTS || block.len() == BLOCK_USERS {
            blocks.push(block);
            block = Block { users: place + 1..place + 1, events: 0 };
        }
    }
    if block.len() > 0 {
        blocks.push(block);
    }
    blocks
}
