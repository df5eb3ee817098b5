//! Rows that are in memory and that nobody sees: those of a commit on its way to the disk, for the observer alone.
//!
//! Rows are appended to the active memtable, beyond what any published view shows. They are published when the record is
//! on the disk, or taken back. What the catalog learnt of them stays, as its codes must never mean anything else; it also
//! stays that a new property has the kind that they gave it, until the store is opened anew.

use crate::apply::{Applied, apply_events, apply_profiles};
use crate::batch::{EventBatch, ProfileBatch};
use crate::batch_error::BatchError;
use crate::catalog::NewKinds;
use crate::lock::{hold, read, write};
use crate::memory::Memory;
use crate::memtable::{Mark, Memtable};
use crate::observer::Touched;
use crate::shape::Shape;
use crate::snapshot::{Snapshot, View};
use crate::source::Rows;

/// Rows that are not published.
pub(crate) struct Staging {
    /// What is seen with them.
    view: View,
    users_before: u64,
    /// What the active memtable held before.
    mark: Option<Mark>,
    touched: TouchedSlots,
}

/// Slots of the active memtable with something new.
#[derive(Debug, Default)]
pub(crate) struct TouchedSlots(Vec<(u32, i64, bool)>);

impl TouchedSlots {
    pub(crate) fn push_event(&mut self, slot: u32, time_us: i64) {
        self.0.push((slot, time_us, false));
    }

    pub(crate) fn push_attributes(&mut self, slot: u32) {
        self.0.push((slot, i64::MAX, true));
    }
}

/// The users of some staged rows.
pub(crate) struct TouchedUsers(Vec<(String, i64, bool)>);

impl TouchedUsers {
    pub(crate) fn each(&self) -> Vec<Touched<'_>> {
        let users = self.0.iter();
        users.map(|&(ref user, earliest_us, attributes)| Touched { user, earliest_us, attributes }).collect()
    }
}

impl Staging {
    /// Each user with at least one accepted row, ascending.
    pub(crate) fn touched(&self) -> TouchedUsers {
        let mut slots = self.touched.0.clone();
        slots.sort_unstable();
        // The earliest event of a slot comes first, and attributes come last.
        slots.dedup_by(|next, kept| {
            kept.2 |= next.0 == kept.0 && next.2;
            next.0 == kept.0
        });
        let Some(memtable) = active(&self.view) else { return TouchedUsers(Vec::new()) };
        let table = read(&memtable.table);
        let user = |(slot, earliest_us, attributes)| (table.user(slot).to_owned(), earliest_us, attributes);
        let mut users: Vec<(String, i64, bool)> = slots.into_iter().map(user).collect();
        users.sort_unstable();
        TouchedUsers(users)
    }

    /// Takes the rows out of memory again.
    pub(crate) fn take_back(self) {
        if let (Some(memtable), Some(mark)) = (active(&self.view), self.mark) {
            write(&memtable.table).shorten(mark);
        }
    }
}

impl Memory {
    /// Begins to stage rows; publish or take back before anything else is applied.
    pub(crate) fn stage(&self) -> Staging {
        let view = self.view();
        let mark = active(&view).map(|memtable| read(&memtable.table).mark());
        Staging { users_before: view.users, mark, touched: TouchedSlots::default(), view }
    }

    /// [`Self::apply_events`] without publishing.
    pub(crate) fn stage_events(&self, staging: &mut Staging, batch: &EventBatch) -> Result<Applied, BatchError> {
        self.check_events(batch, &mut NewKinds::default())?;
        let Staging { view, touched, .. } = staging;
        Ok(apply_events(&self.shared, view, &read(&self.erased), batch, Some(touched)))
    }

    /// [`Self::apply_profiles`] without publishing.
    pub(crate) fn stage_profiles(&self, staging: &mut Staging, batch: &ProfileBatch) -> Result<Applied, BatchError> {
        self.check_profiles(batch, &mut NewKinds::default())?;
        let Staging { view, touched, .. } = staging;
        Ok(apply_profiles(&self.shared, view, &read(&self.erased), batch, Some(touched)))
    }

    /// The store with the staged rows.
    pub(crate) fn staged_snapshot(&self, staging: &mut Staging) -> Snapshot {
        let catalog = read(&self.shared.catalog);
        if !staging.view.shape.is_current(&catalog) {
            staging.view.shape = Shape::of(&catalog).into();
        }
        drop(catalog);
        Snapshot::new(self.shared.clone(), staging.view.clone())
    }

    /// Lets everyone see the staged rows.
    pub(crate) fn publish_staged(&self, staging: Staging) {
        let _writer = hold(&self.writer);
        // Sources may have become others meanwhile, but the active one is still the last.
        let mut view = self.view();
        view.limits = staging.view.limits;
        view.users += staging.view.users - staging.users_before;
        view.shape = staging.view.shape;
        self.publish(view);
    }
}

fn active(view: &View) -> Option<&Memtable> {
    match &view.sources.last()?.rows {
        Rows::Recent(memtable) => Some(memtable),
        Rows::Part(_) => None,
    }
}
