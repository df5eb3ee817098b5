//! Batches that a log cannot take are refused with their row, and those that only differ in layout are taken.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod batches;

use std::sync::Arc;

use arrow_array::types::{Int16Type, UInt8Type};
use arrow_array::{ArrayRef, Int64Array, LargeStringArray, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::DataType;
use batches::building::{builder, converted};
use batches::content::content;
use propense_core::events::EventsError;

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
