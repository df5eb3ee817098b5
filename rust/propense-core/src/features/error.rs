//! What can be wrong with a declaration of features.

use thiserror::Error;

use crate::expr::ExprError;

/// Why features were refused or not computed.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum FeatureError {
    /// An expression is not valid for the log.
    #[error(transparent)]
    Expression(#[from] ExprError),
    /// A feature's expression is not valid; says which feature.
    #[error("feature {name:?}: {source}")]
    Feature {
        /// The feature's name.
        name: String,
        /// What is wrong with it.
        source: ExprError,
    },
    /// Nothing was declared.
    #[error("no features are declared; name at least one, or leave them to the automatic choice")]
    NoFeatures,
    /// Two features have one name.
    #[error("two features are named {name:?}; give one of them another name")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// One expression is declared twice.
    #[error("the feature {expression:?} is declared twice")]
    DuplicateExpression {
        /// Its canonical text.
        expression: String,
    },
    /// A time zone that the IANA database does not hold.
    #[error("unknown time zone {name:?}; use an IANA name such as 'Europe/London' or 'UTC'")]
    TimeZone {
        /// The name.
        name: String,
    },
    /// A goal or audience that is not a condition.
    #[error("{text:?} is a {found}; {role} is a condition such as count(purchase) >= 1")]
    NotACondition {
        /// The expression.
        text: String,
        /// Its type.
        found: &'static str,
        /// What it should be, with its article.
        role: &'static str,
    },
    /// A goal with a window of its own.
    #[error("{part} in the goal {text:?} has a window; a goal is counted over its horizon, so leave the window out")]
    WindowInGoal {
        /// The goal.
        text: String,
        /// The part with a window.
        part: String,
    },
    /// The work was called off.
    #[error("cancelled")]
    Cancelled,
}
