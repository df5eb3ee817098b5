//! One typed column of property or attribute values.

use super::cells::Cells;

/// The code that stands for a missing value while codes are still 32 bits wide.
pub(crate) const MISSING_CODE: u32 = u32::MAX;

/// What a column's values mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// Numbers.
    Number,
    /// True or false, held as 1 and 0.
    Boolean,
    /// Instants, held as microseconds since 1970-01-01 UTC.
    Time,
    /// Text, held as codes into a dictionary.
    Text,
}

impl ColumnKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Number, Self::Boolean, Self::Time, Self::Text];

    /// The kind's name as error texts give it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Time => "time",
            Self::Text => "text",
        }
    }
}

/// A named, typed column.
#[derive(Debug, Clone)]
pub struct Column {
    /// The column's name in the log.
    pub name: String,
    /// What its values mean.
    pub kind: ColumnKind,
    /// Its values, one a row; for text, places in the dictionary.
    pub cells: Cells,
    /// For text, the distinct texts in ascending byte order, so that codes compare as their texts do.
    pub dictionary: Vec<String>,
}

impl Column {
    /// A column of so many rows, none of which has a value.
    #[must_use]
    pub fn empty(name: &str, kind: ColumnKind, rows: usize) -> Self {
        let cells = match kind {
            ColumnKind::Text => Cells::U8(vec![u8::MAX; rows].into()),
            ColumnKind::Time => Cells::I64(vec![i64::MIN; rows].into()),
            ColumnKind::Number | ColumnKind::Boolean => Cells::F64(vec![f64::NAN; rows].into()),
        };
        Self { name: name.to_owned(), kind, cells, dictionary: Vec::new() }
    }

    /// The value in a row as the kernels see it: a number, or a code as a number; NaN if missing.
    #[must_use]
    #[inline]
    pub fn number(&self, row: usize) -> f64 {
        self.cells.number(row)
    }

    /// The text in a row; `None` if it is missing or the column is not text.
    #[must_use]
    pub fn text(&self, row: usize) -> Option<&str> {
        self.cells.code(row).and_then(|code| self.dictionary.get(code as usize)).map(String::as_str)
    }

    /// A copy with the rows in another order (or a selection of them).
    pub(crate) fn gather(&self, rows: &[u32]) -> Self {
        let Self { name, kind, dictionary, .. } = self.clone();
        Self { name, kind, cells: self.cells.gather(rows), dictionary }
    }
}
