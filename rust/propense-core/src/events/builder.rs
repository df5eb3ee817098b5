//! From record batches in any order to a log grouped by user.

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use arrow_select::filter::filter_record_batch;
use rayon::slice::ParallelSliceMut;

use super::cells::Cells;
use super::column::Column;
use super::dictionary::Interner;
use super::error::EventsError;
use super::log::{EventLog, Events};
use super::staging::{ColumnStage, UserStage, column, convert, for_each_text};

/// Rows are numbered with u32 while they are grouped.
const ROW_LIMIT: u64 = u32::MAX as u64;
/// Below this many events one thread sorts a run of users by itself.
const SORT_RUN: usize = 1 << 16;

/// Which columns of a batch hold the user, the time and the event type; all others are properties.
#[derive(Debug, Clone)]
pub struct EventColumns {
    /// User ids: text or integers.
    pub user: String,
    /// Event times: Arrow timestamps or dates; without a time zone they are UTC.
    pub time: String,
    /// Event types: text.
    pub event: String,
}

/// Collects record batches, then groups them by user.
pub struct EventLogBuilder {
    names: EventColumns,
    users: UserStage,
    user: Vec<u32>,
    time_us: Vec<i64>,
    event: Vec<u32>,
    events: Interner,
    columns: Option<Vec<ColumnStage>>,
    rows_seen: u64,
    dropped: u64,
}

impl EventLogBuilder {
    /// A builder without events.
    #[must_use]
    pub fn new(names: EventColumns) -> Self {
        Self {
            names,
            users: UserStage::default(),
            user: Vec::new(),
            time_us: Vec::new(),
            event: Vec::new(),
            events: Interner::default(),
            columns: None,
            rows_seen: 0,
            dropped: 0,
        }
    }

    /// Takes one batch; rows without a user id are counted and dropped.
    ///
    /// # Errors
    /// A column is missing or of a type that its role cannot have, a time or an event type is missing, an integer
    /// is beyond what f64 holds exactly, or the log grows beyond 2^32 - 1 rows.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), EventsError> {
        self.refuse_missing(batch)?;
        let kept = self.with_users_only(batch)?;
        if self.time_us.len() as u64 + kept.num_rows() as u64 > ROW_LIMIT {
            return Err(EventsError::TooManyRows { limit: ROW_LIMIT });
        }
        self.push_times(column(&kept, &self.names.time)?)?;
        self.push_event_types(column(&kept, &self.names.event)?)?;
        self.push_properties(&kept)?;
        let Self { users, user, names, .. } = self;
        users.append(column(&kept, &names.user)?, &names.user, self.rows_seen, user)?;
        self.rows_seen += batch.num_rows() as u64;
        Ok(())
    }

    fn with_users_only(&mut self, batch: &RecordBatch) -> Result<RecordBatch, EventsError> {
        let name = self.names.user.clone();
        let array = column(batch, &name)?;
        let missing = array.logical_nulls().map_or(0, |nulls| nulls.null_count());
        self.dropped += missing as u64;
        match array.logical_nulls() {
            Some(nulls) if missing > 0 => filter_record_batch(batch, &BooleanArray::new(nulls.into_inner(), None))
                .map_err(|source| EventsError::Convert { column: name, source }),
            _ => Ok(batch.clone()),
        }
    }

    fn push_times(&mut self, array: &dyn Array) -> Result<(), EventsError> {
        let name = &self.names.time;
        if !matches!(array.data_type(), DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64) {
            return Err(EventsError::ColumnType {
                column: name.clone(),
                expected: "timestamps or dates",
                found: array.data_type().to_string(),
            });
        }
        let times = convert(array, &DataType::Timestamp(TimeUnit::Microsecond, None), name)?;
        self.time_us.extend_from_slice(times.as_primitive::<TimestampMicrosecondType>().values());
        Ok(())
    }

    fn push_event_types(&mut self, array: &dyn Array) -> Result<(), EventsError> {
        let Self { event, events, names, .. } = self;
        for_each_text(array, &names.event, |text| event.push(events.intern(text.unwrap_or_default())))
    }

    /// Rows with a user have a time and an event type.
    fn refuse_missing(&self, batch: &RecordBatch) -> Result<(), EventsError> {
        let users = column(batch, &self.names.user)?.logical_nulls();
        let has_user = |row: usize| users.as_ref().is_none_or(|users| users.is_valid(row));
        for (name, role) in [(&self.names.time, "the event time"), (&self.names.event, "the event type")] {
            let nulls = column(batch, name)?.logical_nulls();
            let missing = |row: &usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(*row)) && has_user(*row);
            if let Some(row) = (0..batch.num_rows()).find(missing) {
                let (column, row) = (name.clone(), self.rows_seen + row as u64);
                return Err(EventsError::MissingValue { column, row, role });
            }
        }
        Ok(())
    }

    fn push_properties(&mut self, batch: &RecordBatch) -> Result<(), EventsError> {
        let names = [&self.names.user, &self.names.time, &self.names.event];
        if self.columns.is_none() {
            let fields = batch.schema_ref().fields().iter().filter(|field| !names.contains(&field.name()));
            let mut stages: Vec<ColumnStage> =
                fields.map(|field| ColumnStage::new(field.name(), field.data_type())).collect::<Result<_, _>>()?;
            // The order of columns is part of the canonical order of events.
            stages.sort_by(|a, b| a.name.cmp(&b.name));
            self.columns = Some(stages);
        }
        for stage in self.columns.iter_mut().flatten() {
            stage.append(column(batch, &stage.name.clone())?)?;
        }
        Ok(())
    }

    /// Groups what was collected by user and puts every user's events in canonical order.
    ///
    /// # Errors
    /// None that input can cause; the parts are checked as any log's are.
    pub fn finish(self) -> Result<EventLog, EventsError> {
        let (users, user_rank) = self.users.finish();
        let (event_order, event_rank) = self.events.sorted();
        let columns: Vec<Column> = self.columns.into_iter().flatten().map(ColumnStage::finish).collect();
        let event: Vec<u32> = self.event.iter().map(|&event| event_rank[event as usize]).collect();

        let offsets = offsets(&self.user, &user_rank);
        let mut order = group(&self.user, &user_rank, &offsets, &self.time_us);
        drop(self.user);
        let ties = Ties { event: &event, columns: &columns };
        sort_users(&offsets, 0, &mut order, &ties);

        let rows: Vec<u32> = order.iter().map(|&(_, row)| row).collect();
        EventLog::from_parts(Events {
            users,
            offsets: offsets.into_iter().map(|offset| offset as u64).collect(),
            time_us: order.into_iter().map(|(time, _)| time).collect(),
            event: Cells::of_codes(rows.iter().map(|&row| event[row as usize]).collect(), event_order.len()),
            event_types: event_order.iter().map(|&id| self.events.text(id).to_owned()).collect(),
            columns: columns.iter().map(|column| column.gather(&rows)).collect(),
            dropped: self.dropped,
        })
    }
}

/// Where each user's events begin, in order of user; one more than users.
fn offsets(user: &[u32], rank: &[u32]) -> Vec<usize> {
    let mut offsets = vec![0; rank.len() + 1];
    for &number in user {
        offsets[rank[number as usize] as usize + 1] += 1;
    }
    for place in 1..offsets.len() {
        offsets[place] += offsets[place - 1];
    }
    offsets
}

/// Times and row numbers grouped by user, in order of arrival within a user.
fn group(user: &[u32], rank: &[u32], offsets: &[usize], time_us: &[i64]) -> Vec<(i64, u32)> {
    let mut next = offsets.to_vec();
    let mut grouped = vec![(0, 0); user.len()];
    for (row, (&number, &time)) in user.iter().zip(time_us).enumerate() {
        let place = &mut next[rank[number as usize] as usize];
        grouped[*place] = (time, row as u32);
        *place += 1;
    }
    grouped
}

/// What decides between two events of a user at the same instant: the event type, then each property in order of name.
struct Ties<'a> {
    event: &'a [u32],
    columns: &'a [Column],
}

impl Ties<'_> {
    fn compare(&self, a: u32, b: u32) -> std::cmp::Ordering {
        let (a, b) = (a as usize, b as usize);
        // A missing code stands last, as it does among codes of 32 bits; NaN stands last among numbers.
        let columns = self.columns.iter().map(|column| column.number(a).total_cmp(&column.number(b)));
        columns.fold(self.event[a].cmp(&self.event[b]), std::cmp::Ordering::then)
    }
}

/// Sorts the events of each user in `offsets`, whose first event stands at `start`; halves the users over the threads.
fn sort_users(offsets: &[usize], start: usize, events: &mut [(i64, u32)], ties: &Ties) {
    let compare = |a: &(i64, u32), b: &(i64, u32)| a.0.cmp(&b.0).then_with(|| ties.compare(a.1, b.1));
    let users = offsets.len() - 1;
    if users == 1 {
        events.par_sort_unstable_by(compare);
    } else if events.len() <= SORT_RUN {
        for bounds in offsets.windows(2) {
            events[bounds[0] - start..bounds[1] - start].sort_unstable_by(compare);
        }
    } else {
        let middle = users / 2;
        let (left, right) = events.split_at_mut(offsets[middle] - start);
        rayon::join(
            || sort_users(&offsets[..=middle], start, left, ties),
            || sort_users(&offsets[middle..], offsets[middle], right, ties),
        );
    }
}
