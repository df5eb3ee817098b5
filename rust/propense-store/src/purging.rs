//! Leaving nothing of erased users in any file.

use crate::error::StoreError;
use crate::maintenance::Maintenance;
use crate::request::WriteError;

impl Maintenance {
    /// Cleans all files of the users who were erased so far, and of those who are erased meanwhile.
    pub(crate) fn purge_all(&mut self) -> Result<(), WriteError> {
        loop {
            let users = self.shared.erasing().clone();
            // After this all that was ever noted of them is in segments that go.
            self.freeze()?;
            if self.purge(&users)? {
                return Ok(());
            }
        }
    }

    /// Seals what is frozen, and writes the notes and the parts that hold any erased users anew. Says whether that is on the
    /// disk: it is not if others were erased meanwhile whose notes are not clean.
    pub(crate) fn purge(&mut self, users: &std::collections::BTreeSet<String>) -> Result<bool, StoreError> {
        let shared = std::sync::Arc::clone(&self.shared);
        if let Some(observer) = shared.observer.as_ref().filter(|_| !users.is_empty()) {
            shared.notes.clean(observer, users)?;
        }
        shared.erasing().retain(|user| !users.contains(user));
        self.seal()?;
        while let Some(part) = shared.memory.parts().iter().position(|part| part.erased_users > 0) {
            self.rewrite(part..part + 1)?;
        }
        self.publish()
    }
}
