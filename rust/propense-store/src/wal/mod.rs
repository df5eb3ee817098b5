//! The write-ahead log: what was acknowledged and is not yet in a sealed part.
//!
//! A folder of segments `000001.wal`, `000002.wal`, …, each a [`segment`] header and then [`record`]s. Only the last is
//! written to. Records are bytes here; what they mean is the [`crate::store`]'s matter.
//!
//! - One commit is one record, one write and one sync; a record counts once its sync has returned.
//! - A sync that failed is never repeated on its file: the writer goes on in a new segment, whose header says how many
//!   bytes of the one before are valid. That also tells a shortened older segment.
//! - A record that fails with no valid one after it in the last segment was being written when the machine stopped; it
//!   is cut off. Anything else is corruption: opening says where and refuses.

pub(crate) mod record;
pub(crate) mod replay;
pub(crate) mod salvage;
pub(crate) mod segment;
pub(crate) mod writer;
