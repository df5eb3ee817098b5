//! How many users one commit sees to whom no write concerns: those whose time has come, and those of a pass.

use std::time::Duration;

/// So long may the users of one commit take while there are writes, which wait for them ...
const BESIDE_WRITES: Duration = Duration::from_millis(40);
/// ... and so long while there are none: the next may come in the middle of it.
const ALONE: Duration = Duration::from_millis(120);
const FEWEST: usize = 16;
const FIRST: usize = 256;
const MOST: usize = 32_768;

/// Follows how long users take, which depends on what is evaluated for them: some microseconds for one rule, or some
/// milliseconds where a stay is to be followed through years of events.
pub(super) struct Pace {
    users: usize,
    /// Whether anything was written since users were last seen to.
    has_writes: bool,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { users: FIRST, has_writes: false }
    }

    /// So many users.
    pub(super) fn users(&self) -> usize {
        self.users
    }

    /// So many users of a pass, if so many others are seen to in the same commit: a quarter at least, so that the pass comes
    /// to its end.
    pub(super) fn users_beside(&self, others: usize) -> usize {
        self.users.saturating_sub(others).max(self.users / 4).max(1)
    }

    /// Something was written.
    pub(super) fn wrote(&mut self) {
        self.has_writes = true;
    }

    /// Users were seen to, and took so long; it goes at most to double or half of what it was.
    pub(super) fn took(&mut self, users: usize, took: Duration) {
        let within = if std::mem::take(&mut self.has_writes) { BESIDE_WRITES } else { ALONE };
        if users > 0 {
            let fitting = users as f64 * within.as_secs_f64() / took.as_secs_f64().max(1e-6);
            self.users = (fitting as usize).clamp(self.users / 2, self.users * 2).clamp(FEWEST, MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(pace: &mut Pace, us_a_user: u64, has_writes: bool) -> usize {
        for _ in 0..20 {
            if has_writes {
                pace.wrote();
            }
            let users = pace.users_beside(0);
            pace.took(users, Duration::from_micros(us_a_user * users as u64));
        }
        pace.users_beside(0)
    }

    #[test]
    fn it_takes_what_fits() {
        let mut pace = Pace::new();
        assert_eq!(after(&mut pace, 10, true), 4_000);
        assert_eq!(pace.users_beside(1_000), 3_000);
        assert_eq!(after(&mut pace, 10, false), 12_000);
        assert_eq!(after(&mut pace, 2, true), 20_000);
        assert_eq!(after(&mut pace, 0, false), MOST);
        assert_eq!(pace.users_beside(1_000_000), MOST / 4);
        assert_eq!(after(&mut pace, 8_000, true), FEWEST);
    }

    #[test]
    fn a_stall_does_not_throw_it_off() {
        let mut pace = Pace::new();
        let usual = after(&mut pace, 10, false);
        pace.took(usual, Duration::from_secs(5));
        assert_eq!(pace.users_beside(0), usual / 2);
        pace.took(0, Duration::from_secs(5));
        assert_eq!(pace.users(), usual / 2);
        assert!(after(&mut pace, 10, false).abs_diff(usual) <= 1);
    }
}
