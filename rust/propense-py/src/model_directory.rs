//! Model directories as the service reads them.

use std::path::PathBuf;

use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use propense_core::scorer::ScoreError;
use propense_onnx::{LoadedModel, ModelDirectory as Directory};
use pyo3::prelude::*;

use crate::detached::detached;
use crate::error::CoreError;

/// A model directory that has passed every check.
#[pyclass(frozen, module = "propense._core")]
pub(crate) struct ModelDirectory {
    inner: LoadedModel,
}

#[pymethods]
impl ModelDirectory {
    /// Loads the model of a folder.
    #[new]
    fn new(py: Python<'_>, folder: PathBuf) -> PyResult<Self> {
        Ok(Self { inner: detached(py, None, |_| Directory::load(folder))? })
    }

    /// The names of the models under a root, ascending.
    #[staticmethod]
    fn names(root: PathBuf) -> PyResult<Vec<String>> {
        Ok(Directory::list(root).map_err(CoreError::from)?)
    }

    /// The folder of a model under a root.
    #[staticmethod]
    fn find(root: PathBuf, name: &str) -> PyResult<PathBuf> {
        Ok(Directory::find(root, name).map_err(CoreError::from)?)
    }

    /// The goal's name.
    #[getter]
    fn name(&self) -> &str {
        &self.inner.name
    }

    /// SHA-256 of the manifest's bytes.
    #[getter]
    fn digest(&self) -> &str {
        &self.inner.digest
    }

    /// SHA-256 of the features.
    #[getter]
    fn fingerprint(&self) -> &str {
        &self.inner.fingerprint
    }

    /// The conditions that the audience meets.
    #[getter]
    fn audience(&self) -> Vec<String> {
        self.inner.audience.clone()
    }

    /// The tier policy's name.
    #[getter]
    fn tier_policy(&self) -> &'static str {
        self.inner.tier_policy.name()
    }

    /// Which engine scores, and, where that is ONNX Runtime, why.
    #[getter]
    fn engine(&self) -> String {
        self.inner.onnx.engine()
    }

    /// Scores of the rows of a contiguous matrix.
    fn score<'py>(&self, py: Python<'py>, rows: PyReadonlyArray2<'py, f32>) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let [count, found] = [rows.shape()[0], rows.shape()[1]];
        let expected = self.inner.onnx.width();
        if found != expected {
            return Err(CoreError::Score(ScoreError::Width { expected, found }).into());
        }
        let values = rows.as_slice()?;
        let mut scores = vec![0.0; count];
        detached(py, None, |_| self.inner.onnx.score(values, &mut scores))?;
        Ok(PyArray1::from_vec(py, scores))
    }

    /// The percentile of each score.
    fn percentiles<'py>(
        &self,
        py: Python<'py>,
        scores: PyReadonlyArray1<'py, f32>,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let ranks = scores.as_slice()?.iter().map(|score| self.inner.percentile(*score)).collect();
        Ok(PyArray1::from_vec(py, ranks))
    }

    /// The name of each score's tier.
    fn tiers(&self, scores: PyReadonlyArray1<'_, f32>) -> PyResult<Vec<&'static str>> {
        Ok(scores.as_slice()?.iter().map(|score| self.inner.tier(*score).name()).collect())
    }
}
