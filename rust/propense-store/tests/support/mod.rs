//! Small logs with every type of cell, and what it means for two to be the same.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use arrow_array::LargeStringArray;
use propense_core::events::{Cells, Column, ColumnKind, EventLog, Events, UserIds};
use propense_store::{StoreError, save};
use proptest::collection::vec;
use proptest::prelude::*;

/// Whether a value is missing, and what it is made from.
type Seed = (bool, u64);

pub fn notes() -> BTreeMap<String, String> {
    BTreeMap::from([("user".to_owned(), "kunde ☂".to_owned())])
}

pub fn saved(log: &EventLog, folder: &Path) -> Result<(), StoreError> {
    save(log, folder, &notes(), &mut |_| ControlFlow::Continue(()))
}

pub fn verified(folder: &Path) -> Result<(), StoreError> {
    propense_store::verify(folder, &mut |_| ControlFlow::Continue(()))
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{number:05}é")).collect()
}

fn column(name: &str, kind: ColumnKind, cells: Cells, dictionary: Vec<String>) -> Column {
    Column { name: name.to_owned(), kind, cells, dictionary }
}

/// A column of every type of cell.
pub fn columns(seeds: &[Seed]) -> Vec<Column> {
    macro_rules! cells {
        ($variant:ident, $missing:expr, $value:expr) => {
            Cells::$variant(
                seeds.iter().map(|&(missing, seed)| if missing { $missing } else { $value(seed) }).collect(),
            )
        };
    }
    let number = ColumnKind::Number;
    vec![
        column("all missing", ColumnKind::Text, Cells::U8(seeds.iter().map(|_| u8::MAX).collect()), Vec::new()),
        column("event", number, cells!(I8, i8::MIN, |seed| (seed % 255) as i8 | 1), Vec::new()),
        column("f32", number, cells!(F32, f32::NAN, |seed| seed as f32 / 3.0), Vec::new()),
        column("f64", number, cells!(F64, f64::NAN, |seed| -(seed as f64) / 3.0), Vec::new()),
        column("i16", number, cells!(I16, i16::MIN, |seed| (seed % 32_768) as i16), Vec::new()),
        column("i32", number, cells!(I32, i32::MIN, |seed| (seed % (1 << 31)) as i32), Vec::new()),
        column(
            "no nulls",
            ColumnKind::Text,
            Cells::U16(seeds.iter().map(|seed| (seed.1 % 300) as u16).collect()),
            texts(300),
        ),
        column("time", ColumnKind::Time, cells!(I64, i64::MIN, |seed| (seed >> 12) as i64), Vec::new()),
        column("true", ColumnKind::Boolean, cells!(I8, i8::MIN, |seed| (seed % 2) as i8), Vec::new()),
        column("u16", ColumnKind::Text, cells!(U16, u16::MAX, |seed| (seed % 300) as u16), texts(300)),
        column("u32", ColumnKind::Text, cells!(U32, u32::MAX, |seed| (seed % 70_000) as u32), texts(300)),
        column("u8", ColumnKind::Text, cells!(U8, u8::MAX, |seed| (seed % 3) as u8), texts(3)),
        column("user_id", ColumnKind::Text, cells!(U8, u8::MAX, |seed| (seed % 3) as u8), texts(3)),
    ]
}

fn log_of(counts: &[usize], seeds: &[Seed], with_texts: bool, with_profiles: bool) -> EventLog {
    let mut offsets = vec![0_u64];
    offsets.extend(counts.iter().scan(0, |end, &count| {
        *end += count as u64;
        Some(*end)
    }));
    let users = counts.len();
    let ids: Vec<i64> = (0..users as i64).map(|user| user * user - 5 * users as i64).collect();
    let users = if with_texts {
        UserIds::Texts(LargeStringArray::from_iter_values((0..users).map(|user| format!("ü{user:06}"))))
    } else {
        UserIds::Integers(ids.into())
    };
    // Times tell all events apart, so that any values of the columns are in canonical order.
    let events = Events {
        time_us: (0..seeds.len() as i64).map(|row| row * 1_000_003 - 77).collect(),
        event: Cells::U8(seeds.iter().map(|seed| (seed.1 % 3) as u8).collect()),
        event_types: texts(3),
        columns: columns(seeds).into_iter().map(in_range).collect(),
        offsets: offsets.into(),
        dropped: 7,
        users,
    };
    let log = EventLog::from_parts(events).unwrap();
    if !with_profiles {
        return log;
    }
    let rows: Vec<Seed> =
        (0..counts.len() as u64).map(|user| (user % 3 == 1, user.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
    log.with_attributes(columns(&rows).into_iter().map(in_range).collect()).unwrap()
}

/// Codes of 32 bits come with few texts here, to keep the files small.
fn in_range(column: Column) -> Column {
    let cells = match column.cells {
        Cells::U32(codes) => {
            Cells::U32(codes.iter().map(|&code| if code == u32::MAX { code } else { code % 300 }).collect())
        }
        other => other,
    };
    Column { cells, ..column }
}

/// Logs of up to 40 users, some without events, with and without missing values and profiles.
pub fn logs() -> impl Strategy<Value = EventLog> {
    let counts = vec(0_usize..30, 0..40);
    (counts, any::<bool>(), any::<bool>(), 0.0..1.0_f64).prop_flat_map(
        |(counts, with_texts, with_profiles, missing)| {
            let rows = counts.iter().sum::<usize>();
            vec((prop::bool::weighted(missing), any::<u64>()), rows)
                .prop_map(move |seeds| log_of(&counts, &seeds, with_texts, with_profiles))
        },
    )
}

/// A log of a few thousand events.
pub fn some_log(events_per_user: usize) -> EventLog {
    let counts = vec![events_per_user; 60];
    let seeds = (0..events_per_user as u64 * 60).map(|row| (row % 7 == 3, row.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    log_of(&counts, &seeds.collect::<Vec<Seed>>(), true, true)
}

fn bytes(cells: &Cells) -> (&'static str, &[u8]) {
    match cells {
        Cells::U8(values) => ("u8", values.inner().as_slice()),
        Cells::U16(values) => ("u16", values.inner().as_slice()),
        Cells::U32(values) => ("u32", values.inner().as_slice()),
        Cells::I8(values) => ("i8", values.inner().as_slice()),
        Cells::I16(values) => ("i16", values.inner().as_slice()),
        Cells::I32(values) => ("i32", values.inner().as_slice()),
        Cells::I64(values) => ("i64", values.inner().as_slice()),
        Cells::F32(values) => ("f32", values.inner().as_slice()),
        Cells::F64(values) => ("f64", values.inner().as_slice()),
    }
}

fn ids(users: &UserIds) -> Vec<String> {
    match users {
        UserIds::Integers(ids) => ids.iter().map(ToString::to_string).collect(),
        UserIds::Texts(ids) => ids.iter().map(|id| id.unwrap().to_owned()).collect(),
    }
}

/// Panics where two logs differ in a bit.
pub fn assert_same(a: &EventLog, b: &EventLog) {
    assert_eq!(a.users().kind(), b.users().kind());
    assert_eq!(ids(a.users()), ids(b.users()));
    assert_eq!(a.parts().offsets, b.parts().offsets);
    assert_eq!(a.time_us(), b.time_us());
    assert_eq!(bytes(a.event()), bytes(b.event()));
    assert_eq!(a.event_types(), b.event_types());
    assert_eq!(a.dropped(), b.dropped());
    for (a, b) in [(a.columns(), b.columns()), (a.attributes(), b.attributes())] {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            assert_eq!((&a.name, a.kind, &a.dictionary), (&b.name, b.kind, &b.dictionary));
            assert_eq!(bytes(&a.cells), bytes(&b.cells), "{}", a.name);
        }
    }
    for user in 0..a.users().len() {
        assert_eq!(a.profile_row(user).is_some(), b.profile_row(user).is_some());
    }
}
