//! Bins: the rank of a value among a feature's thresholds, in a byte.
//!
//! A [`Group`] holds up to 254 sorted boundaries of one feature and cuts its values into bins `0..=n`. A feature
//! with more boundaries has several groups; every test looks at the one that holds all of its own. A column is a
//! group together with the bin that NaN gets, 0 or `n + 1`, so that NaN takes the side a test wants without being
//! asked about.

use std::collections::HashMap;

use super::graph::MAX_FLIPS;
use super::rule::Rule;

/// A test on a column: rows whose bin is at least `rank` are high.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Cut {
    pub(super) column: u32,
    pub(super) rank: u8,
    /// Whether the high rows are those that pass.
    pub(super) high_passes: bool,
}

/// A test on a column: rows pass whose bin is in the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) column: u32,
    /// Bit `b % 8` of byte `b / 8` for bin `b`.
    pub(super) bits: [u8; 32],
}

impl Set {
    /// Whether rows of a bin pass.
    #[inline]
    pub(super) fn holds(&self, bin: u8) -> bool {
        self.bits[usize::from(bin / 8)] >> (bin % 8) & 1 == 1
    }
}

/// A rule in terms of bins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    Cut(Cut),
    Set(Set),
}

/// Boundaries of one feature and the columns made from them.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) feature: u32,
    /// Keys, ascending; bin `b` is of the values with exactly `b` boundaries at or below them.
    pub(super) bounds: Vec<i32>,
    /// The column in which NaN has bin 0.
    pub(super) missing_low: Option<u32>,
    /// The column in which NaN has bin `n + 1`.
    pub(super) missing_high: Option<u32>,
}

/// All groups, in the order of their features.
#[derive(Debug, Default)]
pub(super) struct Bins {
    pub(super) groups: Vec<Group>,
    pub(super) columns: u32,
    /// Each feature's part of `groups`.
    parts: HashMap<u32, (usize, usize)>,
}

impl Bins {
    /// Finds groups such that every rule has all of its boundaries in one; `None` if a rule has too many.
    pub(super) fn of<'a>(rules: impl Iterator<Item = (u32, &'a Rule)>) -> Option<Bins> {
        let mut rules: Vec<(u32, &[i32])> = rules.map(|(feature, rule)| (feature, rule.flips.as_slice())).collect();
        if rules.iter().any(|(_, flips)| flips.len() > MAX_FLIPS) {
            return None;
        }
        rules.sort_unstable();
        rules.dedup();
        let mut bins = Bins::default();
        for rules in rules.chunk_by(|a, b| a.0 == b.0) {
            let feature = rules[0].0;
            let start = bins.groups.len();
            bins.groups.extend(grouped(rules).into_iter().map(|bounds| Group {
                feature,
                bounds,
                missing_low: None,
                missing_high: None,
            }));
            bins.parts.insert(feature, (start, bins.groups.len()));
        }
        Some(bins)
    }

    /// The rule as a test on a column, which is added if there is none like it.
    ///
    /// `None` if the rule was not among those the bins were made for.
    pub(super) fn condition(&mut self, feature: u32, rule: &Rule) -> Option<Condition> {
        let &(start, end) = self.parts.get(&feature)?;
        let holds = |group: &Group| rule.flips.iter().all(|flip| group.bounds.binary_search(flip).is_ok());
        let group = self.groups[start..end].iter_mut().find(|group| holds(group))?;
        let count = group.bounds.len();
        let low = |group: &mut Group, columns: &mut u32| *group.missing_low.get_or_insert_with(|| next(columns));
        let high = |group: &mut Group, columns: &mut u32| *group.missing_high.get_or_insert_with(|| next(columns));
        let columns = &mut self.columns;
        Some(match *rule.flips.as_slice() {
            // Constant on numbers: only NaN is high.
            [] => {
                Condition::Cut(Cut { column: high(group, columns), rank: (count + 1) as u8, high_passes: rule.missing })
            }
            [flip] => {
                let rank = group.bounds.partition_point(|&bound| bound <= flip) as u8;
                let column = if rule.missing == rule.first { low(group, columns) } else { high(group, columns) };
                Condition::Cut(Cut { column, rank, high_passes: !rule.first })
            }
            _ => {
                let (mut bits, mut passes) = ([0_u8; 32], rule.first);
                for bin in 0..=count {
                    if bin > 0 && rule.flips.binary_search(&group.bounds[bin - 1]).is_ok() {
                        passes = !passes;
                    }
                    bits[bin / 8] |= u8::from(passes) << (bin % 8);
                }
                bits[(count + 1) / 8] |= u8::from(rule.missing) << ((count + 1) % 8);
                Condition::Set(Set { column: high(group, columns), bits })
            }
        })
    }
}

fn next(columns: &mut u32) -> u32 {
    *columns += 1;
    *columns - 1
}

/// The boundaries of one feature's rules in as few lists as need be, each of at most [`MAX_FLIPS`].
fn grouped(rules: &[(u32, &[i32])]) -> Vec<Vec<i32>> {
    let all = merged(rules.iter().flat_map(|(_, flips)| flips.iter().copied()));
    if all.len() <= MAX_FLIPS {
        return vec![all];
    }
    // Sets first, each whole; then single boundaries that no set brought along.
    let mut groups: Vec<Vec<i32>> = Vec::new();
    let mut open: Vec<i32> = Vec::new();
    for (_, flips) in rules.iter().filter(|(_, flips)| flips.len() > 1) {
        let wider = merged(open.iter().chain(*flips).copied());
        if wider.len() <= MAX_FLIPS {
            open = wider;
        } else {
            groups.push(std::mem::replace(&mut open, flips.to_vec()));
        }
    }
    if !open.is_empty() {
        groups.push(open);
    }
    let held = merged(groups.iter().flatten().copied());
    let single = rules.iter().filter(|(_, flips)| flips.len() == 1).map(|(_, flips)| flips[0]);
    let single = merged(single.filter(|flip| held.binary_search(flip).is_err()));
    groups.extend(single.chunks(MAX_FLIPS).map(<[i32]>::to_vec));
    groups
}

fn merged(values: impl Iterator<Item = i32>) -> Vec<i32> {
    let mut values: Vec<i32> = values.collect();
    values.sort_unstable();
    values.dedup();
    values
}
