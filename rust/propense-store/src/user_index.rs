//! Where in an ascending list of ids a user stands, found by hash without a copy of the ids.

/// A slot without a user.
const EMPTY: u32 = u32::MAX;

/// Places by hash, about 5.3 bytes a user: each slot holds a place, and above it as many bits of the hash as are free.
#[derive(Debug)]
pub(crate) struct UserIndex {
    slots: Vec<u32>,
    place_bits: u32,
}

impl UserIndex {
    /// An index of users whose hashes come in order of place; fewer than 2^32 − 1.
    pub(crate) fn new(hashes: &[u64]) -> Self {
        let place_bits = u32::BITS - (hashes.len() as u32).leading_zeros();
        let mut index = Self { slots: vec![EMPTY; hashes.len() + hashes.len() / 3 + 1], place_bits };
        for (place, &hash) in hashes.iter().enumerate() {
            let mut at = index.first(hash);
            while index.slots[at] != EMPTY {
                at = index.next(at);
            }
            index.slots[at] = index.tag(hash) | place as u32;
        }
        index
    }

    /// The place with a hash that `is` the one looked for.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let tag = self.tag(hash);
        let places = self.places();
        let mut at = self.first(hash);
        loop {
            let slot = self.slots[at];
            if slot == EMPTY {
                return None;
            }
            if slot & !places == tag && is(slot & places) {
                return Some(slot & places);
            }
            at = self.next(at);
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(self.slots.as_slice())
    }

    /// The bits of a slot that are a place.
    #[inline]
    fn places(&self) -> u32 {
        ((1_u64 << self.place_bits) - 1) as u32
    }

    /// Low bits of the hash, as its high ones choose the slot.
    #[inline]
    fn tag(&self, hash: u64) -> u32 {
        hash as u32 & !self.places()
    }

    /// The slot at which a search begins.
    #[inline]
    fn first(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.slots.len() as u128) >> 64) as usize
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_is_found_and_no_other() {
        for users in [0_u64, 1, 2, 255, 256, 257, 5_000] {
            let hash = |user: u64| user.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (user << 60);
            let hashes: Vec<u64> = (0..users).map(hash).collect();
            let index = UserIndex::new(&hashes);
            for user in 0..users {
                assert_eq!(index.find(hash(user), |place| u64::from(place) == user), Some(user as u32));
                assert_eq!(index.find(hash(user), |_| false), None);
            }
            assert_eq!(index.find(hash(users), |place| u64::from(place) == users), None);
            assert!(index.memory_bytes() as u64 <= 6 * users + 4);
        }
    }
}
