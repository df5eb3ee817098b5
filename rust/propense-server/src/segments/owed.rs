//! Users who could not be evaluated, as a store has to know of them.

use super::prepared::{NextPass, Prepared};

/// Whether somebody could not be evaluated, so that after a restart everybody has to be, from their events: where such a
/// user stood before says nothing of what has befallen them since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Owed {
    /// Nobody is left out.
    #[default]
    Nobody,
    /// Somebody, but a pass that has begun since sees to everybody.
    BeforePass,
    /// Somebody, whom the pass under way, if there is one, may have gone past.
    Somebody,
}

impl Owed {
    /// What is owed after a commit.
    pub(super) fn after(self, prepared: &Prepared) -> Self {
        match (self, &prepared.pass) {
            _ if !prepared.failed.is_empty() => Self::Somebody,
            (Self::BeforePass, NextPass::Done) => Self::Nobody,
            (Self::Somebody, _) if prepared.epoch.is_some() => Self::BeforePass,
            _ => self,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Clock;
    use crate::log::LogLines;
    use crate::segments::engine::Engine;
    use crate::segments::note::Note;
    use crate::segments::pass::Pass;
    use crate::segments::restore;
    use crate::segments::rules::Rules;
    use crate::segments::shared::Shared;

    fn engine() -> Engine {
        let log = LogLines::to_memory(Arc::default());
        Engine::new(Arc::new(Shared::new(Rules::none(), Clock::simulated(1), log)))
    }

    fn failed(users: &[u32], pass: NextPass) -> Prepared {
        Prepared { failed: users.to_vec(), pass, ..Prepared::default() }
    }

    #[test]
    fn a_user_who_could_not_be_evaluated_is_still_owed_after_a_restart() {
        let mut one = engine();
        let note = one.finish(failed(&[3], NextPass::Same), Vec::new(), None).unwrap();
        let mut other = engine();
        restore::replay(&mut other, note.position, &note.payload).unwrap();
        assert!(other.unfinished.unwrap().behind);
        // The whole state says so too.
        one.owed = Owed::Somebody;
        assert!(Note::decode(&restore::checkpoint(&one)).unwrap().base.unwrap().pass.unwrap().behind);
    }

    #[test]
    fn only_a_pass_that_begins_later_and_leaves_nobody_out_settles_it() {
        let done = || failed(&[], NextPass::Done);
        let begins = Prepared { epoch: Some(2), ..failed(&[], NextPass::GoesOn(Pass::new(Vec::new(), true))) };
        assert_eq!(Owed::Nobody.after(&failed(&[1], NextPass::Done)), Owed::Somebody);
        assert_eq!(Owed::Somebody.after(&done()), Owed::Somebody);
        assert_eq!(Owed::Somebody.after(&begins), Owed::BeforePass);
        assert_eq!(Owed::BeforePass.after(&failed(&[1], NextPass::Same)), Owed::Somebody);
        assert_eq!(Owed::BeforePass.after(&failed(&[], NextPass::Same)), Owed::BeforePass);
        assert_eq!(Owed::BeforePass.after(&done()), Owed::Nobody);
    }
}
