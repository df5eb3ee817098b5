//! Some users' log with dictionaries of its own, for who reads texts and not codes.

use propense_core::events::{Cells, Column, ColumnKind, EventLog, Events, EventsError};

use crate::catalog::Columns;
use crate::dictionary::Dictionary;
use crate::lock::read;
use crate::snapshot::{Gathered, Snapshot};

impl Snapshot {
    /// As [`Self::gather`], with the texts that these users' rows hold, ascending; what it costs depends on those rows and
    /// not on how many texts the store knows.
    ///
    /// # Errors
    /// None: the parts fit together.
    pub fn gather_whole(&self, users: &[&str]) -> Result<EventLog, EventsError> {
        let Gathered { log, .. } = self.gather(users)?;
        let catalog = read(self.catalog());
        let (event, event_types) = own(log.event(), &catalog.event_types);
        let parts = log.parts();
        let whole = EventLog::from_parts(Events {
            users: parts.users.clone(),
            offsets: parts.offsets.clone(),
            time_us: parts.time_us.clone(),
            event,
            event_types,
            columns: all_own(log.columns(), &catalog.properties),
            dropped: 0,
        })?;
        let attributes = all_own(&log.attributes_by_user(), &catalog.attributes);
        if attributes.is_empty() { Ok(whole) } else { whole.with_attributes(attributes) }
    }
}

fn all_own(columns: &[Column], known: &Columns) -> Vec<Column> {
    let with_texts = |column: &Column| {
        let texts = known.find(&column.name).map(|id| &known.entries()[id as usize].texts);
        match texts.filter(|_| column.kind == ColumnKind::Text) {
            None => column.clone(),
            Some(texts) => {
                let (cells, dictionary) = own(&column.cells, texts);
                Column { name: column.name.clone(), kind: column.kind, cells, dictionary }
            }
        }
    };
    columns.iter().map(with_texts).collect()
}

/// Codes of the texts that occur, ascending.
fn own(cells: &Cells, texts: &Dictionary) -> (Cells, Vec<String>) {
    let mut used: Vec<u32> = (0..cells.len()).filter_map(|row| cells.code(row)).collect();
    used.sort_unstable_by_key(|&code| texts.text(code));
    used.dedup();
    let place = |code: u32| used.binary_search_by_key(&texts.text(code), |&code| texts.text(code));
    // Every code that occurs is among those used.
    let code = |row| cells.code(row).and_then(|code| place(code).ok()).map_or(u32::MAX, |place| place as u32);
    let codes = (0..cells.len()).map(code).collect();
    (Cells::of_codes(codes, used.len()), used.iter().map(|&code| texts.text(code).to_owned()).collect())
}
