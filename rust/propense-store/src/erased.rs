//! Which users were erased, known by salted digests only.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

/// A set of users that does not say who they are.
#[derive(Debug, Clone, Default)]
pub struct ErasedUsers {
    salt: Vec<u8>,
    digests: HashSet<[u8; 32]>,
}

impl ErasedUsers {
    /// Nobody yet; digests are taken of the salt followed by the user's id.
    #[must_use]
    pub fn with_salt(salt: &[u8]) -> Self {
        Self { salt: salt.to_vec(), digests: HashSet::new() }
    }

    /// A user's digest.
    #[must_use]
    pub fn digest(&self, user: &str) -> [u8; 32] {
        Sha256::new().chain_update(&self.salt).chain_update(user).finalize().into()
    }

    /// Adds a user by digest; says whether they were new.
    pub fn insert(&mut self, digest: [u8; 32]) -> bool {
        self.digests.insert(digest)
    }

    /// Whether a user was erased.
    #[must_use]
    pub fn contains(&self, user: &str) -> bool {
        !self.digests.is_empty() && self.digests.contains(&self.digest(user))
    }

    /// How many users were erased.
    #[must_use]
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// Whether nobody was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }
}
