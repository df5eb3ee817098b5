//! Users who go on from where they stood, from instant to instant: those of a tile side by side, so that their scores are
//! made together.

use propense_core::segments::{Evaluator, Standing, Transition as Moved};

use super::tile_scores::TileScores;
use crate::serving::ServingError;

/// A user on the way.
pub(super) struct Stepping {
    /// The user's place in the tile.
    pub(super) place: usize,
    from_us: i64,
    /// Where the user stands.
    pub(super) now: Vec<Standing>,
    /// What happened on the way.
    pub(super) moved: Vec<Moved>,
    /// The next instant at which time alone may change something.
    pub(super) next_us: i64,
}

impl Stepping {
    /// A user who stood so at an instant.
    pub(super) fn new(place: usize, from_us: i64, now: Vec<Standing>) -> Self {
        Self { place, from_us, now, moved: Vec::new(), next_us: i64::MAX }
    }

    fn is_due(&self, to_us: i64) -> bool {
        // The end of time stands for never.
        self.next_us <= to_us && self.next_us < i64::MAX
    }
}

/// Takes users to an instant, each over every instant on the way at which anything may change with no new event.
pub(super) fn step_together(
    evaluator: &mut Evaluator<'_>,
    scores: &mut TileScores<'_>,
    users: &mut [Stepping],
    to_us: i64,
) -> Result<(), ServingError> {
    let places: Vec<(u32, i64)> = users.iter().map(|user| (user.place as u32, user.from_us)).collect();
    scores.look(&places);
    for user in users.iter_mut() {
        user.next_us = evaluator.next_step_us(user.place, user.from_us, scores, &user.now);
    }
    loop {
        let due = || users.iter().filter(|user| user.is_due(to_us));
        let places: Vec<(u32, i64)> = due().map(|user| (user.place as u32, user.next_us)).collect();
        if places.is_empty() {
            return Ok(());
        }
        scores.fill(&places)?;
        for user in users.iter_mut().filter(|user| user.is_due(to_us)) {
            let Stepping { place, now, moved, next_us, .. } = user;
            evaluator.step(*place, *next_us, scores, now, &mut |step| moved.push(step))?;
            *next_us = evaluator.next_step_us(*place, *next_us, scores, now);
        }
    }
}
