//! What each feature contributed to the logits of users.

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use propense_core::features::Period;
use propense_core::scorer;
use propense_onnx::ModelExplainer;
use pyo3::prelude::*;

use crate::detached::detached;
use crate::error::CoreError;
use crate::features::{Plan, known_users};
use crate::log::EventLog;
use crate::model::OnnxModel;

/// Contributions and values, one row a user and one column a feature that is read.
type Matrices<'py> = (Bound<'py, PyArray2<f32>>, Bound<'py, PyArray2<f32>>);

/// The base value of a model's logits and the places of the features that it reads.
#[pyfunction]
pub(crate) fn explainer<'py>(py: Python<'py>, model: &OnnxModel) -> PyResult<(f64, Bound<'py, PyArray1<u32>>)> {
    let explainer = detached(py, None, |_| model.inner.explainer())?;
    Ok((explainer.base(), PyArray1::from_slice(py, explainer.reads())))
}

/// Contributions and values of the features that a model reads, for users given by their places.
#[pyfunction]
#[pyo3(signature = (log, plan, model, users, *, as_of_us, report=None))]
pub(crate) fn explain_users<'py>(
    py: Python<'py>,
    log: &EventLog,
    plan: &Plan,
    model: &OnnxModel,
    users: PyReadonlyArray1<'py, u32>,
    as_of_us: i64,
    report: Option<Py<PyAny>>,
) -> PyResult<Matrices<'py>> {
    let users = known_users(log, &users)?;
    let period = Period::before(as_of_us);
    let explainer: &ModelExplainer = model.inner.explainer().map_err(CoreError::from)?;
    let of_users = detached(py, report, |progress| {
        scorer::explain_users(&log.inner, &plan.inner, period, &users, explainer, progress)
    })?;
    let shape = [users.len(), explainer.reads().len()];
    let matrix = |values| PyArray1::from_vec(py, values).reshape(shape);
    Ok((matrix(of_users.contributions)?, matrix(of_users.values)?))
}
