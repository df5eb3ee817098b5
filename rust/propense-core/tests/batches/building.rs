//! Rows as Arrow batches of given types, and the log built from them.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_cast::cast;
use arrow_schema::DataType;
use propense_core::events::{EventColumns, EventLog, EventLogBuilder};

use super::rows::{Row, SECOND_US, TEXTS};
use super::types::Types;

#[allow(clippy::needless_pass_by_value)] // arrays are made where they are converted
pub fn converted(array: ArrayRef, to: &DataType) -> ArrayRef {
    cast(&array, to).unwrap()
}

pub fn times(of: impl Iterator<Item = Option<i64>>, to: &DataType) -> ArrayRef {
    let zone = if let DataType::Timestamp(_, Some(zone)) = to { Some(Arc::clone(zone)) } else { None };
    let times: TimestampMicrosecondArray = of.map(|time_s| Some(time_s? * SECOND_US)).collect();
    converted(Arc::new(times.with_timezone_opt(zone)), to)
}

pub fn batch(rows: &[Row], types: &Types) -> RecordBatch {
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

pub fn builder() -> EventLogBuilder {
    EventLogBuilder::new(EventColumns { user: "who".into(), time: "when".into(), event: "what".into() })
}

/// A log of batches of so many rows, staged so many rows at a time.
pub fn log(rows: &[Row], types: &Types, batch_rows: usize, chunk_rows: usize) -> EventLog {
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
