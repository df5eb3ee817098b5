//! Exact distinct counts of nested windows: a value's newest sighting decides which windows count it.

use crate::events::Cells;

/// The values that a user has shown so far; emptied by beginning a new user, at no cost.
#[derive(Debug, Clone)]
pub(in crate::features) enum DistinctSet {
    /// For few possible values, the user who last showed each, and the place of a missing one.
    Places(Vec<u32>, usize),
    /// For any number, an open-addressing table.
    Values(Table),
}

/// Slots of a small table.
const SMALL: usize = 64;

/// Numbers by hash, each slot with the user who filled it; a slot of another user is free.
#[derive(Debug, Clone)]
pub(in crate::features) struct Table {
    slots: Vec<(u64, u32)>,
    filled: usize,
    user: u32,
}

impl DistinctSet {
    /// The set that fits a column.
    pub(in crate::features) fn of(cells: &Cells) -> Self {
        match cells.places() {
            Some(places) => {
                let missing = (0..places).find(|&place| cells.number_at(place).is_nan());
                Self::Places(vec![0; places], missing.unwrap_or(places))
            }
            None => Self::Values(Table { slots: vec![(0, 0); SMALL], filled: 0, user: 0 }),
        }
    }

    /// Forgets every user: their numbers begin anew.
    pub(in crate::features) fn reset(&mut self) {
        match self {
            Self::Places(users, _) => users.fill(0),
            Self::Values(table) => *table = Table { slots: vec![(0, 0); SMALL], filled: 0, user: 0 },
        }
    }

    /// Whether the value in a row is there and this user had not shown it; `user` counts users from 1.
    #[inline]
    pub(in crate::features) fn is_new(&mut self, cells: &Cells, row: usize, user: u32) -> bool {
        match self {
            Self::Places(users, missing) => {
                let place = cells.place(row);
                place != *missing && std::mem::replace(&mut users[place], user) != user
            }
            Self::Values(table) => {
                let value = cells.number(row);
                // Adding 0 turns −0 into 0 and changes nothing else.
                !value.is_nan() && table.insert((value + 0.0).to_bits(), user)
            }
        }
    }
}

impl Table {
    fn insert(&mut self, value: u64, user: u32) -> bool {
        if self.user != user {
            // What one large user needed would spread all others over cold memory.
            if self.slots.len() > SMALL && self.filled * 16 < self.slots.len() {
                self.slots = vec![(0, 0); SMALL];
            }
            (self.filled, self.user) = (0, user);
        }
        let place = self.find(value);
        if self.slots[place] == (value, user) {
            return false;
        }
        self.slots[place] = (value, user);
        self.filled += 1;
        if self.filled * 2 > self.slots.len() {
            self.grow();
        }
        true
    }

    /// The slot that holds a value of this user, or where it goes.
    fn find(&self, value: u64) -> usize {
        let mask = self.slots.len() - 1;
        // Fibonacci hashing; the high bits are the well-mixed ones.
        let hash = (value ^ value >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut place = (hash >> 32) as usize & mask;
        while self.slots[place].1 == self.user && self.slots[place].0 != value {
            place = (place + 1) & mask;
        }
        place
    }

    fn grow(&mut self) {
        let larger = vec![(0, 0); self.slots.len() * 2];
        for (value, user) in std::mem::replace(&mut self.slots, larger) {
            if user == self.user {
                let place = self.find(value);
                self.slots[place] = (value, user);
            }
        }
    }
}
