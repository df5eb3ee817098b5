//! Numbers by chance, with those that are awkward among them.

/// A small generator of numbers (`SplitMix64`), so that one seed makes one case.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.roll() % end as u64) as usize
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    pub fn number(&mut self) -> f32 {
        match self.below(4) {
            0 => self.pick(&SPECIAL),
            1 => self.below(7) as f32 - 3.0,
            2 => self.below(1000) as f32 / 37.0 - 10.0,
            _ => Some(f32::from_bits(self.roll() as u32)).filter(|x| !x.is_nan()).unwrap_or(0.5),
        }
    }
}

pub const SPECIAL: [f32; 12] = [
    0.0,
    -0.0,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MAX,
    f32::MIN,
    f32::MIN_POSITIVE,
    -f32::MIN_POSITIVE,
    1e-45,
    -1e-45,
    1e-40,
    1.0,
];
