//! Events in classes: events of a class are in the same selections.

use std::collections::HashMap;
use std::ops::Range;

use super::selection::{Selection, Test, passes};
use crate::events::{Cells, EventLog};

/// One way to put events into classes, which settles for some selections whether an event is in them.
///
/// Class 0 is that of events in none of them.
#[derive(Debug)]
pub(super) struct Key {
    test: Test,
    /// For each event type, and last for any other, where its classes are.
    spots: Vec<Spot>,
    choices: Vec<u32>,
}

/// The classes of the events of a type: one for each place of a value, or only one.
#[derive(Debug, Clone, Copy)]
struct Spot {
    first: u32,
    /// The bits of the place that matter.
    mask: u32,
}

/// How a selection is told.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) key: usize,
    /// For each class of the key, whether its events are in the selection.
    pub(super) takes: Vec<bool>,
}

/// The keys that settle all selections, and how each selection is told.
pub(super) fn keys(selections: &[Selection], log: &EventLog) -> (Vec<Key>, Vec<Member>) {
    // The selections that each test settles.
    let mut groups: Vec<(Test, Vec<usize>)> = Vec::new();
    let mut by_type = Vec::new();
    for (number, selection) in selections.iter().enumerate() {
        let known = |(known, _): &&mut (Test, _)| matches!(known, Test::Column(_)) && *known == selection.test;
        match groups.iter_mut().find(known) {
            _ if selection.test == Test::Type => by_type.push(number),
            Some((_, group)) => group.push(number),
            None => groups.push((selection.test.clone(), vec![number])),
        }
    }
    // A key of a column knows the type too.
    match groups.iter_mut().find(|(test, _)| matches!(test, Test::Column(_))) {
        Some((_, group)) => group.extend(by_type),
        None if !by_type.is_empty() => groups.push((Test::Type, by_type)),
        None => {}
    }
    let mut members = vec![Member { key: 0, takes: Vec::new() }; selections.len()];
    let mut keys = Vec::new();
    for (test, group) in groups {
        let settled: Vec<&Selection> = group.iter().map(|&number| &selections[number]).collect();
        let (key, passed) = Key::new(test, &settled, log);
        for (place, &number) in group.iter().enumerate() {
            members[number] = Member { key: keys.len(), takes: passed.iter().map(|passed| passed[place]).collect() };
        }
        keys.push(key);
    }
    (keys, members)
}

/// Classes as they come up.
#[derive(Default)]
struct Classes {
    numbers: HashMap<Vec<bool>, u32>,
    /// For each class, whether each selection takes it.
    passed: Vec<Vec<bool>>,
    /// What is looked up, of which a table has very many.
    passes: Vec<bool>,
}

impl Classes {
    /// The class that these selections take; a new one if there is none.
    fn of(&mut self, takes: impl Iterator<Item = bool>) -> u32 {
        self.passes.clear();
        self.passes.extend(takes);
        if let Some(&number) = self.numbers.get(&self.passes) {
            return number;
        }
        let number = self.passed.len() as u32;
        self.numbers.insert(self.passes.clone(), number);
        self.passed.push(self.passes.clone());
        number
    }
}

impl Key {
    /// A key, and for each of its classes which of the selections take it.
    fn new(test: Test, selections: &[&Selection], log: &EventLog) -> (Self, Vec<Vec<bool>>) {
        let mut classes = Classes::default();
        classes.of(selections.iter().map(|_| false));
        let cells = match test {
            Test::Column(column) => Some(&log.columns()[column].cells),
            _ => None,
        };
        let (mut spots, mut choices) = (Vec::new(), Vec::new());
        for event_type in 0..log.event_types().len() as u32 {
            let first = choices.len() as u32;
            let reads_value = selections.iter().any(|one| one.test == test && one.takes(event_type));
            let takes = |value| selections.iter().map(move |one| one.takes_value(event_type, value));
            match (&test, cells) {
                (Test::Condition(_), _) => choices.extend(
                    [false, true]
                        .map(|passes| classes.of(selections.iter().map(|one| passes && one.takes(event_type)))),
                ),
                (_, Some(cells)) if reads_value => {
                    let places = 0..cells.places().unwrap_or(0);
                    choices.extend(places.map(|place| classes.of(takes(cells.number_at(place)))));
                }
                _ => choices.push(classes.of(takes(f64::NAN))),
            }
            spots.push(Spot { first, mask: (choices.len() as u32 - first) - 1 });
        }
        spots.push(Spot { first: choices.len() as u32, mask: 0 });
        choices.extend([0, 0]);
        (Self { test, spots, choices }, classes.passed)
    }

    /// Writes the classes of events, newest first; `rows` are theirs, `types` their types.
    pub(super) fn classify(&self, types: &[u32], columns: &[&Cells], rows: Range<usize>, classes: &mut [u32]) {
        match &self.test {
            Test::Type => self.choose(types, types.iter().map(|_| 0), classes),
            Test::Column(column) => match columns[*column] {
                Cells::U8(values) => self.choose(types, values[rows].iter().rev().map(|&value| value.into()), classes),
                Cells::I8(values) => {
                    self.choose(types, values[rows].iter().rev().map(|value| value.cast_unsigned().into()), classes);
                }
                Cells::U16(values) => self.choose(types, values[rows].iter().rev().map(|&value| value.into()), classes),
                Cells::I16(values) => {
                    self.choose(types, values[rows].iter().rev().map(|value| value.cast_unsigned().into()), classes);
                }
                // Of these a table would be too large: `Selection::test` sees to it.
                _ => {}
            },
            Test::Condition(filter) => {
                let passes = types.iter().zip(rows.rev()).map(|(&event_type, row)| {
                    // An event that no selection takes need not be tested.
                    self.choices[self.spots[event_type as usize].first as usize + 1] > 0
                        && passes(filter, columns, event_type, row)
                });
                self.choose(types, passes.map(u32::from), classes);
            }
        }
    }

    #[inline(always)]
    fn choose(&self, types: &[u32], places: impl Iterator<Item = u32>, classes: &mut [u32]) {
        for ((class, &event_type), place) in classes.iter_mut().zip(types).zip(places) {
            let Spot { first, mask } = self.spots[event_type as usize];
            *class = self.choices[(first + (place & mask)) as usize];
        }
    }
}
