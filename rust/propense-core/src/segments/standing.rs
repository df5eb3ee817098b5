//! Where a user stands, and what is asked of the models.

use std::convert::Infallible;

/// Whether a user is in a segment, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Whether the user is in it.
    pub member: bool,
    /// The instant at which the user came into it, microseconds since 1970-01-01 UTC; 0 for a user who is not in it.
    pub since_us: i64,
}

impl Standing {
    /// Not in the segment.
    pub const OUT: Self = Self { member: false, since_us: 0 };
}

/// One user's coming into a segment or leaving it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// The segment's number among [`RuleSet::names`](super::RuleSet::names).
    pub segment: usize,
    /// Whether the user came.
    pub enter: bool,
    /// The instant at which it became so, microseconds since 1970-01-01 UTC.
    pub time_us: i64,
}

/// A model's score of a user, and the tier of it: 0 least, 1 moderately, 2 most likely.
pub type Score = (f32, u8);

/// The scores of users by all models, as they are at any instant.
pub trait UserScores {
    /// What scoring can fail with.
    type Error;

    /// A user's score by each model, in the order of [`RuleSet::models`](super::RuleSet::models), at an `as_of`; `None`
    /// for a user outside the model's audience.
    ///
    /// `user` is the user's place in the log. Models that `read` does not want may be left as they are.
    ///
    /// # Errors
    /// Whatever a model can fail with.
    fn scores(
        &mut self,
        user: usize,
        as_of_us: i64,
        read: &[bool],
        out: &mut [Option<Score>],
    ) -> Result<(), Self::Error>;

    /// The next instant after another at which time alone may change what [`UserScores::scores`] gives for those models
    /// that `read` wants; `i64::MAX` for never.
    fn next_change_us(&self, user: usize, after_us: i64, read: &[bool]) -> i64;

    /// An instant after another, and not after [`UserScores::next_change_us`], before which that does not change: what is
    /// quicker to know may be earlier.
    fn not_before_us(&self, user: usize, after_us: i64, read: &[bool]) -> i64 {
        self.next_change_us(user, after_us, read)
    }
}

/// The scores where there are no models.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoScores;

impl UserScores for NoScores {
    type Error = Infallible;

    fn scores(&mut self, _: usize, _: i64, _: &[bool], out: &mut [Option<Score>]) -> Result<(), Infallible> {
        out.fill(None);
        Ok(())
    }

    fn next_change_us(&self, _: usize, _: i64, _: &[bool]) -> i64 {
        i64::MAX
    }
}
