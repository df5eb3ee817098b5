//! Numbers in ascending order, among which places are looked for all the time.

/// Leading bits of a number that say where to look: its sign, its exponent, and 16 parts of what lies between two powers
/// of two.
const KEY_SHIFT: u32 = 48;
/// No table is made for numbers that lie further apart; that would be more memory than use.
const MOST_KEYS: usize = 4_096;

/// Numbers in ascending order, with a table of where those with the same leading bits begin.
#[derive(Debug, Default)]
pub(super) struct Ladder {
    numbers: Vec<f64>,
    first_key: usize,
    /// For each key from the first number's on to one after the last number's: how many numbers have smaller ones. Empty
    /// if there is no table.
    starts: Vec<u32>,
}

/// Ascends with the number; NaN comes first or last.
fn key(number: f64) -> usize {
    // There is one 0.
    let bits = (number + 0.0).to_bits();
    let ascending = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
    (ascending >> KEY_SHIFT) as usize
}

impl Ladder {
    /// Numbers in any order, none of them NaN.
    pub(super) fn new(mut numbers: Vec<f64>) -> Self {
        numbers.sort_unstable_by(f64::total_cmp);
        let keys = numbers.first().zip(numbers.last()).map(|(first, last)| (key(*first), key(*last)));
        let (first_key, starts) = match keys {
            Some((first, last)) if last - first < MOST_KEYS => {
                let before = |key_of: usize| numbers.partition_point(|&number| key(number) < key_of) as u32;
                (first, (first..=last + 1).map(before).collect())
            }
            _ => (0, Vec::new()),
        };
        Self { numbers, first_key, starts }
    }

    /// How many numbers there are up to the first of which something does not hold, which holds of all numbers with smaller
    /// keys than this number and of none with greater ones.
    fn place(&self, number: f64, holds: impl Fn(f64) -> bool) -> usize {
        let Some(keys) = self.starts.len().checked_sub(1) else {
            return self.numbers.partition_point(|&known| holds(known));
        };
        let Some(key) = key(number).checked_sub(self.first_key) else { return 0 };
        if key >= keys {
            return self.numbers.len();
        }
        let (start, end) = (self.starts[key] as usize, self.starts[key + 1] as usize);
        start + self.numbers[start..end].partition_point(|&known| holds(known))
    }

    /// The first that is not below a number.
    pub(super) fn first_from(&self, number: f64) -> Option<f64> {
        self.numbers.get(self.place(number, |known| known < number)).copied()
    }

    /// The last that is not above a number.
    pub(super) fn last_up_to(&self, number: f64) -> Option<f64> {
        self.numbers[..self.place(number, |known| known <= number)].last().copied()
    }

    /// Whether there is one that something holds of.
    pub(super) fn any(&self, holds: impl Fn(f64) -> bool) -> bool {
        self.numbers.iter().any(|&number| holds(number))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number() -> impl Strategy<Value = f64> {
        let special = prop::sample::select(vec![0.0, -0.0, 1.0, f64::INFINITY, f64::NEG_INFINITY, 5e-324, f64::MAX]);
        let any = any::<f64>().prop_filter("a number", |number| !number.is_nan());
        prop_oneof![4 => 0.0..400.0, 2 => (0..40_u32).prop_map(|n| f64::from(n) / 8.0), 1 => special, 1 => any]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn places_are_those_of_a_walk_through_all(
            numbers in prop::collection::vec(number(), 0..80),
            wanted in prop::collection::vec(number(), 1..20),
            near in any::<prop::sample::Index>(),
        ) {
            let ladder = Ladder::new(numbers.clone());
            let mut ascending = numbers.clone();
            ascending.sort_unstable_by(f64::total_cmp);
            let near = (!numbers.is_empty()).then(|| *near.get(&numbers));
            let beside = near.iter().flat_map(|near| [near.next_down(), *near, near.next_up()]);
            for number in wanted.into_iter().chain(beside) {
                let first = ascending.iter().copied().find(|&known| known >= number);
                prop_assert_eq!(ladder.first_from(number), first, "from {}", number);
                let last = ascending.iter().rev().copied().find(|&known| known <= number);
                prop_assert_eq!(ladder.last_up_to(number), last, "up to {}", number);
            }
        }
    }

    #[test]
    fn numbers_far_apart_have_no_table_and_are_found() {
        let ladder = Ladder::new(vec![f64::MAX, 1e-300, 2.0, f64::NEG_INFINITY]);
        assert!(ladder.starts.is_empty());
        assert_eq!((ladder.first_from(1.0), ladder.last_up_to(1.0)), (Some(2.0), Some(1e-300)));
        let ladder = Ladder::new(vec![3.0, 2.0]);
        assert!(!ladder.starts.is_empty());
        assert_eq!((ladder.first_from(f64::NAN), Ladder::default().first_from(1.0)), (None, None));
    }
}
