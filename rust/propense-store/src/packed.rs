//! The properties of recent events: of each event only those that it has, one after the other.

use crate::property::Value;

/// Rows whose places are counted from the same byte.
const BLOCK: usize = 1 << 16;
/// Low bits of a head; the others say how the value follows.
const ID_BITS: u32 = 10;
const TEXT: u16 = 0;
const FALSE: u16 = 1;
const TRUE: u16 = 2;
const WHOLE: u16 = 3;
const NUMBER: u16 = 4;
const TIME: u16 = 5;

/// Rows of values.
#[derive(Debug)]
pub(crate) struct PackedRows {
    /// Where each block begins.
    blocks: Vec<usize>,
    /// Where each row ends, from its block's beginning; a block is at most 65,536 rows of 512 values of 10 bytes.
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

/// The values of one row.
#[derive(Debug)]
pub(crate) struct Packed<'a>(&'a [u8]);

impl PackedRows {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Self { blocks: Vec::new(), ends: Vec::with_capacity(rows), bytes: Vec::with_capacity(rows * 16) }
    }

    /// Appends a row that [`pack`] made.
    pub(crate) fn push(&mut self, values: &[u8]) {
        if self.ends.len().is_multiple_of(BLOCK) {
            self.blocks.push(self.bytes.len());
        }
        self.bytes.extend_from_slice(values);
        let start = self.blocks.last().copied().unwrap_or(0);
        self.ends.push((self.bytes.len() - start) as u32);
    }

    /// Forgets the rows that came after there were so many.
    pub(crate) fn shorten(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.blocks.truncate(rows.div_ceil(BLOCK));
        let end = self.ends.last().map_or(0, |&end| end as usize);
        self.bytes.truncate(self.blocks.last().copied().unwrap_or(0) + end);
    }

    #[inline]
    pub(crate) fn get(&self, row: usize) -> Packed<'_> {
        let block = self.blocks[row / BLOCK];
        let start = if row.is_multiple_of(BLOCK) { block } else { block + self.ends[row - 1] as usize };
        Packed(&self.bytes[start..block + self.ends[row] as usize])
    }

    /// Fetches rows from memory, all at once: whoever reads one after the other waits for each anew, as what a row holds
    /// decides what is done next.
    #[inline]
    pub(crate) fn fetch(&self, rows: impl Iterator<Item = usize>) {
        let first_byte = |row| self.get(row).0.first().copied().unwrap_or(0);
        std::hint::black_box(rows.map(first_byte).fold(0, |all, byte| all ^ byte));
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.len() + self.ends.len() * size_of::<u32>()
    }
}

/// Appends a value of a property.
pub(crate) fn pack(into: &mut Vec<u8>, property: u16, value: Value) {
    let mut put = |how: u16, bytes: &[u8]| {
        into.extend_from_slice(&(property | how << ID_BITS).to_le_bytes());
        into.extend_from_slice(bytes);
    };
    match value {
        Value::Text(code) => put(TEXT, &code.to_le_bytes()),
        Value::Boolean(false) => put(FALSE, &[]),
        Value::Boolean(true) => put(TRUE, &[]),
        // −0 is no whole number here, as an integer would lose its sign.
        Value::Number(number) if f64::from(number as i32).to_bits() == number.to_bits() => {
            put(WHOLE, &(number as i32).to_le_bytes());
        }
        Value::Number(number) => put(NUMBER, &number.to_le_bytes()),
        Value::Time(time_us) => put(TIME, &time_us.to_le_bytes()),
    }
}

impl Packed<'_> {
    /// The value of one property.
    pub(crate) fn value_of(mut self, property: u16) -> Option<Value> {
        self.find(|&(id, _)| id == property).map(|(_, value)| value)
    }
}

impl Iterator for Packed<'_> {
    type Item = (u16, Value);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        fn array<const N: usize>(left: &mut &[u8]) -> Option<[u8; N]> {
            let (head, tail) = left.split_first_chunk()?;
            *left = tail;
            Some(*head)
        }
        let head = u16::from_le_bytes(array(&mut self.0)?);
        let value = match head >> ID_BITS {
            TEXT => Value::Text(u32::from_le_bytes(array(&mut self.0)?)),
            FALSE => Value::Boolean(false),
            TRUE => Value::Boolean(true),
            WHOLE => Value::Number(i32::from_le_bytes(array(&mut self.0)?).into()),
            NUMBER => Value::Number(f64::from_le_bytes(array(&mut self.0)?)),
            _ => Value::Time(i64::from_le_bytes(array(&mut self.0)?)),
        };
        Some((head & ((1 << ID_BITS) - 1), value))
    }
}
