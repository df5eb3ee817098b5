//! ONNX models and whole audiences scored with them.

use std::borrow::Cow;
use std::path::Path;
use std::thread::available_parallelism;

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use propense_core::features::Period;
use propense_core::scorer::{self, RowExplainer, ScoreError};
use propense_onnx::{EngineChoice, Invariance, OnnxError, OnnxModel as Session, initialise};
use pyo3::prelude::*;
use rayon::prelude::*;

use crate::detached::detached;
use crate::error::CoreError;
use crate::features::{Plan, known_users};
use crate::log::EventLog;

/// Rows that a thread takes of a matrix at a time.
const PART_ROWS: usize = 1_024;
/// Rows that are scored on the caller's thread with the GIL held.
const FEW_ROWS: usize = 8;

/// An ONNX model with one input `features` and one output `score`.
#[pyclass(frozen, module = "propense._core")]
pub(crate) struct OnnxModel {
    pub(crate) inner: Session,
}

/// Loads the ONNX Runtime library at a path, once per process.
#[pyfunction]
pub(crate) fn initialise_onnxruntime(py: Python<'_>, library: String) -> PyResult<()> {
    detached(py, None, |_| initialise(Path::new(&library)))
}

#[pymethods]
impl OnnxModel {
    /// Loads a model of `width` features from its bytes.
    #[new]
    #[pyo3(signature = (model, width, *, native=true))]
    fn new(py: Python<'_>, model: &[u8], width: usize, native: bool) -> PyResult<Self> {
        let sessions = available_parallelism().map_or(1, usize::from);
        let engine = if native { EngineChoice::Best } else { EngineChoice::OnnxRuntime };
        let session = detached(py, None, |_| Session::load(model, width, sessions, engine))?;
        Ok(Self { inner: session })
    }

    /// Whether the native engine scores, and not ONNX Runtime.
    #[getter]
    fn native(&self) -> bool {
        self.inner.native().is_ok()
    }

    /// Which engine scores, and, where that is ONNX Runtime, why.
    #[getter]
    fn engine(&self) -> String {
        self.inner.engine()
    }

    /// Whether ONNX Runtime itself gives a row the same bits alone and among others.
    #[getter]
    fn batch_invariant(&self) -> bool {
        matches!(self.inner.invariance(), Invariance::Invariant)
    }

    /// Scores of the rows of a matrix.
    fn score<'py>(&self, py: Python<'py>, rows: PyReadonlyArray2<'py, f32>) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let scores = self.score_rows(py, &rows, |rows, scores| {
            if scores.len() <= PART_ROWS {
                return self.inner.score(rows, scores);
            }
            let parts = rows.par_chunks(PART_ROWS * self.inner.width()).zip(scores.par_chunks_mut(PART_ROWS));
            parts.enumerate().try_for_each(|(part, (rows, scores))| {
                self.inner.score(rows, scores).map_err(|error| error.moved_by(part * PART_ROWS))
            })
        })?;
        Ok(PyArray1::from_vec(py, scores))
    }

    /// Contributions of the features to the logits of the rows of a matrix.
    fn explain<'py>(&self, py: Python<'py>, rows: PyReadonlyArray2<'py, f32>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let shape = [rows.shape()[0], rows.shape()[1]];
        let explainer = detached(py, None, |_| self.inner.explainer())?;
        if shape[1] != explainer.width() {
            return Err(CoreError::Score(ScoreError::Width { expected: explainer.width(), found: shape[1] }).into());
        }
        let values: Cow<'_, [f32]> = match rows.as_slice() {
            Ok(values) => Cow::Borrowed(values),
            Err(_) => Cow::Owned(rows.as_array().iter().copied().collect()),
        };
        let mut contributions = vec![0.0; values.len()];
        detached(py, None, |_| -> Result<(), CoreError> {
            let part = PART_ROWS * shape[1];
            let parts = values.par_chunks(part).zip(contributions.par_chunks_mut(part));
            parts.for_each(|(rows, contributions)| explainer.explain(rows, contributions));
            Ok(())
        })?;
        PyArray1::from_vec(py, contributions).reshape(shape)
    }

    /// Scores of the rows of a matrix by ONNX Runtime, whatever the engine is.
    fn score_in_onnxruntime<'py>(
        &self,
        py: Python<'py>,
        rows: PyReadonlyArray2<'py, f32>,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let scores = self.score_rows(py, &rows, |rows, scores| self.inner.score_in_onnxruntime(rows, scores))?;
        Ok(PyArray1::from_vec(py, scores))
    }
}

impl OnnxModel {
    pub(crate) fn session(&self) -> &Session {
        &self.inner
    }

    fn score_rows<'py>(
        &self,
        py: Python<'py>,
        rows: &PyReadonlyArray2<'py, f32>,
        score: impl FnOnce(&[f32], &mut [f32]) -> Result<(), OnnxError> + Send,
    ) -> PyResult<Vec<f32>> {
        let [count, width] = [rows.shape()[0], rows.shape()[1]];
        if width != self.inner.width() {
            let wanted = self.inner.width();
            return Err(CoreError::Score(ScoreError::Width { expected: wanted, found: width }).into());
        }
        let values = match rows.as_slice() {
            Ok(values) => Cow::Borrowed(values),
            Err(_) => Cow::Owned(rows.as_array().iter().copied().collect()),
        };
        let mut scores = vec![0.0; count];
        if count <= FEW_ROWS {
            // Handing the GIL over and back would take longer than the rows do.
            score(&values, &mut scores).map_err(CoreError::from)?;
            return Ok(scores);
        }
        detached(py, None, |_| score(&values, &mut scores))?;
        Ok(scores)
    }
}

/// Scores of users given by their places, from events before `as_of_us`; no matrix is kept.
#[pyfunction]
#[pyo3(signature = (log, plan, model, users, *, as_of_us, report=None))]
pub(crate) fn score_users<'py>(
    py: Python<'py>,
    log: &EventLog,
    plan: &Plan,
    model: &OnnxModel,
    users: PyReadonlyArray1<'py, u32>,
    as_of_us: i64,
    report: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let users = known_users(log, &users)?;
    let period = Period::before(as_of_us);
    let scores = detached(py, report, |progress| {
        scorer::score_users(&log.inner, &plan.inner, period, &users, &model.inner, progress)
    })?;
    Ok(PyArray1::from_vec(py, scores))
}
