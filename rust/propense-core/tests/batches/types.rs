//! The Arrow types that a log's columns may come in.

use arrow_schema::{DataType, TimeUnit};
use proptest::prelude::*;
use proptest::sample::select;

/// The Arrow types of the columns.
#[derive(Debug, Clone)]
pub struct Types {
    /// Text or integer.
    pub user: DataType,
    pub time: DataType,
    pub event: DataType,
    pub category: DataType,
    pub due: DataType,
    pub item: DataType,
    pub amount: DataType,
}

pub fn dictionary(key: DataType, value: DataType) -> DataType {
    DataType::Dictionary(Box::new(key), Box::new(value))
}

pub fn text_type() -> impl Strategy<Value = DataType> {
    use DataType::{Int8, Int16, Int32, Int64, LargeUtf8, UInt8, UInt16, UInt32, UInt64, Utf8, Utf8View};
    let plain = prop_oneof![Just(Utf8), Just(LargeUtf8), Just(Utf8View)];
    let keys = select(vec![Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64]);
    prop_oneof![2 => plain.clone(), 1 => (keys, plain).prop_map(|(key, value)| dictionary(key, value))]
}

pub fn time_type() -> impl Strategy<Value = DataType> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let units = select(vec![Second, Millisecond, Microsecond, Nanosecond]);
    let zones = select(vec![None, Some("UTC"), Some("Europe/London"), Some("+05:45")]);
    let stamps = (units, zones).prop_map(|(unit, zone)| DataType::Timestamp(unit, zone.map(Into::into)));
    prop_oneof![4 => stamps, 1 => Just(DataType::Date32), 1 => Just(DataType::Date64)]
}

pub fn integer_type() -> impl Strategy<Value = DataType> {
    use DataType::{Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    select(vec![Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64])
}

pub fn types(user: impl Strategy<Value = DataType>) -> impl Strategy<Value = Types> {
    let items = prop_oneof![4 => integer_type(), 1 => Just(DataType::Float64)];
    let amounts = select(vec![DataType::Float64, DataType::Float32]);
    (user, time_type(), text_type(), text_type(), time_type(), items, amounts).prop_map(
        |(user, time, event, category, due, item, amount)| Types { user, time, event, category, due, item, amount },
    )
}
