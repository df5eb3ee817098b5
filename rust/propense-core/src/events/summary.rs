//! What a log holds, for whoever declares features from it.

use std::collections::HashSet;

use serde::Serialize;

use super::column::{Column, ColumnKind};
use super::log::EventLog;

/// Distinct values are counted up to here; more is "many".
const DISTINCT_LIMIT: usize = 1_000;
/// How many of the commonest texts are listed.
const LISTED_VALUES: usize = 32;

/// Counts over the events before an instant.
#[derive(Debug, Clone, Serialize)]
pub struct LogSummary {
    /// Users with at least one such event.
    pub users: u64,
    /// Such events.
    pub events: u64,
    /// The earliest such event, microseconds since 1970-01-01 UTC.
    pub first_us: Option<i64>,
    /// The latest such event, microseconds since 1970-01-01 UTC.
    pub last_us: Option<i64>,
    /// One entry an event type, the commonest first.
    pub event_types: Vec<EventSummary>,
    /// One entry an attribute, over those users, ascending by name.
    pub attributes: Vec<PropertySummary>,
}

/// Counts over the events of one type.
#[derive(Debug, Clone, Serialize)]
pub struct EventSummary {
    /// The event type.
    pub name: String,
    /// Its events.
    pub events: u64,
    /// Users with at least one.
    pub users: u64,
    /// One entry a property that is present at least once, ascending by name.
    pub properties: Vec<PropertySummary>,
}

/// Counts over one property of one event type, or over one attribute.
#[derive(Debug, Clone, Serialize)]
pub struct PropertySummary {
    /// The column's name.
    pub name: String,
    /// The column's kind: `number`, `boolean`, `time` or `text`.
    pub kind: &'static str,
    /// Rows in which it is not missing.
    pub present: u64,
    /// Distinct values, counted up to 1,000.
    pub distinct: u64,
    /// Whether all values are whole numbers; false for texts.
    pub whole: bool,
    /// The smallest number; `None` for texts and without a finite value.
    pub smallest: Option<f64>,
    /// Pearson correlation with the event time; `None` for texts, attributes and where either does not vary.
    pub time_correlation: Option<f64>,
    /// The commonest texts, the commonest first; empty for other kinds and for texts of 1,000 or more.
    pub values: Vec<ValueCount>,
}

/// How often a text occurs.
#[derive(Debug, Clone, Serialize)]
pub struct ValueCount {
    /// The text.
    pub value: String,
    /// Its rows.
    pub count: u64,
}

impl EventLog {
    /// Counts what the log holds strictly before an instant.
    #[must_use]
    pub fn summary(&self, before_us: i64) -> LogSummary {
        let mut rows_of_type: Vec<Vec<u32>> = vec![Vec::new(); self.event_types().len()];
        let mut users_of_type = vec![0_u64; self.event_types().len()];
        let mut active_users = Vec::new();
        for user in 0..self.users().len() {
            let rows = self.rows(user);
            let end = rows.start + self.time_us()[rows.clone()].partition_point(|&time| time < before_us);
            if end > rows.start {
                active_users.push(user);
            }
            for row in rows.start..end {
                let Some(code) = self.event().code(row).map(|code| code as usize) else { continue };
                // A code beyond the event types can only come from a damaged file.
                let Some(of_type) = rows_of_type.get_mut(code) else { continue };
                // A user's rows are consecutive, so the last row tells whether this user was seen before.
                if of_type.last().is_none_or(|&last| (last as usize) < rows.start) {
                    users_of_type[code] += 1;
                }
                of_type.push(row as u32);
            }
        }
        let times = || rows_of_type.iter().flatten().map(|&row| self.time_us()[row as usize]);
        let profiles: Vec<u32> =
            active_users.iter().filter_map(|&user| self.profile_row(user)).map(|row| row as u32).collect();
        let mut event_types: Vec<EventSummary> = (0..self.event_types().len())
            .filter(|&code| !rows_of_type[code].is_empty())
            .map(|code| EventSummary {
                name: self.event_types()[code].clone(),
                events: rows_of_type[code].len() as u64,
                users: users_of_type[code],
                properties: properties(self.columns(), &rows_of_type[code], Some(self.time_us())),
            })
            .collect();
        event_types.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.name.cmp(&b.name)));
        LogSummary {
            users: active_users.len() as u64,
            events: event_types.iter().map(|summary| summary.events).sum(),
            first_us: times().min(),
            last_us: times().max(),
            event_types,
            attributes: properties(self.attributes(), &profiles, None),
        }
    }
}

fn properties(columns: &[Column], rows: &[u32], time_us: Option<&[i64]>) -> Vec<PropertySummary> {
    columns.iter().map(|column| property(column, rows, time_us)).filter(|summary| summary.present > 0).collect()
}

fn property(column: &Column, rows: &[u32], time_us: Option<&[i64]>) -> PropertySummary {
    let counted = if column.kind == ColumnKind::Text {
        count_texts(rows.iter().filter_map(|&row| column.cells.code(row as usize)), &column.dictionary)
    } else {
        PropertySummary {
            time_correlation: time_us.and_then(|time_us| correlation(column, time_us, rows)),
            ..count_numbers(rows.iter().map(|&row| column.number(row as usize)))
        }
    };
    PropertySummary { name: column.name.clone(), kind: column.kind.name(), ..counted }
}

/// Pearson correlation of two columns over those rows in which the first is finite.
fn correlation(column: &Column, time_us: &[i64], rows: &[u32]) -> Option<f64> {
    let pairs = || {
        let pairs = rows.iter().map(|&row| (column.number(row as usize), time_us[row as usize] as f64));
        pairs.filter(|(number, _)| number.is_finite())
    };
    let count = pairs().count() as f64;
    let (sum_x, sum_y) = pairs().fold((0.0, 0.0), |(sum_x, sum_y), (x, y)| (sum_x + x, sum_y + y));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs() {
        let (x, y) = (x - mean_x, y - mean_y);
        (xx, yy, xy) = (xx + x * x, yy + y * y, xy + x * y);
    }
    let correlation = xy / (xx * yy).sqrt();
    correlation.is_finite().then_some(correlation)
}

/// Counts of a column without values, to be filled in.
fn nothing_counted() -> PropertySummary {
    PropertySummary {
        name: String::new(),
        kind: "",
        present: 0,
        distinct: 0,
        whole: false,
        smallest: None,
        time_correlation: None,
        values: Vec::new(),
    }
}

fn count_numbers(numbers: impl Iterator<Item = f64>) -> PropertySummary {
    let mut counted = PropertySummary { whole: true, ..nothing_counted() };
    let mut seen = HashSet::new();
    for number in numbers.filter(|number| !number.is_nan()) {
        counted.present += 1;
        counted.whole &= number.fract() == 0.0;
        counted.smallest = Some(counted.smallest.map_or(number, |smallest: f64| smallest.min(number)));
        if seen.len() < DISTINCT_LIMIT {
            seen.insert(number.to_bits());
        }
    }
    counted.smallest = counted.smallest.filter(|smallest| smallest.is_finite());
    counted.distinct = seen.len() as u64;
    counted
}

fn count_texts(codes: impl Iterator<Item = u32>, dictionary: &[String]) -> PropertySummary {
    let mut counts = vec![0_u64; dictionary.len()];
    for code in codes {
        if let Some(count) = counts.get_mut(code as usize) {
            *count += 1;
        }
    }
    let distinct = counts.iter().filter(|&&count| count > 0).count().min(DISTINCT_LIMIT);
    let mut order: Vec<usize> = (0..counts.len()).filter(|&code| counts[code] > 0).collect();
    order.sort_by_key(|&code| (std::cmp::Reverse(counts[code]), code));
    order.truncate(if distinct < DISTINCT_LIMIT { LISTED_VALUES } else { 0 });
    let values =
        order.iter().map(|&code| ValueCount { value: dictionary[code].clone(), count: counts[code] }).collect();
    PropertySummary { present: counts.iter().sum(), distinct: distinct as u64, values, ..nothing_counted() }
}
