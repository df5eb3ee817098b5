//! Whether a model was found to be fair: the file that `propense audit --publish` puts beside its folder.

use std::path::Path;

use serde::Deserialize;

use crate::beside::read_beside;

/// After the model's name.
const ENDING: &str = ".audit.json";
const MOST_BYTES: u64 = 16 << 20;
const PASS: &str = "pass";

/// What matters here of an audit.
#[derive(Debug, Deserialize)]
pub(crate) struct Audit {
    verdict: String,
    /// Of which version; none of an audit of scores alone.
    model_digest: Option<String>,
}

impl Audit {
    /// The audit of a model under a root; `None` if there is none.
    pub(crate) fn read(root: &Path, name: &str) -> Result<Option<Self>, String> {
        let file = format!("{name}{ENDING}");
        let Some(bytes) = read_beside(root, &file, MOST_BYTES)? else { return Ok(None) };
        let found = serde_json::from_slice(&bytes);
        found.map(Some).map_err(|error| format!("{file} is not what propense audit --publish writes: {error}"))
    }

    /// Whether it is a pass, of a version.
    pub(crate) fn passes(&self, digest: &str) -> bool {
        self.verdict == PASS && self.model_digest.as_deref() == Some(digest)
    }
}
