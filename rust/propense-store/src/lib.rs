//! Event logs on disk, in files that are mapped rather than read.
//!
//! A saved log is a folder of Arrow IPC files that Polars, pyarrow and others read as they are, and a manifest:
//!
//! | file | rows | columns |
//! |---|---|---|
//! | `events.arrow` | one an event, grouped by user, oldest first | `user_id`, `event_time`, `event`, the properties |
//! | `users.arrow` | one a user, ascending | `user_id`, `first_event` (a row of `events.arrow`), `events` (how many) |
//! | `profiles.arrow` | one a user, only if profiles were attached | `user_id`, the attributes |
//! | `manifest.json` | | lengths, checksums, and where in the files each column's values stand |
//!
//! Each file is one record batch, neither compressed nor split, every buffer at a multiple of 64 bytes, so that a
//! column is one run of bytes that [`open()`] uses where it is mapped; no event is read before it is asked for. User ids
//! are `int64`, or in `events.arrow` dictionaries over `large_utf8`; texts are dictionaries with the narrowest index;
//! times are `timestamp[us, UTC]`; truth values are `int8`, 1 and 0, as a bitmap could not be used in place; a missing
//! value is an Arrow null. A role's name gets a `_` for as long as a property has it already.
//!
//! A log holds at most 2^32 − 1 events, which all readers take in one batch.
#![deny(unsafe_code)]

#[cfg(target_endian = "big")]
compile_error!("saved logs are mapped as they are, and they are little-endian");

mod apply;
mod arrow_batch;
mod arrow_column;
mod arrow_file;
mod batch;
mod batch_codec;
mod batch_error;
mod catalog;
mod chains;
mod check;
mod commit;
mod committer;
mod copy;
mod dictionary;
mod disk;
mod erased;
mod erasure;
mod error;
mod gather;
mod layout;
mod lock;
mod maintenance;
mod manifest;
mod mapped;
mod memory;
mod memtable;
mod notes;
mod noting;
mod observer;
mod open;
mod packed;
mod part;
mod parts;
mod place;
mod property;
mod purging;
mod queue;
mod repair;
mod request;
mod save;
mod sealed;
mod sealing;
mod shape;
mod sink;
mod snapshot;
mod source;
mod staging;
mod store;
mod store_manifest;
mod store_open;
mod texts;
mod user_index;
mod users;
mod verify;
mod wal;
mod whole;
mod without_erased;

pub use apply::Applied;
pub use batch::{
    EARLIEST_US, EventBatch, LATEST_US, MOST_EVENTS, MOST_NAME_BYTES, MOST_PROPERTIES, MOST_TEXT_BYTES,
    MOST_USER_ID_BYTES, ProfileBatch, hash_event_id,
};
pub use batch_error::{BatchError, BatchProblem};
pub use catalog::NewKinds;
pub use check::{Problem, Report, check};
pub use disk::{Disk, DiskFile, LocalDisk};
pub use erased::ErasedUsers;
pub use error::StoreError;
pub use manifest::{FORMAT, FORMAT_VERSION};
pub use memory::Memory;
pub use observer::{Note, NotesError, Observer, Touched};
pub use open::{SavedLog, open};
pub use parts::PartInfo;
pub use property::{PropertyColumn, PropertyTable, PropertyValues};
pub use repair::repair;
pub use request::{Receipt, Reply, Write, WriteError};
pub use save::{save, save_to};
pub use sink::Advance;
pub use snapshot::{Gathered, Snapshot};
pub use source::SourceId;
pub use store::{Store, StoreOptions, StoreStats};
pub use texts::Texts;
pub use verify::verify;
