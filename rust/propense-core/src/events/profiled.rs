//! Everybody who has a profile as a user of a log.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::{Array, LargeStringArray};

use super::log::{AttachedProfiles, EventLog, Events};
use super::users::UserIds;

/// Somebody's place among the users of a log, and the row of their profile.
type Somebody = (Option<usize>, Option<u32>);

impl EventLog {
    /// The same log, of which everybody with a profile is a user, ascending as ever; who has no event has no rows.
    #[must_use]
    pub fn with_profiled_users(&self) -> Self {
        let Some((profiles, ids)) = self.profiles.as_deref().and_then(|of| Some((of, of.ids.as_ref()?))) else {
            return self.clone();
        };
        let all = match (self.users(), ids) {
            (UserIds::Integers(users), UserIds::Integers(ids)) => {
                merged((users.len(), ids.len()), |user, row| users[user].cmp(&ids[row]))
            }
            (UserIds::Texts(users), UserIds::Texts(ids)) => {
                merged((users.len(), ids.len()), |user, row| users.value(user).cmp(ids.value(row)))
            }
            // There are no profiles, or those of another kind would not have been taken.
            _ => return self.clone(),
        };
        if all.len() == self.users().len() {
            return self.clone();
        }
        let Events { offsets, time_us, event, event_types, columns, dropped, .. } = self.parts();
        let mut ends = vec![0];
        ends.extend(all.iter().scan(0, |end, (user, _)| {
            *end = user.map_or(*end, |user| offsets[user + 1]);
            Some(*end)
        }));
        let events = Events {
            users: users_of(&all, self.users(), ids),
            offsets: ends.into(),
            time_us: time_us.clone(),
            event: event.clone(),
            event_types: event_types.clone(),
            columns: columns.clone(),
            dropped: *dropped,
        };
        let row_of_user = all.iter().map(|(_, row)| *row).collect();
        let profiles = AttachedProfiles { columns: profiles.columns.clone(), row_of_user, ids: None };
        Self { events: Arc::new(events), profiles: Some(Arc::new(profiles)) }
    }
}

/// All users and all rows in one order, those of the same id together.
fn merged((users, rows): (usize, usize), compare: impl Fn(usize, usize) -> Ordering) -> Vec<Somebody> {
    let (mut user, mut row, mut all) = (0, 0, Vec::with_capacity(users.max(rows)));
    while user < users || row < rows {
        let order = match (user < users, row < rows) {
            (true, true) => compare(user, row),
            (true, false) => Ordering::Less,
            _ => Ordering::Greater,
        };
        all.push((order.is_le().then_some(user), order.is_ge().then_some(row as u32)));
        user += usize::from(order.is_le());
        row += usize::from(order.is_ge());
    }
    all
}

fn users_of(all: &[Somebody], users: &UserIds, ids: &UserIds) -> UserIds {
    let place = |&(user, row): &Somebody| (user.is_some(), user.or(row.map(|row| row as usize)).unwrap_or_default());
    match (users, ids) {
        (UserIds::Integers(users), UserIds::Integers(ids)) => {
            let id = |somebody| match place(somebody) {
                (true, user) => users[user],
                (false, row) => ids[row],
            };
            UserIds::Integers(all.iter().map(id).collect())
        }
        (UserIds::Texts(users), UserIds::Texts(ids)) => {
            let id = |somebody| match place(somebody) {
                (true, user) => users.value(user),
                (false, row) => ids.value(row),
            };
            UserIds::Texts(LargeStringArray::from_iter_values(all.iter().map(id)))
        }
        _ => users.clone(),
    }
}
