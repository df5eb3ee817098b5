//! Logs built from batches of every layout, beside a map and a stable sort over the same rows.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::types::{Int16Type, UInt8Type};
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, LargeStringArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_cast::cast;
use arrow_schema::{DataType, TimeUnit};
use propense_core::events::{Cells, EventColumns, EventLog, EventLogBuilder, EventsError, UserIds};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;

/// Texts shorter and longer than what is compared at once, some alike but for their end, some but for zeros.
const TEXTS: [&str; 14] = [
    "",
    "\0",
    "a",
    "a\0",
    "view",
    "purchase",
    "sixteen-bytes-lo",
    "sixteen-bytes-lo\0",
    "sixteen-bytes-long",
    "sixteen-bytes-lond",
    "sixteen-bytes-long and more",
    "Ärger mit Umlauten überall",
    "twelve-bytes",
    "thirteen-byte",
];
const NUMBERS: [f64; 12] =
    [0.0, -0.0, 1.0, -1.0, 127.0, -128.0, 40_000.0, 0.5, 0.1, f64::NAN, f64::INFINITY, 16_777_217.0];
const SECOND_US: i64 = 1_000_000;
const DAY_S: i64 = 86_400;

#[derive(Debug, Clone)]
struct Row {
    user: Option<usize>,
    /// Whole days, in seconds, so that dates hold them too.
    time_s: i64,
    event: usize,
    amount: Option<f64>,
    category: Option<usize>,
    due_s: Option<i64>,
    gift: Option<bool>,
    item: Option<i64>,
}

fn rows(users: usize, most: usize) -> impl Strategy<Value = Vec<Row>> {
    let user = weighted(0.95, prop_oneof![2 => Just(0), 3 => 0..users]);
    let day_s = (-2_i64..4).prop_map(|day| day * DAY_S);
    let properties = (
        weighted(0.8, select(&NUMBERS[..])),
        weighted(0.8, 0..TEXTS.len()),
        weighted(0.8, day_s.clone()),
        weighted(0.8, any::<bool>()),
        weighted(0.9, prop_oneof![4 => 0_i64..3, 1 => 0_i64..100]),
    );
    let row = (user, day_s, 0..4_usize, properties).prop_map(
        |(user, time_s, event, (amount, category, due_s, gift, item))| Row {
            user,
            time_s,
            event,
            amount,
            category,
            due_s,
            gift,
            item,
        },
    );
    vec(row, 0..=most)
}

/// The Arrow types of the columns.
#[derive(Debug, Clone)]
struct Types {
    /// Text or integer.
    user: DataType,
    time: DataType,
    event: DataType,
    category: DataType,
    due: DataType,
    item: DataType,
    amount: DataType,
}

fn dictionary(key: DataType, value: DataType) -> DataType {
    DataType::Dictionary(Box::new(key), Box::new(value))
}

fn text_type() -> impl Strategy<Value = DataType> {
    use DataType::{Int8, Int16, Int32, Int64, LargeUtf8, UInt8, UInt16, UInt32, UInt64, Utf8, Utf8View};
    let plain = prop_oneof![Just(Utf8), Just(LargeUtf8), Just(Utf8View)];
    let keys = select(vec![Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64]);
    prop_oneof![2 => plain.clone(), 1 => (keys, plain).prop_map(|(key, value)| dictionary(key, value))]
}

fn time_type() -> impl Strategy<Value = DataType> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let units = select(vec![Second, Millisecond, Microsecond, Nanosecond]);
    let zones = select(vec![None, Some("UTC"), Some("Europe/London"), Some("+05:45")]);
    let stamps = (units, zones).prop_map(|(unit, zone)| DataType::Timestamp(unit, zone.map(Into::into)));
    prop_oneof![4 => stamps, 1 => Just(DataType::Date32), 1 => Just(DataType::Date64)]
}

fn integer_type() -> impl Strategy<Value = DataType> {
    use DataType::{Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    select(vec![Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64])
}

fn types(user: impl Strategy<Value = DataType>) -> impl Strategy<Value = Types> {
    let items = prop_oneof![4 => integer_type(), 1 => Just(DataType::Float64)];
    let amounts = select(vec![DataType::Float64, DataType::Float32]);
    (user, time_type(), text_type(), text_type(), time_type(), items, amounts).prop_map(
        |(user, time, event, category, due, item, amount)| Types { user, time, event, category, due, item, amount },
    )
}

#[allow(clippy::needless_pass_by_value)] // arrays are made where they are converted
fn converted(array: ArrayRef, to: &DataType) -> ArrayRef {
    cast(&array, to).unwrap()
}

fn times(of: impl Iterator<Item = Option<i64>>, to: &DataType) -> ArrayRef {
    let zone = if let DataType::Timestamp(_, Some(zone)) = to { Some(Arc::clone(zone)) } else { None };
    let times: TimestampMicrosecondArray = of.map(|time_s| Some(time_s? * SECOND_US)).collect();
    converted(Arc::new(times.with_timezone_opt(zone)), to)
}

fn batch(rows: &[Row], types: &Types) -> RecordBatch {
    let text = |place: usize| TEXTS[place];
    let user: ArrayRef = if types.user.is_integer() {
        Arc::new(rows.iter().map(|row| row.user.map(|user| user as i64)).collect::<Int64Array>())
    } else {
        Arc::new(
            rows.iter()
                .map(|row| row.user.map(|user| format!("{}{user}", text(user % TEXTS.len()))))
                .collect::<StringArray>(),
        )
    };
    // Text events; those of a dictionary carry values that no row has.
    let event = rows.iter().map(|row| Some(text(row.event + 3))).collect::<StringArray>();
    let category = rows.iter().map(|row| row.category.map(text)).collect::<StringArray>();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("item", converted(Arc::new(rows.iter().map(|row| row.item).collect::<Int64Array>()), &types.item), true),
        ("who", converted(user, &types.user), true),
        ("what", converted(Arc::new(event), &types.event), true),
        (
            "amount",
            converted(Arc::new(rows.iter().map(|row| row.amount).collect::<Float64Array>()), &types.amount),
            true,
        ),
        ("due", times(rows.iter().map(|row| row.due_s), &types.due), true),
        ("when", times(rows.iter().map(|row| Some(row.time_s)), &types.time), true),
        ("category", converted(Arc::new(category), &types.category), true),
        ("gift", Arc::new(rows.iter().map(|row| row.gift).collect::<BooleanArray>()), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn builder() -> EventLogBuilder {
    EventLogBuilder::new(EventColumns { user: "who".into(), time: "when".into(), event: "what".into() })
}

/// A log of batches of so many rows, staged so many rows at a time.
fn log(rows: &[Row], types: &Types, batch_rows: usize, chunk_rows: usize) -> EventLog {
    let mut builder = builder().in_chunks_of(chunk_rows);
    if rows.is_empty() {
        builder.push(&batch(&[], types)).unwrap();
    }
    for rows in rows.chunks(batch_rows) {
        builder.push(&batch(rows, types)).unwrap();
        builder.push(&batch(&[], types)).unwrap();
    }
    builder.finish().unwrap()
}

/// Everything that a log says, with every bit of its numbers and the width of its cells.
#[derive(Debug, PartialEq)]
struct Content {
    users: Vec<String>,
    offsets: Vec<u64>,
    time_us: Vec<i64>,
    event_types: Vec<String>,
    columns: Vec<(String, &'static str, Vec<u64>, Vec<String>)>,
    widths: Vec<usize>,
    dropped: u64,
}

fn content(log: &EventLog) -> Content {
    let parts = log.parts();
    let bits = |cells: &Cells| (0..cells.len()).map(|row| cells.number(row).to_bits()).collect::<Vec<_>>();
    let event = (String::new(), "event", bits(&parts.event), Vec::new());
    let columns = parts
        .columns
        .iter()
        .map(|column| (column.name.clone(), column.kind.name(), bits(&column.cells), column.dictionary.clone()));
    Content {
        users: match &parts.users {
            UserIds::Integers(ids) => ids.iter().map(ToString::to_string).collect(),
            UserIds::Texts(ids) => ids.iter().map(|id| id.unwrap().to_owned()).collect(),
        },
        offsets: parts.offsets.to_vec(),
        time_us: parts.time_us.to_vec(),
        event_types: parts.event_types.clone(),
        columns: [event].into_iter().chain(columns).collect(),
        widths: std::iter::once(&parts.event)
            .chain(parts.columns.iter().map(|c| &c.cells))
            .map(Cells::bytes_per_row)
            .collect(),
        dropped: parts.dropped,
    }
}

/// A user as the map orders them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum User {
    Integer(i64),
    Text(String),
}

/// The same by definition: a map of users, each with rows that are sorted by time, event type and properties by name.
fn expected(rows: &[Row], types: &Types) -> Content {
    let kept = || rows.iter().filter(|row| row.user.is_some());
    let ranked = |texts: BTreeSet<&'static str>| texts.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let event_types = ranked(kept().map(|row| TEXTS[row.event + 3]).collect());
    let categories = ranked(kept().filter_map(|row| row.category.map(|place| TEXTS[place])).collect());
    let rank = |texts: &[String], text: &str| texts.iter().position(|known| known == text).unwrap() as f64;
    let amount = |row: &Row| match row.amount {
        Some(amount) if !amount.is_nan() && types.amount == DataType::Float32 => f64::from(amount as f32),
        Some(amount) if !amount.is_nan() => amount,
        _ => f64::NAN,
    };
    let values = |row: &Row| -> [f64; 6] {
        [
            rank(&event_types, TEXTS[row.event + 3]),
            amount(row),
            row.category.map_or(f64::NAN, |place| rank(&categories, TEXTS[place])),
            row.due_s.map_or(f64::NAN, |time_s| (time_s * SECOND_US) as f64),
            row.gift.map_or(f64::NAN, |gift| f64::from(u8::from(gift))),
            row.item.map_or(f64::NAN, |item| item as f64),
        ]
    };
    let mut map: BTreeMap<User, Vec<(i64, [f64; 6])>> = BTreeMap::new();
    for row in kept() {
        let user = row.user.unwrap();
        let user = if types.user.is_integer() {
            User::Integer(user as i64)
        } else {
            User::Text(format!("{}{user}", TEXTS[user % TEXTS.len()]))
        };
        map.entry(user).or_default().push((row.time_s * SECOND_US, values(row)));
    }
    let mut offsets = vec![0];
    for events in map.values_mut() {
        events.sort_by(|a, b| {
            let columns = a.1.iter().zip(&b.1).map(|(a, b)| a.total_cmp(b));
            columns.fold(a.0.cmp(&b.0), std::cmp::Ordering::then)
        });
        offsets.push(offsets[offsets.len() - 1] + events.len() as u64);
    }
    let ordered = || map.values().flatten();
    let names = [
        ("", "event"),
        ("amount", "number"),
        ("category", "text"),
        ("due", "time"),
        ("gift", "boolean"),
        ("item", "number"),
    ];
    let column = |place: usize| ordered().map(|(_, values)| values[place]).collect::<Vec<f64>>();
    let width = |numbers: &[f64]| {
        let holds = |exactly: &dyn Fn(f64) -> bool| numbers.iter().all(|number| number.is_nan() || exactly(*number));
        let whole = |most: f64| {
            holds(&|number| number.fract() == 0.0 && number.abs() <= most && number.to_bits() != (-0.0_f64).to_bits())
        };
        match () {
            () if whole(127.0) => 1,
            () if whole(32_767.0) => 2,
            () if whole(2_147_483_647.0) || holds(&|number| f64::from(number as f32) == number) => 4,
            () => 8,
        }
    };
    Content {
        users: map
            .keys()
            .map(|user| match user {
                User::Integer(id) => id.to_string(),
                User::Text(id) => id.clone(),
            })
            .collect(),
        offsets,
        time_us: ordered().map(|(time, _)| *time).collect(),
        columns: names
            .iter()
            .enumerate()
            .map(|(place, (name, kind))| {
                let dictionary = if place == 2 { categories.clone() } else { Vec::new() };
                ((*name).to_owned(), *kind, column(place).iter().map(|number| number.to_bits()).collect(), dictionary)
            })
            .collect(),
        widths: (0..6)
            .map(|place| match place {
                0 | 2 => 1,
                3 => 8,
                _ => width(&column(place)),
            })
            .collect(),
        event_types,
        dropped: rows.len() as u64 - kept().count() as u64,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_log_is_the_map_of_its_sorted_users(
        rows in prop_oneof![rows(6, 40), rows(40, 300)],
        types in prop_oneof![3 => types(text_type()).boxed(), 2 => types(integer_type()).boxed()],
        batch_rows in select(vec![1, 3, 17, 1000]),
        chunk_rows in select(vec![1, 2, 7, 64, 65_536]),
    ) {
        prop_assert_eq!(content(&log(&rows, &types, batch_rows, chunk_rows)), expected(&rows, &types));
    }

    #[test]
    fn any_order_any_batches_and_any_threads_give_the_same_log(
        (rows, shuffled) in rows(12, 200).prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
        types in types(text_type()),
        batch_rows in 1..50_usize,
        chunk_rows in 1..50_usize,
        threads in 1..5_usize,
    ) {
        let once = content(&log(&rows, &types, usize::MAX, 1 << 16));
        let mut sorted = rows;
        sorted.sort_by_key(|row| (row.user, row.time_s));
        prop_assert_eq!(&content(&log(&sorted, &types, batch_rows, chunk_rows)), &once);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let again = pool.install(|| content(&log(&shuffled, &types, batch_rows, chunk_rows)));
        prop_assert_eq!(&again, &once);
    }
}

/// Rows enough for many chunks and parts of the size that users get, one user with most of them.
fn many(rows: usize) -> Vec<Row> {
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below
    };
    (0..rows)
        .map(|_| Row {
            user: Some(if next(10) < 6 { 77 } else { next(5_000) }),
            time_s: next(1_000) as i64 * DAY_S,
            event: next(4),
            amount: Some(next(1_000) as f64 / 8.0),
            category: (next(9) > 0).then(|| next(14)),
            due_s: None,
            gift: Some(true),
            item: Some(next(90) as i64),
        })
        .collect()
}

#[test]
fn many_rows_of_one_user_among_others() {
    let rows = many(320_000);
    let types = Types {
        user: DataType::Utf8View,
        time: DataType::Timestamp(TimeUnit::Microsecond, None),
        event: dictionary(DataType::UInt32, DataType::Utf8View),
        category: DataType::Utf8,
        due: DataType::Date32,
        item: DataType::Int64,
        amount: DataType::Float64,
    };
    let content_of = |batch_rows| content(&log(&rows, &types, batch_rows, 1 << 16));
    let expected = expected(&rows, &types);
    assert!(content_of(usize::MAX) == expected, "one batch");
    assert!(content_of(2_048) == expected, "many batches");
}

fn roles(user: ArrayRef, time: ArrayRef, event: ArrayRef, more: &[(&str, ArrayRef)]) -> RecordBatch {
    let columns = [("who", user), ("when", time), ("what", event)].into_iter().chain(more.iter().cloned());
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
}

fn ids(of: &[Option<&str>]) -> ArrayRef {
    Arc::new(of.iter().copied().collect::<LargeStringArray>())
}

fn instants(of: &[Option<i64>]) -> ArrayRef {
    Arc::new(of.iter().copied().collect::<TimestampMicrosecondArray>())
}

#[test]
fn what_is_missing_or_inexact_is_refused_with_its_row() {
    let good = || roles(ids(&[Some("a"), Some("b")]), instants(&[Some(1), Some(2)]), ids(&[Some("x"); 2]), &[]);
    let refused = |batch: RecordBatch| {
        let mut builder = builder().in_chunks_of(1);
        builder.push(&good()).unwrap();
        builder.push(&batch).unwrap_err()
    };
    let missing = refused(roles(ids(&[None, Some("b")]), instants(&[None, None]), ids(&[None, Some("x")]), &[]));
    assert!(matches!(missing, EventsError::MissingValue { row: 3, role: "the event time", .. }), "{missing}");
    let missing = refused(roles(ids(&[Some("b"); 2]), instants(&[Some(1); 2]), ids(&[Some("x"), None]), &[]));
    assert!(matches!(missing, EventsError::MissingValue { row: 3, role: "the event type", .. }), "{missing}");
    let kind = refused(roles(Arc::new(Int64Array::from(vec![1])), instants(&[Some(1)]), ids(&[Some("x")]), &[]));
    assert!(kind.to_string().contains("the same in all batches"), "{kind}");
    let column = refused(RecordBatch::try_from_iter([("who", ids(&[Some("a")]))]).unwrap());
    assert!(matches!(column, EventsError::MissingColumn { .. }), "{column}");
    let time = refused(roles(ids(&[Some("a")]), ids(&[Some("noon")]), ids(&[Some("x")]), &[]));
    assert!(time.to_string().contains("timestamps or dates"), "{time}");
    let event = refused(roles(ids(&[Some("a")]), instants(&[Some(1)]), instants(&[Some(1)]), &[]));
    assert!(event.to_string().contains("expected text"), "{event}");
}

#[test]
fn integers_are_refused_only_where_they_do_not_fit() {
    let with_item = |users: ArrayRef, items: Vec<Option<i64>>| {
        let (times, events) = (instants(&vec![Some(1); items.len()]), ids(&vec![Some("x"); items.len()]));
        builder().in_chunks_of(1).push(&roles(users, times, events, &[("item", Arc::new(Int64Array::from(items)))]))
    };
    let users = || ids(&[Some("a"), None, Some("b")]);
    with_item(users(), vec![Some(1 << 53), Some(i64::MIN), None]).unwrap();
    let refused = with_item(users(), vec![Some(1), Some(i64::MIN), Some((1 << 53) + 1)]).unwrap_err();
    assert!(matches!(refused, EventsError::InexactInteger { row: 2, .. }), "{refused}");
    let large: ArrayRef = Arc::new(arrow_array::UInt64Array::from(vec![None, Some(7), Some(u64::MAX)]));
    let refused = with_item(large, vec![None, None, None]).unwrap_err();
    assert!(matches!(refused, EventsError::UserIdRange { row: 2 }), "{refused}");
}

#[test]
fn layouts_may_differ_between_batches() {
    let events: ArrayRef = Arc::new(["x", "y"].into_iter().collect::<arrow_array::DictionaryArray<UInt8Type>>());
    let users: ArrayRef = Arc::new(["b", "a"].into_iter().collect::<arrow_array::DictionaryArray<Int16Type>>());
    let mut builder = builder();
    builder.push(&roles(users, instants(&[Some(2), Some(3)]), events, &[("n", ids(&[None, Some("q")]))])).unwrap();
    let view = |of: &[Option<&str>]| converted(ids(of), &DataType::Utf8View);
    builder
        .push(&roles(view(&[Some("a")]), instants(&[Some(1)]), view(&[Some("y")]), &[("n", view(&[Some("p")]))]))
        .unwrap();
    let content = content(&builder.finish().unwrap());
    assert_eq!(
        (content.users, content.offsets, content.time_us),
        (vec!["a".into(), "b".into()], vec![0, 2, 3], vec![1, 3, 2])
    );
    assert_eq!(content.columns[1].3, ["p", "q"]);
}

#[test]
fn no_batch_at_all_is_a_log_without_users() {
    let log = builder().finish().unwrap();
    assert!(log.is_empty() && log.users().is_empty() && log.columns().is_empty());
}
