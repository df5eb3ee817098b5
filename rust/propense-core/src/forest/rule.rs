//! A branch's test as a step function over the ordered values of a feature.

use super::ensemble::Test;

/// The key of +∞, the greatest of any number.
const INFINITY: i32 = 0x7f80_0000;

/// The place of a number in the order of all f32: `a < b` exactly if `key(a) < key(b)`, except that −0 comes one
/// before 0. Integers, so that denormals count even where the process flushes them. Not for NaN.
#[inline]
pub(super) fn key(x: f32) -> i32 {
    let bits = x.to_bits() as i32;
    bits ^ (((bits >> 31) as u32) >> 1) as i32
}

/// The number with a key.
pub(super) fn number(key: i32) -> f32 {
    f32::from_bits((key ^ (((key >> 31) as u32) >> 1) as i32) as u32)
}

/// The least key of a value `>= t`.
fn from(t: f32) -> i32 {
    key(if t == 0.0 { -0.0 } else { t })
}

/// The least key of a value `> t`.
fn beyond(t: f32) -> i32 {
    key(if t == 0.0 { 0.0 } else { t }) + 1
}

/// Which values of a feature pass: starts at `first` and changes at every one of `flips`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Rule {
    /// Keys at which the answer changes, ascending; each is the least key of its step.
    pub(super) flips: Vec<i32>,
    /// The answer below all flips.
    pub(super) first: bool,
    /// The answer for NaN.
    pub(super) missing: bool,
}

impl Rule {
    /// The rule of a test whose members have been looked up.
    pub(super) fn of(test: Test, missing_goes_true: bool, members: &[f32]) -> Rule {
        let (first, mut flips) = match test {
            Test::LessEqual(t) => (true, vec![beyond(t)]),
            Test::Less(t) => (true, vec![from(t)]),
            Test::GreaterEqual(t) => (false, vec![from(t)]),
            Test::Greater(t) => (false, vec![beyond(t)]),
            Test::Equal(t) => (false, vec![from(t), beyond(t)]),
            Test::NotEqual(t) => (true, vec![from(t), beyond(t)]),
            Test::Member { .. } => {
                let mut starts: Vec<i32> = members.iter().map(|&member| from(member)).collect();
                starts.sort_unstable();
                starts.dedup();
                (false, starts.into_iter().flat_map(|start| [start, if start == -1 { 1 } else { start + 1 }]).collect())
            }
        };
        flips.sort_unstable();
        let mut rule =
            Rule { flips: Vec::new(), first, missing: missing_goes_true || matches!(test, Test::NotEqual(_)) };
        for flip in flips {
            if flip <= key(f32::NEG_INFINITY) {
                rule.first = !rule.first;
            } else if rule.flips.last() == Some(&flip) {
                rule.flips.pop();
            } else if flip <= INFINITY {
                rule.flips.push(flip);
            }
        }
        rule
    }

    /// Whether everything passes, or nothing does.
    pub(super) fn constant(&self) -> Option<bool> {
        (self.flips.is_empty() && self.first == self.missing).then_some(self.first)
    }

    /// The rule that joins the answers of two.
    pub(super) fn join(&self, other: &Rule, answer: impl Fn(bool, bool) -> bool) -> Rule {
        let (mut mine, mut theirs) = (self.first, other.first);
        let first = answer(mine, theirs);
        let mut joined = Rule { flips: Vec::new(), first, missing: answer(self.missing, other.missing) };
        let (mut i, mut j, mut last) = (0, 0, first);
        while i < self.flips.len() || j < other.flips.len() {
            let (a, b) = (self.flips.get(i), other.flips.get(j));
            let flip = match (a, b) {
                (Some(&a), Some(&b)) => a.min(b),
                (Some(&one), None) | (None, Some(&one)) => one,
                (None, None) => break,
            };
            if a == Some(&flip) {
                (i, mine) = (i + 1, !mine);
            }
            if b == Some(&flip) {
                (j, theirs) = (j + 1, !theirs);
            }
            let next = answer(mine, theirs);
            if next != last {
                joined.flips.push(flip);
                last = next;
            }
        }
        joined
    }
}
