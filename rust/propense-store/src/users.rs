//! The users of several sources in one ascending order.

use arrow_array::Array;

use crate::gather::{Gatherer, Opened};

/// Users of one source that are still to come.
struct Cursor<'a, 'g> {
    opened: &'a Opened<'g>,
    source: usize,
    /// A memtable's slots in order of id; a part's users lie in that order.
    order: &'a [u32],
    next: usize,
}

impl Cursor<'_, '_> {
    fn slot(&self, place: usize) -> Option<u32> {
        match self.opened {
            Opened::Part(part) => (place < part.users.len()).then_some(place as u32),
            Opened::Recent(..) => self.order.get(place).copied(),
        }
    }

    fn len(&self) -> usize {
        match self.opened {
            Opened::Part(part) => part.users.len(),
            Opened::Recent(..) => self.order.len(),
        }
    }

    fn user(&self, slot: u32) -> &str {
        match self.opened {
            Opened::Part(part) => part.user(slot),
            Opened::Recent(table, _) => table.user(slot),
        }
    }

    /// The id of the next user.
    fn current(&self) -> Option<&str> {
        self.slot(self.next).map(|slot| self.user(slot))
    }

    /// Goes to the first user after an id.
    fn seek(&mut self, after: &str) {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            let is_after = self.slot(middle).is_none_or(|slot| self.user(slot) > after);
            if is_after { high = middle } else { low = middle + 1 }
        }
        self.next = low;
    }
}

/// Up to `limit` users after an id, ascending and distinct; `orders` holds the slots of each memtable in order of id.
pub(crate) fn users_after(
    gatherer: &Gatherer<'_>,
    orders: &[&[u32]],
    after: Option<&str>,
    limit: usize,
) -> Vec<String> {
    let sources = gatherer.opened().iter().zip(orders).enumerate();
    let mut cursors: Vec<Cursor<'_, '_>> =
        sources.map(|(source, (opened, order))| Cursor { opened, source, order, next: 0 }).collect();
    if let Some(after) = after {
        for cursor in &mut cursors {
            cursor.seek(after);
        }
    }
    let mut users: Vec<String> = Vec::new();
    while users.len() < limit {
        let Some(user) = cursors.iter().filter_map(Cursor::current).min().map(ToOwned::to_owned) else { break };
        let mut is_known = false;
        for cursor in &mut cursors {
            if cursor.current() == Some(&user) {
                is_known |= cursor.slot(cursor.next).is_some_and(|slot| !gatherer.is_dropped(cursor.source, slot));
                cursor.next += 1;
            }
        }
        if is_known {
            users.push(user);
        }
    }
    users
}
