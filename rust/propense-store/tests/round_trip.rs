//! What is saved is what is opened, for this library and for other readers of Arrow.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::fs::File;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType, UInt64Type};
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::FileReader;
use propense_core::events::{Column, ColumnKind, EventLog, UserIds};
use propense_store::open;
use proptest::prelude::*;
use support::{assert_same, logs, notes, saved, some_log, verified};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_log_comes_back_to_the_bit(log in logs()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        saved(&log, &path).unwrap();
        let opened = open(&path).unwrap();
        prop_assert_eq!(&opened.notes, &notes());
        assert_same(&opened.log, &log);
        verified(&path).unwrap();
    }

    #[test]
    fn arrow_readers_see_the_same_rows(log in logs()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        saved(&log, &path).unwrap();
        assert_events(&log, &batch(&path.join("events.arrow")));
        let users = batch(&path.join("users.arrow"));
        let (first, count) = (users["first_event"].as_primitive::<UInt64Type>(), users["events"].as_primitive::<UInt64Type>());
        assert_eq!(users.num_rows(), log.users().len());
        for user in 0..log.users().len() {
            assert_eq!(id(&users["user_id"], user), own_id(&log, user));
            let rows = first.value(user) as usize..(first.value(user) + count.value(user)) as usize;
            assert_eq!(rows, log.rows(user));
        }
        if !log.attributes().is_empty() {
            let profiles = batch(&path.join("profiles.arrow"));
            assert_columns(log.attributes(), &profiles, 0..log.users().len());
        }
    }
}

fn batch(path: &std::path::Path) -> RecordBatch {
    let mut batches: Vec<RecordBatch> =
        FileReader::try_new(File::open(path).unwrap(), None).unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.len(), 1);
    batches.remove(0)
}

fn own_id(log: &EventLog, user: usize) -> String {
    match log.users() {
        UserIds::Integers(ids) => ids[user].to_string(),
        UserIds::Texts(ids) => ids.value(user).to_owned(),
    }
}

fn id(column: &dyn Array, row: usize) -> String {
    match column.as_primitive_opt::<Int64Type>() {
        Some(ids) => ids.value(row).to_string(),
        None => text(column, row).unwrap(),
    }
}

fn text(column: &dyn Array, row: usize) -> Option<String> {
    if let Some(texts) = column.as_string_opt::<i64>() {
        return texts.is_valid(row).then(|| texts.value(row).to_owned());
    }
    let dictionary = column.as_any_dictionary();
    let key = dictionary.normalized_keys()[row];
    column.is_valid(row).then(|| dictionary.values().as_string::<i64>().value(key).to_owned())
}

/// `user_id` and `event` are properties of the test's logs, so the roles have other names.
fn assert_events(log: &EventLog, events: &RecordBatch) {
    assert_eq!(events.num_rows(), log.len());
    let times = events["event_time"].as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.values(), log.time_us());
    for user in 0..log.users().len() {
        for row in log.rows(user) {
            assert_eq!(id(&events["user_id_"], row), own_id(log, user));
            let event = log.event().code(row).unwrap();
            assert_eq!(text(&events["event_"], row).as_ref(), Some(&log.event_types()[event as usize]));
        }
    }
    assert_columns(log.columns(), events, 0..log.len());
}

fn assert_columns(columns: &[Column], batch: &RecordBatch, rows: Range<usize>) {
    for column in columns {
        let found = &batch[column.name.as_str()];
        assert_eq!(found.null_count(), rows.clone().filter(|&row| column.number(row).is_nan()).count());
        let numbers = (column.kind != ColumnKind::Text).then(|| {
            let numbers = arrow_cast::cast(found, &arrow_schema::DataType::Float64);
            numbers
                .or_else(|_| {
                    arrow_cast::cast(
                        &arrow_cast::cast(found, &arrow_schema::DataType::Int64)?,
                        &arrow_schema::DataType::Float64,
                    )
                })
                .unwrap()
        });
        for row in rows.clone() {
            match &numbers {
                None => assert_eq!(text(found, row).as_deref(), column.text(row), "{}", column.name),
                Some(numbers) => {
                    let numbers = numbers.as_primitive::<arrow_array::types::Float64Type>();
                    let number = numbers.is_valid(row).then(|| numbers.value(row));
                    assert_eq!(number, Some(column.number(row)).filter(|number| !number.is_nan()), "{}", column.name);
                }
            }
        }
    }
}

#[test]
fn the_same_log_gives_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let (log, [one, other]) = (some_log(40), ["one", "other"].map(|name| folder.path().join(name)));
    saved(&log, &one).unwrap();
    saved(&open(&one).unwrap().log, &other).unwrap();
    for name in ["events.arrow", "users.arrow", "profiles.arrow", "manifest.json"] {
        assert_eq!(std::fs::read(one.join(name)).unwrap(), std::fs::read(other.join(name)).unwrap(), "{name}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn columns_are_mapped_and_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    saved(&some_log(400), &path).unwrap();
    let log = open(&path).unwrap().log;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mapped: Vec<Range<usize>> = maps
        .lines()
        .filter(|line| line.contains(folder.path().to_str().unwrap()) && line.contains("r--"))
        .map(|line| {
            let (start, rest) = line.split_once('-').unwrap();
            let end = rest.split_once(' ').unwrap().0;
            usize::from_str_radix(start, 16).unwrap()..usize::from_str_radix(end, 16).unwrap()
        })
        .collect();
    let is_mapped = |start: *const u8| assert!(mapped.iter().any(|range| range.contains(&(start as usize))));
    is_mapped(log.time_us().as_ptr().cast());
    is_mapped(log.parts().offsets.as_ptr().cast());
    let UserIds::Texts(ids) = log.users() else { panic!("text ids") };
    is_mapped(ids.value_data().as_ptr());
    is_mapped(ids.value_offsets().as_ptr().cast());
    for column in log.columns().iter().chain(log.attributes()) {
        use propense_core::events::Cells;
        is_mapped(match &column.cells {
            Cells::U8(values) => values.as_ptr(),
            Cells::U16(values) => values.as_ptr().cast(),
            Cells::U32(values) => values.as_ptr().cast(),
            Cells::I8(values) => values.as_ptr().cast(),
            Cells::I16(values) => values.as_ptr().cast(),
            Cells::I32(values) => values.as_ptr().cast(),
            Cells::I64(values) => values.as_ptr().cast(),
            Cells::F32(values) => values.as_ptr().cast(),
            Cells::F64(values) => values.as_ptr().cast(),
        });
    }
}
