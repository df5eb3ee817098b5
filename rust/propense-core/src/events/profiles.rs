//! One row a user of slowly changing attributes.

use arrow_array::RecordBatch;

use super::column::Column;
use super::error::EventsError;
use super::staging::{ColumnStage, UserStage, column};
use super::users::UserIds;

/// Attributes by user, not yet joined to a log.
#[derive(Debug, Clone)]
pub struct Profiles {
    users: UserIds,
    columns: Vec<Column>,
}

impl Profiles {
    /// How many users have a profile.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The attribute columns, ascending by name.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub(super) fn into_parts(self) -> (UserIds, Vec<Column>) {
        (self.users, self.columns)
    }
}

/// Collects record batches of profiles.
pub struct ProfilesBuilder {
    user_column: String,
    users: UserStage,
    user: Vec<u32>,
    columns: Option<Vec<ColumnStage>>,
}

impl ProfilesBuilder {
    /// A builder without profiles; every column but the user's is an attribute.
    #[must_use]
    pub fn new(user_column: String) -> Self {
        Self { user_column, users: UserStage::default(), user: Vec::new(), columns: None }
    }

    /// Takes one batch.
    ///
    /// # Errors
    /// A column is missing or of an unusable type, or a user id is missing.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), EventsError> {
        let ids = column(batch, &self.user_column)?;
        if let Some(nulls) = ids.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
            let row = nulls.iter().position(|there| !there).unwrap_or(0) + self.user.len();
            let column = self.user_column.clone();
            return Err(EventsError::MissingValue { column, row: row as u64, role: "the user id" });
        }
        if self.columns.is_none() {
            let fields = batch.schema_ref().fields().iter().filter(|field| *field.name() != self.user_column);
            let mut stages: Vec<ColumnStage> =
                fields.map(|field| ColumnStage::new(field.name(), field.data_type())).collect::<Result<_, _>>()?;
            stages.sort_by(|a, b| a.name.cmp(&b.name));
            self.columns = Some(stages);
        }
        for stage in self.columns.iter_mut().flatten() {
            stage.append(column(batch, &stage.name.clone())?)?;
        }
        let first_row = self.user.len() as u64;
        self.users.append(ids, &self.user_column, first_row, &mut self.user)
    }

    /// The profiles in order of user id.
    ///
    /// # Errors
    /// A user has more than one row.
    pub fn finish(self) -> Result<Profiles, EventsError> {
        let (users, rank) = self.users.finish();
        let mut rows = vec![u32::MAX; users.len()];
        for (row, &number) in self.user.iter().enumerate() {
            let place = rank[number as usize] as usize;
            if rows[place] != u32::MAX {
                let user = match &users {
                    UserIds::Integers(ids) => ids[place].to_string(),
                    UserIds::Texts(ids) => ids.value(place).to_owned(),
                };
                return Err(EventsError::DuplicateProfile { user });
            }
            rows[place] = row as u32;
        }
        let columns = self.columns.into_iter().flatten().map(|stage| stage.finish().gather(&rows)).collect();
        Ok(Profiles { users, columns })
    }
}
