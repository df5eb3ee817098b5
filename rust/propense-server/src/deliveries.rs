//! How deliveries stand, as who makes them says: they run beside the server, and its metrics page shows them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::metrics::Page;

/// What a destination's deliveries came to so far.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryCounts {
    /// It has looked at all transitions up to this number.
    pub read_up_to: u64,
    /// Items to be delivered.
    pub waiting: u64,
    /// Items that wait for the user to be in the segment of `only_if`.
    pub held: u64,
    /// For how long the first of the waiting has been in the queue; 0 if none waits.
    pub oldest_s: f64,
    /// Items given up.
    pub dead_letters: u64,
    /// Items delivered since the destination began.
    pub delivered: u64,
    /// Attempts that failed since then.
    pub failed_attempts: u64,
    /// Whether nothing is delivered until it is resumed.
    pub is_paused: bool,
}

/// The newest counts of every destination, by name.
#[derive(Default)]
pub(crate) struct Deliveries(Mutex<BTreeMap<String, DeliveryCounts>>);

impl Deliveries {
    pub(crate) fn note(&self, destination: &str, counts: DeliveryCounts) {
        self.lock().insert(destination.to_owned(), counts);
    }

    pub(crate) fn all(&self) -> Vec<(String, DeliveryCounts)> {
        self.lock().iter().map(|(name, counts)| (name.clone(), counts.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, DeliveryCounts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all counts to the metrics page.
pub(crate) fn show(page: &mut Page, all: &[(String, DeliveryCounts)], last_transition: u64) {
    if all.is_empty() {
        return;
    }
    let mut show = |name: &str, kind: &str, help: &str, value: &dyn Fn(&DeliveryCounts) -> f64| {
        let name = format!("propense_delivery_{name}");
        page.family(&name, kind, help);
        for (destination, counts) in all {
            page.row(&name, &[("destination", destination)], value(counts));
        }
    };
    let unread = |of: &DeliveryCounts| last_transition.saturating_sub(of.read_up_to) as f64;
    show("unread", "gauge", "Transitions that a destination has not looked at yet.", &unread);
    show("waiting", "gauge", "Items to be delivered.", &|of| of.waiting as f64);
    show("held", "gauge", "Items that wait for the segment of only_if.", &|of| of.held as f64);
    show("oldest_seconds", "gauge", "For how long the first item has been waiting.", &|of| of.oldest_s);
    show("dead_letters", "gauge", "Items given up.", &|of| of.dead_letters as f64);
    show("paused", "gauge", "1 while nothing is delivered until it is resumed.", &|of| f64::from(of.is_paused));
    show("delivered_total", "counter", "Items delivered.", &|of| of.delivered as f64);
    show("failed_attempts_total", "counter", "Attempts that failed.", &|of| of.failed_attempts as f64);
}
