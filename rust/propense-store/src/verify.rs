//! Reading a saved log from end to end, to know that it is the one that was saved.

use std::cmp::Ordering;
use std::ops::ControlFlow;
use std::path::Path;

use arrow_array::Array;
use propense_core::events::{Column, ColumnKind, EventLog, UserIds};

use crate::batch::{EVENT_ID_HIGH, EVENT_ID_LOW};
use crate::error::StoreError;
use crate::layout::{EVENTS, PROFILES, USERS};
use crate::open::open_files;
use crate::sealing::PART_NOTE;
use crate::sink::Advance;

/// Users between two looks at whether to stop.
const BLOCK: usize = 1 << 14;

/// Checks every byte of a saved log against its checksums, and that its rows are a log's: users ascend, events are in
/// canonical order, every code is in its dictionary.
///
/// `advance` is told the bytes read and can stop the work.
///
/// # Errors
/// As [`crate::open()`]; [`StoreError::Damaged`] names the file and what is wrong with it; [`StoreError::Cancelled`].
pub fn verify(folder: &Path, advance: &mut Advance<'_>) -> Result<(), StoreError> {
    let mut go_on = |bytes| match advance(bytes) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(StoreError::Cancelled),
    };
    let opened = open_files(folder)?;
    for (name, file) in &opened.files {
        let record = opened.manifest.files.get(*name);
        if record.map(|record| &record.sha256) != Some(&file.sha256(&mut go_on)?) {
            return Err(StoreError::damaged(file.path(), "its SHA-256 is not the manifest's"));
        }
    }
    let log = &opened.saved.log;
    let is_part = opened.saved.notes.contains_key(PART_NOTE);
    let damaged = |file: &str, problem: String| StoreError::damaged(folder.join(file), problem);
    if !users_ascend(log.users()) {
        return Err(damaged(USERS, "the users do not ascend".to_owned()));
    }
    if !ascend(log.event_types()) || !(0..log.len()).all(|row| code_fits(log.event().code(row), log.event_types())) {
        return Err(damaged(EVENTS, "an event's type is not in the dictionary".to_owned()));
    }
    for (file, columns) in [(EVENTS, log.columns()), (PROFILES, log.attributes())] {
        if let Some(column) = columns.iter().find(|column| !codes_fit(column)) {
            return Err(damaged(file, format!("column {:?} has a code that is not in its dictionary", column.name)));
        }
    }
    for user in 0..log.users().len() {
        if user % BLOCK == 0 {
            go_on(0)?;
        }
        let mut rows = log.rows(user);
        rows.next_back();
        if let Some(row) = rows.find(|&row| compare(log, row, row + 1, is_part) == Ordering::Greater) {
            return Err(damaged(EVENTS, format!("rows {row} and {} are not in order", row + 1)));
        }
    }
    Ok(())
}

fn users_ascend(users: &UserIds) -> bool {
    match users {
        UserIds::Integers(ids) => ids.is_sorted_by(|a, b| a < b),
        UserIds::Texts(ids) => (1..ids.len()).all(|place| ids.value(place - 1) < ids.value(place)),
    }
}

fn ascend(dictionary: &[String]) -> bool {
    dictionary.is_sorted_by(|a, b| a < b)
}

fn code_fits(code: Option<u32>, dictionary: &[String]) -> bool {
    code.is_some_and(|code| (code as usize) < dictionary.len())
}

fn codes_fit(column: &Column) -> bool {
    let cells = &column.cells;
    let fits = |row| cells.code(row).is_none_or(|_| code_fits(cells.code(row), &column.dictionary));
    column.kind != ColumnKind::Text || ascend(&column.dictionary) && (0..cells.len()).all(fits)
}

/// The canonical order of a user's events: time, type, then each property in order of name; missing is last. In a part
/// of a store the events' ids come after all others, as nobody sees them.
fn compare(log: &EventLog, a: usize, b: usize, is_part: bool) -> Ordering {
    let is_id = |column: &&Column| is_part && [EVENT_ID_HIGH, EVENT_ID_LOW].contains(&column.name.as_str());
    let columns = log.columns().iter().filter(|column| !is_id(column));
    let first = log.time_us()[a].cmp(&log.time_us()[b]).then_with(|| log.event().code(a).cmp(&log.event().code(b)));
    let columns = columns.map(|column| column.number(a).total_cmp(&column.number(b)));
    if first == Ordering::Equal { columns.fold(first, Ordering::then) } else { first }
}
