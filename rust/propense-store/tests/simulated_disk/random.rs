//! Numbers that are the same for the same seed.

#[derive(Clone)]
pub struct Random {
    state: u64,
    /// The last flip.
    pub coin: bool,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, coin: false }
    }

    pub fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: usize) -> usize {
        ((self.next() >> 32) % bound.max(1) as u64) as usize
    }

    pub fn flip(&mut self) {
        self.coin = self.below(2) == 0;
    }
}
