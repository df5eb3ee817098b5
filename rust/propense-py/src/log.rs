//! Event logs and profiles.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, LargeStringArray};
use numpy::PyReadonlyArray1;
use propense_core::events::{
    Column, ColumnKind, EventColumns, EventLog as CoreLog, EventLogBuilder, Profiles as CoreProfiles, ProfilesBuilder,
    UserIds,
};
use propense_core::features::Progress;
use pyo3::prelude::*;
use pyo3_arrow::{PyArray, PyRecordBatchReader};

use crate::detached::detached;
use crate::error::CoreError;

/// Events grouped by user.
#[pyclass(frozen, module = "propense._core")]
pub(crate) struct EventLog {
    pub(crate) inner: CoreLog,
}

/// Attributes by user.
#[pyclass(frozen, module = "propense._core")]
pub(crate) struct Profiles {
    inner: CoreProfiles,
}

#[pymethods]
impl EventLog {
    /// Reads an Arrow stream whose columns are the user, the time, the event type and properties.
    #[staticmethod]
    fn from_arrow(
        py: Python<'_>,
        stream: PyRecordBatchReader,
        user: String,
        time: String,
        event: String,
    ) -> PyResult<Self> {
        let reader = stream.into_reader()?;
        let inner = detached(py, None, move |_| -> Result<CoreLog, CoreError> {
            let mut builder = EventLogBuilder::new(EventColumns { user, time, event });
            for batch in reader {
                builder.push(&batch?)?;
            }
            Ok(builder.finish()?)
        })?;
        Ok(Self { inner })
    }

    /// Opens a saved log without reading its events; gives also the notes with which it was saved.
    #[staticmethod]
    fn open(py: Python<'_>, folder: PathBuf) -> PyResult<(Self, BTreeMap<String, String>)> {
        let saved = detached(py, None, move |_| propense_store::open(&folder))?;
        Ok((Self { inner: saved.log }, saved.notes))
    }

    /// Saves the log as a folder of Arrow files; `report(bytes)` is told how much is written.
    #[pyo3(signature = (folder, notes, report=None))]
    fn save(
        &self,
        py: Python<'_>,
        folder: PathBuf,
        notes: BTreeMap<String, String>,
        report: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let inner = &self.inner;
        detached(py, report, move |progress| {
            propense_store::save(inner, &folder, &notes, &mut |bytes| counted(progress, bytes))
        })
    }

    /// The same events with profiles.
    fn with_profiles(&self, profiles: &Profiles) -> PyResult<Self> {
        let inner = self.inner.with_profiles(profiles.inner.clone()).map_err(CoreError::from)?;
        Ok(Self { inner })
    }

    /// The same log, of which everybody with a profile is a user; who has no event has no rows.
    fn with_profiled_users(&self) -> Self {
        Self { inner: self.inner.with_profiled_users() }
    }

    /// The same log, of which columns with these names hold nothing, and that in these kinds.
    #[pyo3(signature = (properties, attributes))]
    fn with_empty(&self, properties: BTreeMap<String, String>, attributes: BTreeMap<String, String>) -> Self {
        let kinds = |names: BTreeMap<String, String>| -> BTreeMap<String, ColumnKind> {
            let kind = |name: &str| ColumnKind::ALL.into_iter().find(|kind| kind.name() == name);
            names.into_iter().filter_map(|(column, name)| Some((column, kind(&name)?))).collect()
        };
        Self { inner: self.inner.with_empty(&kinds(properties), &kinds(attributes)) }
    }

    /// Events in the log.
    #[getter]
    fn n_events(&self) -> usize {
        self.inner.len()
    }

    /// Users in the log.
    #[getter]
    fn n_users(&self) -> usize {
        self.inner.users().len()
    }

    /// Bytes that the whole log takes in memory, users and offsets included.
    #[getter]
    fn memory_bytes(&self) -> usize {
        self.inner.memory_bytes()
    }

    /// Bytes that one event takes in memory: its time, its type and its properties.
    #[getter]
    fn bytes_per_event(&self) -> usize {
        self.inner.bytes_per_event()
    }

    /// Rows that came without a user id and were dropped.
    #[getter]
    fn dropped(&self) -> u64 {
        self.inner.dropped()
    }

    /// Event types, ascending.
    #[getter]
    fn event_types(&self) -> Vec<String> {
        self.inner.event_types().to_vec()
    }

    /// Name and kind of each property.
    #[getter]
    fn properties(&self) -> Vec<(String, &'static str)> {
        names_and_kinds(self.inner.columns())
    }

    /// Name and kind of each attribute.
    #[getter]
    fn attributes(&self) -> Vec<(String, &'static str)> {
        names_and_kinds(self.inner.attributes())
    }

    /// Earliest and latest event time, microseconds since 1970-01-01 UTC.
    #[getter]
    fn time_span_us(&self) -> Option<(i64, i64)> {
        self.inner.time_span_us()
    }

    /// Counts of what the log holds before an instant, as JSON.
    fn summary(&self, py: Python<'_>, before_us: i64) -> PyResult<String> {
        let inner = &self.inner;
        detached(py, None, |_| serde_json::to_string(&inner.summary(before_us)))
    }

    /// Ids of users given by their places, as an Arrow array.
    fn user_ids(&self, users: PyReadonlyArray1<'_, u32>) -> PyResult<PyArray> {
        let users = users.as_array();
        let known = self.inner.users();
        if let Some(&beyond) = users.iter().find(|&&user| user as usize >= known.len()) {
            return Err(CoreError::Arguments(format!("user {beyond} of {}", known.len())).into());
        }
        let ids: ArrayRef = match known {
            UserIds::Integers(ids) => Arc::new(users.iter().map(|&user| ids[user as usize]).collect::<Int64Array>()),
            UserIds::Texts(ids) => {
                let texts = users.iter().map(|&user| Some(ids.value(user as usize)));
                Arc::new(texts.collect::<LargeStringArray>())
            }
        };
        Ok(PyArray::from_array_ref(ids))
    }
}

#[pymethods]
impl Profiles {
    /// Reads an Arrow stream whose columns are the user and attributes.
    #[staticmethod]
    fn from_arrow(py: Python<'_>, stream: PyRecordBatchReader, user: String) -> PyResult<Self> {
        let reader = stream.into_reader()?;
        let inner = detached(py, None, move |_| -> Result<CoreProfiles, CoreError> {
            let mut builder = ProfilesBuilder::new(user);
            for batch in reader {
                builder.push(&batch?)?;
            }
            Ok(builder.finish()?)
        })?;
        Ok(Self { inner })
    }

    /// Users with a profile.
    fn __len__(&self) -> usize {
        self.inner.len()
    }

    /// Name and kind of each attribute.
    #[getter]
    fn attributes(&self) -> Vec<(String, &'static str)> {
        names_and_kinds(self.inner.columns())
    }
}

/// Checks a saved log from end to end; `report(bytes)` is told how much is read.
#[pyfunction]
#[pyo3(signature = (folder, report=None))]
pub(crate) fn verify_log(py: Python<'_>, folder: PathBuf, report: Option<Py<PyAny>>) -> PyResult<()> {
    detached(py, report, move |progress| propense_store::verify(&folder, &mut |bytes| counted(progress, bytes)))
}

fn counted(progress: &Progress, bytes: u64) -> ControlFlow<()> {
    if progress.advance(bytes as usize).is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

fn names_and_kinds(columns: &[Column]) -> Vec<(String, &'static str)> {
    columns.iter().map(|column| (column.name.clone(), column.kind.name())).collect()
}
