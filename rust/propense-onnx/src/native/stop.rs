//! Why a model does not run natively: it is not known how, or it must not run at all.

use std::fmt;

use crate::error::OnnxError;

/// What keeps a model from the native engines; ONNX Runtime may run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// The node, by operator and name; empty if it is the model as a whole.
    pub node: String,
    /// What about it is not known to be exact.
    pub why: String,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node.as_str() {
            "" => write!(formatter, "{}", self.why),
            node => write!(formatter, "{node}: {}", self.why),
        }
    }
}

/// The end of a lowering that does not succeed.
#[derive(Debug)]
pub(super) enum Stop {
    Unsupported(Unsupported),
    /// The node's arrays contradict each other; no runtime should see them.
    Malformed {
        node: String,
        problem: String,
    },
    Refused(OnnxError),
}

impl Stop {
    /// Unsupported at a node to be named by whoever knows it.
    pub(super) fn because(why: impl Into<String>) -> Self {
        Self::Unsupported(Unsupported { node: String::new(), why: why.into() })
    }

    pub(super) fn malformed(problem: impl Into<String>) -> Self {
        Self::Malformed { node: String::new(), problem: problem.into() }
    }

    /// Name a place inside the node before what is said of it.
    pub(super) fn within(self, place: &str) -> Self {
        match self {
            Self::Unsupported(Unsupported { node, why }) => {
                Self::Unsupported(Unsupported { node, why: format!("{place}: {why}") })
            }
            Self::Malformed { node, problem } => Self::Malformed { node, problem: format!("{place}: {problem}") },
            refused @ Self::Refused(_) => refused,
        }
    }

    /// Name the node, unless one is named already.
    pub(super) fn at(self, place: &str) -> Self {
        match self {
            Self::Unsupported(Unsupported { node, why }) if node.is_empty() => {
                Self::Unsupported(Unsupported { node: place.to_owned(), why })
            }
            Self::Malformed { node, problem } if node.is_empty() => Self::Malformed { node: place.to_owned(), problem },
            other => other,
        }
    }
}

impl From<OnnxError> for Stop {
    fn from(error: OnnxError) -> Self {
        Self::Refused(error)
    }
}
