//! Rows between the contract's forms and the store's.

mod arrow_events;
mod arrow_text;
mod event_log;
mod events;
mod scores;
mod user_events;

pub(crate) use arrow_events::batch_of_arrow;
pub(crate) use event_log::log_of;
pub(crate) use events::{batch_of, check_user_id, profiles_of};
pub(crate) use scores::arrow_of;
pub(crate) use user_events::{event_of, profile_of};
