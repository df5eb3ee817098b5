//! Live segments: who is in which, kept true by every event and by time alone.
//!
//! The engine is the store's observer: it evaluates the users whom a commit touches before the commit is written, and
//! the transitions that follow are in the commit's own record. Time is a timer a user, at the next instant at which any
//! rule or model may say something else; a worker asks the engine, in its turn among the writes, to see to those that are
//! due. A new rule or model is evaluated for everybody slice by slice among the writes. What readers see ([`LiveSegments`])
//! is always the state as of a commit that is on the disk.

mod ask;
mod changing;
mod engine;
mod error;
mod evaluate;
mod live;
mod metrics;
mod note;
mod note_bytes;
mod owed;
mod pace;
mod part;
mod pass;
mod prepared;
mod published;
mod restore;
mod rules;
mod shared;
mod since;
mod standings;
mod stepping;
mod tile_scores;
mod timers;
mod transition;
mod user_table;
mod worker;

pub use error::SegmentsError;
pub(crate) use live::Engaged;
pub use live::{LiveSegments, SegmentState, SegmentsList, UserStanding};
pub use published::TransitionPage;
pub use transition::{Cause, Transition};
