//! What scoring for a request can fail with.

use propense_core::events::EventsError;
use propense_core::features::FeatureError;
use propense_core::scorer::ScoreError;
use propense_core::segments::SegmentError;
use propense_onnx::ModelDirectoryError;
use propense_onnx::{NotExplained, OnnxError};
use propense_store::BatchProblem;
use thiserror::Error;

use crate::backend::ModelError;

/// Why a model was not loaded, or users were not scored. Messages name files, columns and kinds, never values.
#[derive(Debug, Error)]
pub(crate) enum ServingError {
    /// The directory does not hold a model that can be run.
    #[error(transparent)]
    Directory(#[from] ModelDirectoryError),
    /// A column that the model reads has another kind in the store.
    #[error("the store has a column of another kind than the model reads: {0}")]
    Kinds(#[from] BatchProblem),
    /// The plan or the audience does not fit the columns.
    #[error(transparent)]
    Unfit(#[from] FeatureError),
    /// The model failed on a row.
    #[error(transparent)]
    Model(#[from] ScoreError<OnnxError>),
    /// The model cannot be explained.
    #[error(transparent)]
    NotExplained(#[from] NotExplained),
    /// The rules of segments do not fit the columns.
    #[error(transparent)]
    Segments(Box<SegmentError>),
    /// Events did not make a log.
    #[error(transparent)]
    Events(#[from] EventsError),
}

impl From<SegmentError> for ServingError {
    fn from(error: SegmentError) -> Self {
        Self::Segments(Box::new(error))
    }
}

impl From<ServingError> for ModelError {
    fn from(error: ServingError) -> Self {
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            let text = inner.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            source = inner.source();
        }
        Self(message)
    }
}
