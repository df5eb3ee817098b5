//! Attributes in the order of a log's users.

use arrow_buffer::{ArrowNativeType, ScalarBuffer};

use super::cells::Cells;
use super::column::Column;
use super::log::EventLog;

impl EventLog {
    /// The attributes with one row a user of the log, in their order; missing for users without a profile.
    #[must_use]
    pub fn attributes_by_user(&self) -> Vec<Column> {
        let by_user = |column: &Column| Column { cells: self.cells_by_user(&column.cells), ..column.clone() };
        self.attributes().iter().map(by_user).collect()
    }

    fn cells_by_user(&self, cells: &Cells) -> Cells {
        match cells {
            Cells::U8(values) => Cells::U8(self.by_user(values, u8::MAX)),
            Cells::U16(values) => Cells::U16(self.by_user(values, u16::MAX)),
            Cells::U32(values) => Cells::U32(self.by_user(values, u32::MAX)),
            Cells::I8(values) => Cells::I8(self.by_user(values, i8::MIN)),
            Cells::I16(values) => Cells::I16(self.by_user(values, i16::MIN)),
            Cells::I32(values) => Cells::I32(self.by_user(values, i32::MIN)),
            Cells::I64(values) => Cells::I64(self.by_user(values, i64::MIN)),
            Cells::F32(values) => Cells::F32(self.by_user(values, f32::NAN)),
            Cells::F64(values) => Cells::F64(self.by_user(values, f64::NAN)),
        }
    }

    fn by_user<T: ArrowNativeType>(&self, values: &ScalarBuffer<T>, missing: T) -> ScalarBuffer<T> {
        let value = |user| self.profile_row(user).map_or(missing, |row| values[row]);
        (0..self.users().len()).map(value).collect()
    }
}
