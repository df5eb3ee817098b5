//! The thread that asks the engine to see to what nobody else asks for: timers that are due, and passes.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use propense_store::Store;

use super::ask::Ask;
use super::shared::Shared;

/// Timers that come up within this are seen to together.
const GATHER: Duration = Duration::from_millis(10);
/// After the store did not take the question, it is asked again after this.
const AGAIN: Duration = Duration::from_millis(100);
/// It looks at the clock at least this often.
const LOOK: Duration = Duration::from_secs(1);

/// Works until the store or whoever shares the engine is gone.
pub(super) fn run(shared: &Arc<Shared>, store: &Weak<Store>) {
    while !shared.stopping.load(SeqCst) {
        if shared.has_work() {
            let Some(store) = store.upgrade() else { return };
            let asked = store.ask(Box::new(Ask::Work));
            drop(store);
            let pause = if asked.is_err() { AGAIN } else { GATHER };
            if asked.is_err() || !shared.has_pass.load(SeqCst) {
                thread::sleep(pause);
            }
            continue;
        }
        let due_in_us = shared.next_us.load(SeqCst).saturating_sub(shared.clock.now_us()).max(0) as u64;
        let until_due = if shared.clock.is_simulated() { LOOK } else { Duration::from_micros(due_in_us) };
        shared.wait(until_due.min(LOOK));
    }
}
