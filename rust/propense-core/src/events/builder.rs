//! From record batches in any order to a log grouped by user.

use arrow_array::RecordBatch;
use rayon::prelude::*;

use super::error::EventsError;
use super::grouping::{Piece, Roles, Staged};
use super::log::EventLog;
use super::staging::column;

/// Rows are numbered with u32 while they are grouped.
const ROW_LIMIT: u64 = u32::MAX as u64;
/// So many rows of a few narrow columns fit in a core's cache.
const CHUNK_ROWS: usize = 1 << 16;
/// So many chunks are staged at a time: enough for all threads, few enough that the batches they came from can go.
const GROUP_CHUNKS: usize = 16;

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

/// Collects record batches, then groups them by user, on as many threads as there are.
pub struct EventLogBuilder {
    names: EventColumns,
    chunk_rows: usize,
    roles: Option<Roles>,
    /// Rows checked but not yet staged.
    pending: Vec<Piece>,
    pending_rows: usize,
    staged: Staged,
    rows_seen: u64,
    rows_kept: u64,
}

impl EventLogBuilder {
    /// A builder without events.
    #[must_use]
    pub fn new(names: EventColumns) -> Self {
        Self {
            names,
            chunk_rows: CHUNK_ROWS,
            roles: None,
            pending: Vec::new(),
            pending_rows: 0,
            staged: Staged::default(),
            rows_seen: 0,
            rows_kept: 0,
        }
    }

    /// The same, staging other numbers of rows at a time: the log does not depend on it, and tests prove that.
    #[doc(hidden)]
    #[must_use]
    pub fn in_chunks_of(self, rows: usize) -> Self {
        Self { chunk_rows: rows.max(1), ..self }
    }

    /// Takes one batch; rows without a user id are counted and dropped.
    ///
    /// # Errors
    /// A column is missing or of a type that its role cannot have, a time or an event type is missing, an integer
    /// is beyond what f64 holds exactly, or the log grows beyond 2^32 - 1 rows.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), EventsError> {
        for name in [&self.names.user, &self.names.time, &self.names.event] {
            column(batch, name)?;
        }
        let roles = match self.roles.take() {
            Some(roles) => roles,
            None => Roles::of(batch, &self.names)?,
        };
        let pushed = self.push_groups(batch, &roles);
        self.roles = Some(roles);
        pushed
    }

    fn push_groups(&mut self, batch: &RecordBatch, roles: &Roles) -> Result<(), EventsError> {
        let group_rows = self.chunk_rows * GROUP_CHUNKS;
        let (mut first, rows) = (0, batch.num_rows());
        loop {
            let group = batch.slice(first, group_rows.min(rows - first));
            for piece in self.pieces(&group, roles) {
                let piece = piece?;
                self.rows_kept += piece.rows as u64;
                self.pending_rows += piece.rows;
                if self.rows_kept > ROW_LIMIT {
                    return Err(EventsError::TooManyRows { limit: ROW_LIMIT });
                }
                self.pending.push(piece);
            }
            self.rows_seen += group.num_rows() as u64;
            first += group.num_rows();
            if self.pending_rows >= group_rows {
                self.stage();
            }
            if first == rows {
                return Ok(());
            }
        }
    }

    /// The rows of a batch cut into pieces no larger than a chunk, each checked; one even if there are no rows.
    fn pieces(&self, batch: &RecordBatch, roles: &Roles) -> Vec<Result<Piece, EventsError>> {
        let piece = |first: usize| {
            let rows = batch.slice(first, self.chunk_rows.min(batch.num_rows() - first));
            Piece::of(&rows, &self.names, roles, self.rows_seen + first as u64)
        };
        if batch.num_rows() <= self.chunk_rows {
            return vec![piece(0)];
        }
        (0..batch.num_rows()).into_par_iter().step_by(self.chunk_rows).map(piece).collect()
    }

    fn stage(&mut self) {
        self.pending_rows = 0;
        self.staged.append(std::mem::take(&mut self.pending), self.chunk_rows);
    }

    /// Groups what was collected by user and puts every user's events in canonical order.
    ///
    /// # Errors
    /// None that input can cause; the parts are checked as any log's are.
    pub fn finish(mut self) -> Result<EventLog, EventsError> {
        self.stage();
        let roles = self.roles.unwrap_or_default();
        let dropped = self.rows_seen - self.rows_kept;
        EventLog::from_parts(self.staged.group(&roles, self.chunk_rows, dropped))
    }
}
