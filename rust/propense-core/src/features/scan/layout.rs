//! Which states a plan keeps, and what each leaf reads of them.

use std::collections::{HashMap, HashSet};

use super::chunk::Wanted;
use super::extents::Extents;
use super::keys::{Member, keys};
use super::lanes::{COUNT_LANES, Counts, DECAY_LANES, Decays};
use super::lists::Source;
use super::ops::{Asked, Op, OpKind, Reads, is_counted};
use super::selection::Selection;
use crate::events::EventLog;
use crate::expr::{BoundAggregate, EventSet, Function, UserLeaf};
use crate::features::plan::{ALL_HISTORY, Plan};

/// How a leaf's value is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reading {
    /// The attribute column with this place.
    Attribute(usize),
    /// The count in this cell.
    Count(usize),
    /// The number in this cell.
    Number(usize),
    /// The value from outside with this number.
    External(usize),
    /// Nothing reads it.
    Unread,
}

/// A selection whose events are taken one by one.
#[derive(Debug)]
pub(super) struct List {
    pub(super) source: Source,
    /// Which events of the source are in it; `None` if all are.
    pub(super) member: Option<Member>,
    /// Whether something is read over another window than the longest.
    pub(super) is_windowed: bool,
    /// Its lane among the extents, if one is read over the longest window.
    pub(super) extent: Option<usize>,
    pub(super) ops: Vec<Op>,
}

/// The states of a plan, and where their values lie: counts among the counts, all others among the numbers.
pub(super) struct Layout {
    /// Windows in microseconds, ascending; [`ALL_HISTORY`] is the last if it is asked for.
    pub(super) windows_us: Vec<i64>,
    pub(super) wanted: Wanted,
    pub(super) counts: Vec<Counts>,
    pub(super) decays: Vec<Decays>,
    pub(super) lists: Vec<List>,
    /// For each event type, and last for any other, the bucket that its events go to; 0 is that of no list.
    pub(super) bucket_of_type: Vec<u16>,
    /// The lanes of the extents and the first of their cells.
    pub(super) extents: (usize, usize),
    /// The counts of a user without events.
    pub(super) counts_of_none: Vec<u32>,
    /// The numbers of a user without events.
    pub(super) numbers_of_none: Vec<f64>,
    /// The columns of the distinct sets.
    pub(super) distinct_columns: Vec<usize>,
    /// One for each leaf.
    pub(super) readings: Vec<Reading>,
}

/// An aggregate that is read.
struct Read<'p> {
    leaf: usize,
    aggregate: &'p BoundAggregate,
    /// The place of its selection.
    selection: usize,
    /// The place of its window.
    window: usize,
}

impl Layout {
    /// The states of those leaves of a plan that are read.
    pub(super) fn new(log: &EventLog, plan: &Plan, is_read: impl Fn(usize) -> bool) -> Self {
        let aggregates = plan.leaves.iter().enumerate().filter_map(|(leaf, what)| match what {
            UserLeaf::Aggregate(aggregate) if is_read(leaf) => Some((leaf, aggregate)),
            _ => None,
        });
        let mut windows_us: Vec<i64> = aggregates.clone().map(|(_, aggregate)| window_us(aggregate)).collect();
        windows_us.sort_unstable();
        windows_us.dedup();
        let mut selections = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let reads = aggregates.map(|(leaf, aggregate)| {
            let selection = *places.entry(&aggregate.selector_text).or_insert_with(|| {
                selections.push(Selection::of(aggregate, log));
                selections.len() - 1
            });
            let window = windows_us.partition_point(|&length| length < window_us(aggregate));
            Read { leaf, aggregate, selection, window }
        });
        let reads: Vec<Read> = reads.collect();
        let (keys, members) = keys(&selections, log);
        let readings = plan.leaves.iter().map(|leaf| match leaf {
            UserLeaf::Attribute(column) => Reading::Attribute(*column),
            UserLeaf::External(number) => Reading::External(*number),
            UserLeaf::Aggregate(_) => Reading::Unread,
        });
        let event_types = log.event_types().len() as u32;
        let mut layout = Self {
            windows_us,
            wanted: Wanted { event_types, keys, calendar: None, half_lives_us: Vec::new() },
            counts: Vec::new(),
            decays: Vec::new(),
            lists: Vec::new(),
            bucket_of_type: vec![0; event_types as usize + 1],
            extents: (0, 0),
            counts_of_none: Vec::new(),
            numbers_of_none: Vec::new(),
            distinct_columns: Vec::new(),
            readings: readings.collect(),
        };
        layout.count(&reads, &members);
        layout.decay(&reads, &members);
        layout.list(&reads, &selections, &members);
        let reads_local_times = layout.lists.iter().flat_map(|list| &list.ops).any(|op| op.kind.takes_local_times());
        layout.wanted.calendar = reads_local_times.then(|| plan.calendar.clone());
        layout
    }

    /// Lanes for the selections that are counted.
    fn count(&mut self, reads: &[Read], members: &[Member]) {
        let counted = |read: &&Read| read.aggregate.function == Function::Count && read.aggregate.column.is_none();
        let windows = self.windows_us.len();
        for (key, selections) in by_key(reads.iter().filter(counted), members) {
            for lanes in selections.chunks(COUNT_LANES) {
                let at = self.counts_of_none.len();
                self.counts_of_none.resize(at + windows * COUNT_LANES, 0);
                let of: Vec<&Member> = lanes.iter().map(|&selection| &members[selection]).collect();
                self.counts.push(Counts::new(key, &of, at));
                for read in reads.iter().filter(counted) {
                    if let Some(lane) = lanes.iter().position(|&selection| selection == read.selection) {
                        self.readings[read.leaf] = Reading::Count(at + read.window * COUNT_LANES + lane);
                    }
                }
            }
        }
    }

    /// Lanes for the selections whose decayed counts are read, half-life by half-life.
    fn decay(&mut self, reads: &[Read], members: &[Member]) {
        let half_life = |read: &Read| match read.aggregate.function {
            Function::DecayedCount { half_life_us } => Some(half_life_us),
            _ => None,
        };
        let mut half_lives_us: Vec<i64> = reads.iter().filter_map(half_life).collect();
        half_lives_us.sort_unstable();
        half_lives_us.dedup();
        for (number, &half_life_us) in half_lives_us.iter().enumerate() {
            let decays = |read: &&Read| half_life(read) == Some(half_life_us);
            for (key, selections) in by_key(reads.iter().filter(decays), members) {
                for lanes in selections.chunks(DECAY_LANES) {
                    let at = self.numbers_of_none.len();
                    self.numbers_of_none.resize(at + DECAY_LANES, 0.0);
                    let of: Vec<&Member> = lanes.iter().map(|&selection| &members[selection]).collect();
                    self.decays.push(Decays::new(key, number, &of, at));
                    for read in reads.iter().filter(decays) {
                        if let Some(lane) = lanes.iter().position(|&selection| selection == read.selection) {
                            self.readings[read.leaf] = Reading::Number(at + lane);
                        }
                    }
                }
            }
        }
        self.wanted.half_lives_us = half_lives_us;
    }

    /// Lists for the selections of which anything else is read.
    fn list(&mut self, reads: &[Read], selections: &[Selection], members: &[Member]) {
        let longest = self.windows_us.len().saturating_sub(1);
        let is_extent = |read: &&Read| read.window == longest && OpKind::of(read.aggregate) == Some(OpKind::Extent);
        let with_extent: HashSet<usize> = reads.iter().filter(is_extent).map(|read| read.selection).collect();
        let (lanes, at) = (Extents::lanes(with_extent.len()), self.numbers_of_none.len());
        self.extents = (lanes, at);
        self.numbers_of_none.resize(at + 3 * lanes, f64::NAN);
        let mut extents = 0;
        let mut buckets = 0;
        for (number, selection) in selections.iter().enumerate() {
            let listed = |read: &&Read| read.selection == number && OpKind::of(read.aggregate).is_some();
            let of_list: Vec<&Read> = reads.iter().filter(listed).collect();
            if of_list.is_empty() {
                continue;
            }
            let source = match selection.events {
                EventSet::All => Source::All,
                EventSet::One(event_type) => {
                    let bucket = &mut self.bucket_of_type[event_type as usize];
                    if *bucket == 0 {
                        buckets += 1;
                        *bucket = buckets;
                    }
                    Source::Bucket(usize::from(*bucket))
                }
                EventSet::Empty => Source::Nothing,
            };
            let member = (!selection.is_whole() && source != Source::Nothing).then(|| members[number].clone());
            let is_windowed = of_list.iter().any(|read| read.window < longest);
            let extent = with_extent.contains(&number).then_some(extents);
            for read in of_list.iter().copied().filter(is_extent) {
                let cell = Extents::cell(lanes, extents, read.aggregate.function);
                self.readings[read.leaf] = Reading::Number(at + cell);
            }
            extents += usize::from(extent.is_some());
            let in_ops: Vec<&Read> = of_list.iter().copied().filter(|read| !is_extent(read)).collect();
            let ops = self.ops(&in_ops);
            self.lists.push(List { source, member, is_windowed, extent, ops });
        }
    }

    /// The ops of a list, those of a column together.
    fn ops(&mut self, reads: &[&Read]) -> Vec<Op> {
        let mut ops: Vec<Op> = Vec::new();
        for read in reads {
            let Some(kind) = OpKind::of(read.aggregate) else { continue };
            let (function, column) = (read.aggregate.function, read.aggregate.column.unwrap_or_default());
            let known = ops.iter().position(|op| op.kind == kind && op.column == column);
            let place = known.unwrap_or_else(|| {
                let set = self.distinct_columns.len();
                if kind == OpKind::Distinct {
                    self.distinct_columns.push(column);
                }
                ops.push(Op { kind, column, set, reads: Vec::new(), windows: Vec::new() });
                ops.len() - 1
            });
            let cell = if is_counted(function) {
                self.counts_of_none.push(0);
                self.readings[read.leaf] = Reading::Count(self.counts_of_none.len() - 1);
                self.counts_of_none.len() - 1
            } else {
                self.numbers_of_none.push(function.empty());
                self.readings[read.leaf] = Reading::Number(self.numbers_of_none.len() - 1);
                self.numbers_of_none.len() - 1
            };
            let asked = Asked { window: read.window as u32, cell: cell as u32 };
            let Op { reads: of_op, windows, .. } = &mut ops[place];
            windows.push(asked.window);
            match of_op.iter_mut().find(|reads| reads.function == function) {
                Some(reads) => reads.asked.push(asked),
                None => of_op.push(Reads { function, asked: vec![asked] }),
            }
        }
        for Op { windows, .. } in &mut ops {
            windows.sort_unstable();
            windows.dedup();
        }
        ops.sort_by_key(|op| op.column);
        ops
    }
}

/// The selections of some reads, each once, by the key that tells them.
fn by_key<'r>(reads: impl Iterator<Item = &'r Read<'r>>, members: &[Member]) -> Vec<(usize, Vec<usize>)> {
    let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
    for Read { selection, .. } in reads {
        let key = members[*selection].key;
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) if group.contains(selection) => {}
            Some((_, group)) => group.push(*selection),
            None => groups.push((key, vec![*selection])),
        }
    }
    groups
}

fn window_us(aggregate: &BoundAggregate) -> i64 {
    aggregate.window_us.unwrap_or(ALL_HISTORY)
}
