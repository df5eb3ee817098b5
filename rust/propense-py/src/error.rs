//! The one place where errors of the Rust crates become Python exceptions.

use std::convert::Infallible;

use arrow_schema::ArrowError;
use propense_core::events::EventsError;
use propense_core::expr::ExprError;
use propense_core::features::FeatureError;
use propense_core::scorer::ScoreError;
use propense_core::segments::SegmentError;
use propense_onnx::{ModelDirectoryError, NotExplained, OnnxError};
use propense_server::{SegmentsError, ServerError, ServiceError};
use propense_store::{StoreError, WriteError};
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyType;
use thiserror::Error;

/// Everything that the Rust crates can fail with.
#[derive(Debug, Error)]
pub(crate) enum CoreError {
    #[error(transparent)]
    Events(#[from] EventsError),
    #[error("the Arrow stream cannot be read: {0}")]
    Stream(#[from] ArrowError),
    #[error(transparent)]
    Expression(#[from] ExprError),
    #[error(transparent)]
    Features(#[from] FeatureError),
    #[error("the feature spec is not valid: {0}")]
    Spec(#[from] serde_json::Error),
    #[error(transparent)]
    Segments(Box<SegmentError>),
    #[error("the definition of a segment is not valid: {0}")]
    Definition(serde_json::Error),
    #[error(transparent)]
    Model(#[from] OnnxError),
    #[error(transparent)]
    ModelDirectory(#[from] ModelDirectoryError),
    #[error(transparent)]
    Score(#[from] ScoreError<OnnxError>),
    #[error("{0}; model.importance(\"permutation\", log=log) says for any model which features matter")]
    NotExplained(#[from] NotExplained),
    #[error(transparent)]
    Explain(#[from] ScoreError<Infallible>),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Rows(#[from] ServiceError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Live(#[from] SegmentsError),
    #[error("the server has no segments, or is stopping")]
    NotLive,
    #[error("{0}")]
    Arguments(String),
}

impl From<SegmentError> for CoreError {
    fn from(error: SegmentError) -> Self {
        Self::Segments(Box::new(error))
    }
}

impl From<CoreError> for PyErr {
    fn from(error: CoreError) -> Self {
        let class = match &error {
            CoreError::Events(_)
            | CoreError::Stream(_)
            | CoreError::Store(
                StoreError::Missing { .. }
                | StoreError::Read { .. }
                | StoreError::Manifest { .. }
                | StoreError::Version { .. }
                | StoreError::Damaged { .. }
                | StoreError::Sources
                | StoreError::Corrupt { .. }
                | StoreError::Locked { .. }
                | StoreError::Parts { .. },
            )
            | CoreError::Write(WriteError::Invalid(_) | WriteError::Refused(_) | WriteError::Closed)
            | CoreError::Rows(_)
            | CoreError::Server(ServerError::Open(_)) => "DataError",
            CoreError::Features(FeatureError::Cancelled)
            | CoreError::Score(ScoreError::Features(FeatureError::Cancelled))
            | CoreError::Explain(ScoreError::Features(FeatureError::Cancelled))
            | CoreError::Store(StoreError::Cancelled) => {
                return PyKeyboardInterrupt::new_err(());
            }
            CoreError::Expression(_)
            | CoreError::Features(_)
            | CoreError::Spec(_)
            | CoreError::Score(ScoreError::Features(_))
            | CoreError::Explain(ScoreError::Features(_)) => "ExpressionError",
            CoreError::Segments(_) | CoreError::Definition(_) => "SegmentError",
            CoreError::Model(_)
            | CoreError::ModelDirectory(_)
            | CoreError::Score(ScoreError::Model(_) | ScoreError::Width { .. })
            | CoreError::NotExplained(_)
            | CoreError::Explain(ScoreError::Model(_) | ScoreError::Width { .. }) => "ModelError",
            CoreError::Store(StoreError::Occupied { .. } | StoreError::Write { .. })
            | CoreError::Write(WriteError::Busy | WriteError::NoSpace { .. } | WriteError::Failed { .. }) => {
                "OutputError"
            }
            CoreError::Live(SegmentsError::Gone { .. } | SegmentsError::Ahead { .. }) => "TransitionsGoneError",
            CoreError::Server(_) | CoreError::Live(_) => "ServiceError",
            CoreError::NotLive => "UnavailableError",
            CoreError::Arguments(_) => "PropenseError",
        };
        Python::attach(|py| match exception_class(py, class) {
            Ok(class) => PyErr::from_type(class, with_sources(&error)),
            // The package is broken; the message must still get out.
            Err(_) => PyRuntimeError::new_err(with_sources(&error)),
        })
    }
}

fn exception_class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyType>> {
    Ok(py.import("propense.exceptions")?.getattr(name)?.cast_into::<PyType>()?)
}

/// An error's message followed by those of its sources that it does not already repeat.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let text = inner.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        source = inner.source();
    }
    message
}
