//! What scoring for a request can fail with.

use propense_core::features::FeatureError;
use propense_core::scorer::ScoreError;
use propense_onnx::OnnxError;
use thiserror::Error;

/// Why users were not scored.
#[derive(Debug, Error)]
pub enum ServingError {
    /// The model does not fit the columns of the store.
    #[error("model {model:?} does not fit the events in the store: {source}")]
    Unfit {
        /// The model's name.
        model: String,
        /// What does not fit.
        source: FeatureError,
    },
    /// The model failed on a row.
    #[error("model {model:?}: {source}")]
    Model {
        /// The model's name.
        model: String,
        /// What failed.
        source: ScoreError<OnnxError>,
    },
    /// The store's columns grew again and again while the plan was being bound.
    #[error("the store's columns changed {attempts} times while model {model:?} was bound to them; try again")]
    Unsettled {
        /// The model's name.
        model: String,
        /// How often it was tried.
        attempts: usize,
    },
}
