//! Where users' events come from.

use propense_core::events::EventLog;
use propense_core::features::DictionarySizes;

/// Events of some users as a log, one user of it an id that was asked for, whose dictionaries are left out.
#[derive(Debug)]
pub struct Gathered {
    /// The log.
    pub log: EventLog,
    /// How many texts its dictionaries would hold.
    pub sizes: DictionarySizes,
    /// Which dictionaries they are: equal numbers stand for dictionaries that only grow, so that a code always means the same.
    pub lineage: u64,
}

/// Users' events, in codes that mean the same for as long as it lives.
pub trait UserEvents: Sync {
    /// The events of these users, in canonical order; `users` ascend and are distinct.
    fn gather(&self, users: &[&str]) -> Gathered;

    /// A log without rows: the event types, properties and attributes, with the dictionaries as they now are.
    fn shape(&self) -> EventLog;
}
