//! Plans, matrices, audiences.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, RecordBatch};
use arrow_buffer::ScalarBuffer;
use jiff::tz::TimeZone;
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use propense_core::expr::{UnknownEvents, parse, parse_duration_us as parse_duration};
use propense_core::features::reference::{Moment, evaluate};
use propense_core::features::{self, FeatureError, FeatureSpec, Period};
use pyo3::prelude::*;
use pyo3_arrow::PyRecordBatch;

use crate::detached::detached;
use crate::error::CoreError;
use crate::log::EventLog;

/// A feature spec bound to a log.
#[pyclass(frozen, module = "propense._core")]
pub(crate) struct Plan {
    pub(crate) inner: features::Plan,
}

#[pymethods]
impl Plan {
    /// Binds a spec (JSON) to a log, codes of texts to what stands before an instant; without `strict`, event types that the log lacks count as not having happened.
    #[staticmethod]
    #[pyo3(signature = (spec, log, *, strict, before_us))]
    fn compile(spec: &str, log: &EventLog, strict: bool, before_us: i64) -> PyResult<Self> {
        let unknown_events = if strict { UnknownEvents::Refuse } else { UnknownEvents::Empty };
        let spec: FeatureSpec = serde_json::from_str(spec).map_err(CoreError::from)?;
        let inner = features::Plan::compile(&spec, &log.inner, unknown_events, before_us).map_err(CoreError::from)?;
        Ok(Self { inner })
    }

    /// The spec with every vocabulary filled in, as JSON.
    #[getter]
    fn spec(&self) -> PyResult<String> {
        Ok(serde_json::to_string(self.inner.spec()).map_err(CoreError::from)?)
    }

    /// Columns of the matrix.
    #[getter]
    fn width(&self) -> usize {
        self.inner.width()
    }
}

/// A spec (JSON) from expressions with or without names.
#[pyfunction]
pub(crate) fn declare(features: Vec<(Option<String>, String)>, timezone: &str) -> PyResult<String> {
    let spec = FeatureSpec::declare(&features, timezone).map_err(CoreError::from)?;
    Ok(serde_json::to_string(&spec).map_err(CoreError::from)?)
}

/// SHA-256 of a spec (JSON).
#[pyfunction]
pub(crate) fn fingerprint(spec: &str) -> PyResult<String> {
    let spec: FeatureSpec = serde_json::from_str(spec).map_err(CoreError::from)?;
    Ok(spec.fingerprint())
}

/// The canonical text of a goal's condition, if it fits the log.
#[pyfunction]
pub(crate) fn check_goal(text: &str, log: &EventLog) -> PyResult<String> {
    Ok(features::check_goal(text, &log.inner).map_err(CoreError::from)?)
}

/// The canonical text of an audience's condition, if it fits the log.
#[pyfunction]
pub(crate) fn check_audience(text: &str, log: &EventLog) -> PyResult<String> {
    Ok(features::check_audience(text, &log.inner).map_err(CoreError::from)?)
}

/// The event types that an expression names.
#[pyfunction]
pub(crate) fn event_types_named(text: &str) -> PyResult<Vec<String>> {
    Ok(features::event_types_named(text).map_err(CoreError::from)?)
}

/// The properties and the attributes that expressions read, each ascending.
#[pyfunction]
pub(crate) fn columns_named(texts: Vec<String>) -> PyResult<(Vec<String>, Vec<String>)> {
    let named = features::columns_named(texts.iter().map(String::as_str)).map_err(CoreError::from)?;
    Ok((named.properties.into_iter().collect(), named.attributes.into_iter().collect()))
}

/// Length of an interval such as `30d` in microseconds.
#[pyfunction]
pub(crate) fn parse_duration_us(text: &str) -> PyResult<i64> {
    Ok(parse_duration(text).map_err(CoreError::from)?)
}

/// The matrix of a plan for users given by their places, over events in `[start_us, end_us)`.
#[pyfunction]
#[pyo3(signature = (log, plan, users, *, start_us, end_us, report=None))]
pub(crate) fn compute<'py>(
    py: Python<'py>,
    log: &EventLog,
    plan: &Plan,
    users: PyReadonlyArray1<'py, u32>,
    start_us: Option<i64>,
    end_us: i64,
    report: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let users = known_users(log, &users)?;
    let period = Period { start_us, end_us };
    let matrix = detached(py, report, |progress| features::compute(&log.inner, &plan.inner, period, &users, progress))?;
    PyArray1::from_vec(py, matrix).reshape([plan.inner.width(), users.len()])?.transpose()
}

/// The columns of a plan's matrix as an Arrow batch, none of it copied.
#[pyfunction]
#[pyo3(signature = (log, plan, users, *, as_of_us, report=None))]
pub(crate) fn compute_columns<'py>(
    py: Python<'py>,
    log: &EventLog,
    plan: &Plan,
    users: PyReadonlyArray1<'py, u32>,
    as_of_us: i64,
    report: Option<Py<PyAny>>,
) -> PyResult<PyRecordBatch> {
    let users = known_users(log, &users)?;
    let period = Period::before(as_of_us);
    let matrix = detached(py, report, |progress| features::compute(&log.inner, &plan.inner, period, &users, progress))?;
    let matrix = ScalarBuffer::from(matrix);
    let columns = plan.inner.spec().features.iter().enumerate().map(|(place, feature)| {
        let values = matrix.slice(place * users.len(), users.len());
        let column: ArrayRef = Arc::new(Float32Array::new(values, None));
        (feature.name.as_str(), column, false)
    });
    let batch = RecordBatch::try_from_iter_with_nullable(columns).map_err(CoreError::from)?;
    Ok(PyRecordBatch::new(batch))
}

/// Places of the users with an event before `as_of_us`, ascending.
#[pyfunction]
pub(crate) fn everyone<'py>(py: Python<'py>, log: &EventLog, as_of_us: i64) -> Bound<'py, PyArray1<u32>> {
    let log = &log.inner;
    let is_there = |user: &usize| log.time_us()[log.rows(*user)].first().is_some_and(|&first| first < as_of_us);
    let users = (0..log.users().len()).filter(is_there);
    PyArray1::from_vec(py, users.map(|user| user as u32).collect())
}

/// Places of the users for whom every condition of a plan holds, over events before `as_of_us`.
#[pyfunction]
pub(crate) fn audience<'py>(
    py: Python<'py>,
    log: &EventLog,
    plan: &Plan,
    as_of_us: i64,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let period = Period::before(as_of_us);
    let users = detached(py, None, |progress| features::audience(&log.inner, &plan.inner, period, progress))?;
    Ok(PyArray1::from_vec(py, users))
}

/// One expression for every user by the slow reference implementation; for tests.
#[pyfunction]
#[pyo3(signature = (log, expression, timezone, *, start_us, end_us))]
pub(crate) fn reference<'py>(
    py: Python<'py>,
    log: &EventLog,
    expression: &str,
    timezone: &str,
    start_us: Option<i64>,
    end_us: i64,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let values = detached(py, None, |_| -> Result<Vec<f64>, CoreError> {
        let zone = TimeZone::get(timezone).map_err(|_| FeatureError::TimeZone { name: timezone.to_owned() })?;
        let moment = Moment { start_us, end_us, timezone: zone };
        let expr = parse(expression)?;
        let users = 0..log.inner.users().len();
        Ok(users.map(|user| evaluate(&log.inner, &expr, user, &moment).as_f64()).collect())
    })?;
    Ok(PyArray1::from_vec(py, values))
}

/// Users by place, each of which the log has.
pub(crate) fn known_users(log: &EventLog, users: &PyReadonlyArray1<'_, u32>) -> PyResult<Vec<u32>> {
    let users = users.as_array().to_vec();
    let known = log.inner.users().len();
    match users.iter().find(|&&user| user as usize >= known) {
        None => Ok(users),
        Some(beyond) => Err(CoreError::Arguments(format!("user {beyond} of {known}")).into()),
    }
}
