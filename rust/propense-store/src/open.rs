//! Opening a saved log: its files are mapped, and only what is small is read.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use arrow_array::LargeStringArray;
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use propense_core::events::{Cells, Column, EventLog, Events, UserIds};

use crate::error::StoreError;
use crate::layout::{EVENTS, MANIFEST, PROFILES, USERS};
use crate::manifest::{CellType, ColumnPlace, Extent, IdsPlace, Manifest, TextsPlace};
use crate::mapped::{Folder, Mapped};

/// A folder that is replaced while it is being opened is opened anew, so many times.
const ATTEMPTS: usize = 6;
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(2);

/// A log from a folder, with what was kept beside it.
#[derive(Debug, Clone)]
pub struct SavedLog {
    /// The log; its columns are mapped files.
    pub log: EventLog,
    /// The notes with which it was saved.
    pub notes: BTreeMap<String, String>,
}

/// A folder's manifest and mapped files.
pub(crate) struct Opened {
    pub(crate) saved: SavedLog,
    pub(crate) manifest: Manifest,
    pub(crate) files: Vec<(&'static str, Mapped)>,
}

/// Opens a saved log without reading its events: they are mapped, and come into memory as they are used.
///
/// The manifest, the files' lengths, their metadata and the users' ids are checked; [`crate::verify()`] checks the rest.
/// While the log is in use nobody may change or truncate its files in place, which would end the process; saving anew
/// over the folder is fine, as that makes new files.
///
/// # Errors
/// [`StoreError::Missing`], [`StoreError::Manifest`], [`StoreError::Version`], [`StoreError::Damaged`] and others that
/// name the file and what was expected of it.
pub fn open(folder: &Path) -> Result<SavedLog, StoreError> {
    open_files(folder).map(|opened| opened.saved)
}

/// Opens a folder, again if it was replaced meanwhile.
pub(crate) fn open_files(folder: &Path) -> Result<Opened, StoreError> {
    let mut opened = open_once(folder);
    for _ in 1..ATTEMPTS {
        if !matches!(opened, Err(StoreError::Missing { .. })) {
            break;
        }
        thread::sleep(PAUSE);
        opened = open_once(folder);
    }
    opened
}

fn open_once(folder: &Path) -> Result<Opened, StoreError> {
    let held = Folder::open(folder)?;
    let path = held.path(MANIFEST);
    let manifest = Manifest::parse(&held.text(MANIFEST, "the manifest of a saved log")?, &path)?;
    let map = |name: &str| {
        let record = manifest.files.get(name).ok_or_else(|| StoreError::damaged(&path, format!("it lacks {name}")))?;
        held.map(name, record)
    };
    let (events, users) = (map(EVENTS)?, map(USERS)?);
    let columns = |file: &Mapped, places: &[ColumnPlace], rows| -> Result<Vec<Column>, StoreError> {
        places.iter().map(|place| column(file, place, rows)).collect()
    };
    let offsets = manifest.users.checked_add(1).ok_or_else(|| StoreError::damaged(&path, "it has too many users"))?;
    let event = column(&events, &manifest.event, manifest.events)?;
    let unfit = |source| StoreError::Parts { folder: folder.to_owned(), source };
    let mut log = EventLog::from_parts(Events {
        users: user_ids(&users, &manifest.user_ids, manifest.users)?,
        offsets: users.values(manifest.first_event, offsets)?,
        time_us: events.values(manifest.time, manifest.events)?,
        event: event.cells,
        event_types: event.dictionary,
        columns: columns(&events, &manifest.properties, manifest.events)?,
        dropped: manifest.dropped,
    })
    .map_err(unfit)?;
    let mut files = vec![(EVENTS, events), (USERS, users)];
    if !manifest.attributes.is_empty() {
        let profiles = map(PROFILES)?;
        let attributes = columns(&profiles, &manifest.attributes, manifest.users)?;
        log = log.with_attributes(attributes).map_err(unfit)?;
        files.push((PROFILES, profiles));
    }
    let saved = SavedLog { log, notes: manifest.notes.clone() };
    Ok(Opened { saved, manifest, files })
}

fn column(file: &Mapped, place: &ColumnPlace, rows: u64) -> Result<Column, StoreError> {
    let values = place.values;
    let cells = match place.cells {
        CellType::U8 => Cells::U8(file.values(values, rows)?),
        CellType::U16 => Cells::U16(file.values(values, rows)?),
        CellType::U32 => Cells::U32(file.values(values, rows)?),
        CellType::I8 => Cells::I8(file.values(values, rows)?),
        CellType::I16 => Cells::I16(file.values(values, rows)?),
        CellType::I32 => Cells::I32(file.values(values, rows)?),
        CellType::I64 => Cells::I64(file.values(values, rows)?),
        CellType::F32 => Cells::F32(file.values(values, rows)?),
        CellType::F64 => Cells::F64(file.values(values, rows)?),
    };
    let dictionary = match &place.dictionary {
        Some(texts) => dictionary(file, texts)?,
        None => Vec::new(),
    };
    Ok(Column { name: place.name.clone(), kind: place.kind, cells, dictionary })
}

fn user_ids(file: &Mapped, place: &IdsPlace, users: u64) -> Result<UserIds, StoreError> {
    match place {
        IdsPlace::Integers(values) => Ok(UserIds::Integers(file.values(*values, users)?)),
        IdsPlace::Texts(texts) => {
            let offsets = offsets(file, texts, users)?;
            // Checks that every id is UTF-8, once, so that no use of it needs to.
            LargeStringArray::try_new(OffsetBuffer::new(offsets), file.slice(texts.bytes)?, None)
                .map(UserIds::Texts)
                .map_err(|error| StoreError::damaged(file.path(), format!("its user ids are no texts: {error}")))
        }
    }
}

fn dictionary(file: &Mapped, place: &TextsPlace) -> Result<Vec<String>, StoreError> {
    let wrong = || StoreError::damaged(file.path(), "a dictionary is not UTF-8");
    let offsets = offsets(file, place, place.count.max(1))?;
    let bytes = file.slice(place.bytes)?;
    let text = |pair: &[i64]| std::str::from_utf8(&bytes[pair[0] as usize..pair[1] as usize]).map(ToOwned::to_owned);
    let texts = offsets.windows(2).take(place.count as usize).map(text);
    texts.collect::<Result<_, _>>().map_err(|_| wrong())
}

/// Where so many texts begin: ascending, within their bytes.
fn offsets(file: &Mapped, place: &TextsPlace, texts: u64) -> Result<ScalarBuffer<i64>, StoreError> {
    let wrong = || StoreError::damaged(file.path(), "its texts do not lie one after another");
    let count = texts.checked_add(1).ok_or_else(wrong)?;
    let offsets: ScalarBuffer<i64> = file.values(place.offsets, count)?;
    let Extent { bytes, .. } = place.bytes;
    let fits = offsets.first() == Some(&0) && offsets.last().is_some_and(|&end| end as u64 == bytes);
    if fits && offsets.is_sorted() { Ok(offsets) } else { Err(wrong()) }
}
