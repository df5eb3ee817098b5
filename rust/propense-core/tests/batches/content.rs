//! Everything that a log says, to be compared.

use propense_core::events::{Cells, EventLog, UserIds};

/// Everything that a log says, with every bit of its numbers and the width of its cells.
#[derive(Debug, PartialEq)]
pub struct Content {
    pub users: Vec<String>,
    pub offsets: Vec<u64>,
    pub time_us: Vec<i64>,
    pub event_types: Vec<String>,
    pub columns: Vec<(String, &'static str, Vec<u64>, Vec<String>)>,
    pub widths: Vec<usize>,
    pub dropped: u64,
}

pub fn content(log: &EventLog) -> Content {
    let parts = log.parts();
    let bits = |cells: &Cells| (0..cells.len()).map(|row| cells.number(row).to_bits()).collect::<Vec<_>>();
    let event = (String::new(), "event", bits(&parts.event), Vec::new());
    let columns = parts
        .columns
        .iter()
        .map(|column| (column.name.clone(), column.kind.name(), bits(&column.cells), column.dictionary.clone()));
    Content {
        users: match &parts.users {
            UserIds::Integers(ids) => ids.iter().map(ToString::to_string).collect(),
            UserIds::Texts(ids) => ids.iter().map(|id| id.unwrap().to_owned()).collect(),
        },
        offsets: parts.offsets.to_vec(),
        time_us: parts.time_us.to_vec(),
        event_types: parts.event_types.clone(),
        columns: [event].into_iter().chain(columns).collect(),
        widths: std::iter::once(&parts.event)
            .chain(parts.columns.iter().map(|c| &c.cells))
            .map(Cells::bytes_per_row)
            .collect(),
        dropped: parts.dropped,
    }
}
