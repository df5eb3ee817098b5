//! When each user is to be looked at again, for millions of users.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Bits of an instant in microseconds within a bucket: 71 minutes.
const BUCKET_BITS: u32 = 32;
/// No instant.
pub(super) const NEVER: i64 = i64::MAX;

/// One instant a user. Those of the bucket that comes next are in a heap, the others lie in their buckets unsorted.
///
/// A user waits in one place at a time, at the earliest instant that was ever set since they last came up: setting a later
/// one moves nobody, and whoever comes up too early is put away again. So events, each of which sets a timer anew, cost
/// nothing here as a rule.
#[derive(Default)]
pub(super) struct Timers {
    /// By user: when.
    due_us: Vec<i64>,
    /// By user: for which instant they wait in the heap or a bucket.
    queued_us: Vec<i64>,
    near: BinaryHeap<Reverse<(i64, u32)>>,
    /// The first instant that is not in the heap.
    near_end_us: i64,
    far: BTreeMap<i64, Vec<u32>>,
    /// Entries of the buckets, stale ones included.
    far_entries: usize,
}

impl Timers {
    /// Timers of nobody.
    pub(super) fn new() -> Self {
        Self { near_end_us: i64::MIN, ..Self::default() }
    }

    /// Makes room for users, who have no timer yet.
    pub(super) fn grow(&mut self, users: usize) {
        self.due_us.resize(users, NEVER);
        self.queued_us.resize(users, NEVER);
    }

    /// Sets a user's instant, in place of the one before.
    pub(super) fn set(&mut self, user: u32, due_us: i64) {
        self.due_us[user as usize] = due_us;
        if due_us < self.queued_us[user as usize] {
            self.queue(user, due_us);
        }
        if self.far_entries > 4 * self.due_us.len() + 4096 {
            self.rebuild();
        }
    }

    /// The instant that was set for a user; [`NEVER`] if there is none.
    pub(super) fn due_us(&self, user: u32) -> i64 {
        self.due_us[user as usize]
    }

    /// The earliest instant of all; [`NEVER`] if there is none.
    pub(super) fn next_us(&mut self) -> i64 {
        self.settle().map_or(NEVER, |(due_us, _)| due_us)
    }

    /// Takes up to `limit` users whose instant has come. They are to be set again, be it to the same instant.
    pub(super) fn take_due(&mut self, now_us: i64, limit: usize) -> Vec<u32> {
        let mut due = Vec::new();
        while due.len() < limit
            && let Some((due_us, user)) = self.settle()
            && due_us <= now_us
        {
            self.near.pop();
            self.queued_us[user as usize] = NEVER;
            due.push(user);
        }
        due
    }

    /// Puts users back who were taken but not looked at.
    pub(super) fn put_back(&mut self, users: &[u32]) {
        for &user in users {
            self.set(user, self.due_us[user as usize]);
        }
    }

    fn queue(&mut self, user: u32, due_us: i64) {
        self.queued_us[user as usize] = due_us;
        if due_us < self.near_end_us {
            self.near.push(Reverse((due_us, user)));
        } else {
            self.far.entry(due_us >> BUCKET_BITS).or_default().push(user);
            self.far_entries += 1;
        }
    }

    /// Brings the first to the top of the heap whose turn it really is.
    fn settle(&mut self) -> Option<(i64, u32)> {
        loop {
            let Some(&Reverse((queued_us, user))) = self.near.peek() else {
                let (bucket, users) = self.far.pop_first()?;
                self.far_entries -= users.len();
                // The last bucket of all reaches to the end of time.
                self.near_end_us = (bucket + 1).checked_mul(1 << BUCKET_BITS).unwrap_or(NEVER);
                let waits = |user: &u32| self.queued_us[*user as usize] >> BUCKET_BITS == bucket;
                let waiting = users.into_iter().filter(waits).map(|user| (self.queued_us[user as usize], user));
                self.near.extend(waiting.map(Reverse));
                continue;
            };
            let due_us = self.due_us[user as usize];
            if self.queued_us[user as usize] == queued_us && due_us == queued_us {
                return Some((due_us, user));
            }
            self.near.pop();
            if self.queued_us[user as usize] == queued_us {
                self.queued_us[user as usize] = NEVER;
                if due_us < NEVER {
                    self.queue(user, due_us);
                }
            }
        }
    }

    /// Drops entries that stand for nothing any more.
    fn rebuild(&mut self) {
        self.far.clear();
        self.far_entries = 0;
        self.near.clear();
        for user in 0..self.due_us.len() as u32 {
            let due_us = self.due_us[user as usize];
            self.queued_us[user as usize] = NEVER;
            if due_us < NEVER {
                self.queue(user, due_us);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Users come up as from a plain list of instants, however often these are set and at whatever distance.
        #[test]
        fn who_is_due_comes_up(
            steps in prop::collection::vec((0_u32..20, 0_i64..50, prop::sample::select(vec![0_u32, 20, 31, 33, 45]), 0..4), 1..400),
        ) {
            let (mut timers, mut plain) = (Timers::new(), [NEVER; 20]);
            timers.grow(20);
            let mut now_us = -(1_i64 << 40);
            for (user, distance, scale, action) in steps {
                let instant = now_us + 1 + (distance << scale);
                match action {
                    0 => {
                        now_us = instant;
                        let mut due = Vec::new();
                        loop {
                            let some = timers.take_due(now_us, 3);
                            if some.is_empty() {
                                break;
                            }
                            for &user in &some {
                                timers.set(user, NEVER);
                            }
                            due.extend(some);
                        }
                        due.sort_unstable();
                        let expected: Vec<u32> = (0..20).filter(|&user| plain[user as usize] <= now_us).collect();
                        for &user in &expected {
                            plain[user as usize] = NEVER;
                        }
                        prop_assert_eq!(due, expected);
                    }
                    1 => {
                        let taken = timers.take_due(instant, 2);
                        timers.put_back(&taken);
                    }
                    _ => {
                        timers.set(user, instant);
                        plain[user as usize] = instant;
                    }
                }
                prop_assert_eq!(timers.next_us(), plain.iter().copied().min().unwrap_or(NEVER));
            }
        }
    }
}
