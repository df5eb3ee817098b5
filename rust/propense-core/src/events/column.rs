//! One typed column of property or attribute values.

/// The code that stands for a missing value in [`Values::Codes`].
pub const MISSING_CODE: u32 = u32::MAX;

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

/// The values of a column, one a row.
#[derive(Debug, Clone)]
pub enum Values {
    /// f64; NaN is missing.
    Numbers(Vec<f64>),
    /// Codes into a dictionary in ascending byte order; [`MISSING_CODE`] is missing.
    Codes {
        /// One code a row.
        codes: Vec<u32>,
        /// The distinct texts, ascending, so that codes compare as their texts do.
        dictionary: Vec<String>,
    },
}

/// A named, typed column.
#[derive(Debug, Clone)]
pub struct Column {
    /// The column's name in the log.
    pub name: String,
    /// What its values mean.
    pub kind: ColumnKind,
    /// Its values.
    pub values: Values,
}

impl Column {
    /// The value in a row as the kernels see it: a number, or a code as a number; NaN if missing.
    #[must_use]
    #[inline]
    pub fn number(&self, row: usize) -> f64 {
        match &self.values {
            Values::Numbers(values) => values[row],
            Values::Codes { codes, .. } => match codes[row] {
                MISSING_CODE => f64::NAN,
                code => f64::from(code),
            },
        }
    }

    /// The text in a row; `None` if it is missing or the column is not text.
    #[must_use]
    pub fn text(&self, row: usize) -> Option<&str> {
        match &self.values {
            Values::Numbers(_) => None,
            Values::Codes { codes, dictionary } => dictionary.get(codes[row] as usize).map(String::as_str),
        }
    }

    /// The distinct texts in ascending order; empty for a column that is not text.
    #[must_use]
    pub fn dictionary(&self) -> &[String] {
        match &self.values {
            Values::Numbers(_) => &[],
            Values::Codes { dictionary, .. } => dictionary,
        }
    }

    /// A copy with the rows in another order (or a selection of them).
    pub(crate) fn gather(self, rows: &[u32]) -> Self {
        let values = match self.values {
            Values::Numbers(values) => Values::Numbers(rows.iter().map(|&row| values[row as usize]).collect()),
            Values::Codes { codes, dictionary } => {
                Values::Codes { codes: rows.iter().map(|&row| codes[row as usize]).collect(), dictionary }
            }
        };
        Self { values, ..self }
    }
}
