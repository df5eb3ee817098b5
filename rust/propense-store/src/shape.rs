//! Which columns a gathered log has, in which order and types: the catalog at an instant, without its texts.

use std::sync::Arc;

use arrow_array::LargeStringArray;
use propense_core::events::{Cells, Column, ColumnKind, EventLog, Events, EventsError, UserIds};
use propense_core::features::DictionarySizes;

use crate::catalog::{Catalog, Columns, Entry};
use crate::dictionary::Dictionary;

/// The place of a property that came after.
const NOWHERE: u16 = u16::MAX;

/// The columns of gathered logs.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) event_types: usize,
    pub(crate) properties: ShapeColumns,
    pub(crate) attributes: ShapeColumns,
}

/// Properties, or attributes, ascending by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShapeColumns {
    pub(crate) columns: Vec<ShapeColumn>,
    /// Of each number of the catalog, the place among the columns.
    places: Vec<u16>,
}

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct ShapeColumn {
    pub(crate) id: u16,
    pub(crate) name: Arc<str>,
    pub(crate) kind: ColumnKind,
    pub(crate) texts: usize,
}

impl ShapeColumns {
    fn of(columns: &Columns) -> Self {
        let mut shape = Self { columns: Vec::with_capacity(columns.len()), places: vec![NOWHERE; columns.len()] };
        for (place, id) in columns.by_name().enumerate() {
            let Entry { name, kind, texts } = &columns.entries()[id as usize];
            shape.places[id as usize] = place as u16;
            shape.columns.push(ShapeColumn { id, name: name.as_str().into(), kind: *kind, texts: texts.len() });
        }
        shape
    }

    /// Whether nothing was added since.
    fn is_current(&self, columns: &Columns) -> bool {
        self.columns.len() == columns.len()
            && self.columns.iter().all(|column| columns.entries()[column.id as usize].texts.len() == column.texts)
    }

    /// The place of a property that was known then.
    #[inline]
    pub(crate) fn place(&self, id: u16) -> Option<usize> {
        self.places.get(id as usize).map(|&place| place as usize)
    }

    fn sizes(&self) -> Vec<usize> {
        self.columns.iter().map(|column| column.texts).collect()
    }

    /// Columns without rows, with their dictionaries.
    fn empty(&self, columns: &Columns) -> Vec<Column> {
        let column = |column: &ShapeColumn| Column {
            name: column.name.to_string(),
            kind: column.kind,
            cells: Values::none(column.kind, column.texts, 0).cells(),
            dictionary: texts(&columns.entries()[column.id as usize].texts, column.texts),
        };
        self.columns.iter().map(column).collect()
    }
}

fn texts(dictionary: &Dictionary, count: usize) -> Vec<String> {
    (0..count as u32).map(|code| dictionary.text(code).to_owned()).collect()
}

impl Shape {
    pub(crate) fn of(catalog: &Catalog) -> Self {
        Self {
            event_types: catalog.event_types.len(),
            properties: ShapeColumns::of(&catalog.properties),
            attributes: ShapeColumns::of(&catalog.attributes),
        }
    }

    /// Whether the catalog has not grown since.
    pub(crate) fn is_current(&self, catalog: &Catalog) -> bool {
        self.event_types == catalog.event_types.len()
            && self.properties.is_current(&catalog.properties)
            && self.attributes.is_current(&catalog.attributes)
    }

    pub(crate) fn sizes(&self) -> DictionarySizes {
        let (properties, attributes) = (self.properties.sizes(), self.attributes.sizes());
        DictionarySizes { event_types: self.event_types, properties, attributes }
    }

    /// A log without rows, with the dictionaries as they were.
    pub(crate) fn log(&self, catalog: &Catalog) -> Result<EventLog, EventsError> {
        let log = EventLog::from_parts(Events {
            users: UserIds::Texts(LargeStringArray::new_null(0)),
            offsets: vec![0].into(),
            time_us: Vec::new().into(),
            event: Values::none(ColumnKind::Text, self.event_types, 0).cells(),
            event_types: texts(&catalog.event_types, self.event_types),
            columns: self.properties.empty(&catalog.properties),
            dropped: 0,
        })?;
        if self.attributes.columns.is_empty() {
            return Ok(log);
        }
        log.with_attributes(self.attributes.empty(&catalog.attributes))
    }
}

/// Cells being filled.
#[derive(Debug)]
pub(crate) enum Values {
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    Boolean(Vec<i8>),
    Time(Vec<i64>),
    Number(Vec<f64>),
}

impl Values {
    /// So many missing values of a kind; codes as wide as so many texts need.
    pub(crate) fn none(kind: ColumnKind, texts: usize, rows: usize) -> Self {
        match kind {
            // As many texts as in `Cells::of_codes`: the mark of a missing one must stay free.
            ColumnKind::Text if texts < usize::from(u8::MAX) => Self::U8(vec![u8::MAX; rows]),
            ColumnKind::Text if texts < usize::from(u16::MAX) => Self::U16(vec![u16::MAX; rows]),
            ColumnKind::Text => Self::U32(vec![u32::MAX; rows]),
            ColumnKind::Boolean => Self::Boolean(vec![i8::MIN; rows]),
            ColumnKind::Time => Self::Time(vec![i64::MIN; rows]),
            ColumnKind::Number => Self::Number(vec![f64::NAN; rows]),
        }
    }

    /// Lengthens with missing values, or shortens.
    pub(crate) fn resize(&mut self, rows: usize) {
        match self {
            Self::U8(values) => values.resize(rows, u8::MAX),
            Self::U16(values) => values.resize(rows, u16::MAX),
            Self::U32(values) => values.resize(rows, u32::MAX),
            Self::Boolean(values) => values.resize(rows, i8::MIN),
            Self::Time(values) => values.resize(rows, i64::MIN),
            Self::Number(values) => values.resize(rows, f64::NAN),
        }
    }

    /// The cells of a log.
    pub(crate) fn cells(self) -> Cells {
        match self {
            Self::U8(values) => Cells::U8(values.into()),
            Self::U16(values) => Cells::U16(values.into()),
            Self::U32(values) => Cells::U32(values.into()),
            Self::Boolean(values) => Cells::I8(values.into()),
            Self::Time(values) => Cells::I64(values.into()),
            Self::Number(values) => Cells::F64(values.into()),
        }
    }

    /// Whether a row has no value yet.
    #[inline]
    pub(crate) fn is_missing(&self, row: usize) -> bool {
        match self {
            Self::U8(values) => values[row] == u8::MAX,
            Self::U16(values) => values[row] == u16::MAX,
            Self::U32(values) => values[row] == u32::MAX,
            Self::Boolean(values) => values[row] == i8::MIN,
            Self::Time(values) => values[row] == i64::MIN,
            Self::Number(values) => values[row].is_nan(),
        }
    }

    /// Gives a row a value; of another kind, or a code that came after, it is left out.
    #[inline]
    pub(crate) fn set(&mut self, row: usize, value: crate::property::Value) {
        use crate::property::Value;
        match (self, value) {
            (Self::U8(values), Value::Text(code)) if code < u32::from(u8::MAX) => values[row] = code as u8,
            (Self::U16(values), Value::Text(code)) if code < u32::from(u16::MAX) => values[row] = code as u16,
            (Self::U32(values), Value::Text(code)) => values[row] = code,
            (Self::Boolean(values), Value::Boolean(truth)) => values[row] = i8::from(truth),
            (Self::Time(values), Value::Time(time_us)) => values[row] = time_us,
            (Self::Number(values), Value::Number(number)) => values[row] = number,
            _ => {}
        }
    }
}
