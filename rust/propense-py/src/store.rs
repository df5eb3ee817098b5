//! A store that no server has open.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use propense_server::{events_of_arrow, profiles_of_request};
use propense_store::{Receipt, Store as CoreStore, StoreOptions};
use pyo3::prelude::*;

use crate::detached::detached;
use crate::error::CoreError;

/// Sequence, accepted, duplicates, erased.
type Counts = (u64, u64, u64, u64);

/// A durable store, open for writing.
#[pyclass(frozen, module = "propense._core")]
pub(crate) struct Store {
    /// None once it is closed.
    inner: Mutex<Option<Arc<CoreStore>>>,
}

impl Store {
    fn opened(&self) -> Result<Arc<CoreStore>, CoreError> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.clone().ok_or_else(|| CoreError::Arguments("the store is closed".to_owned()))
    }
}

#[pymethods]
impl Store {
    /// Opens a store or makes one.
    #[staticmethod]
    fn open(py: Python<'_>, folder: PathBuf) -> PyResult<Self> {
        let store = detached(py, None, |_| CoreStore::open(&folder, StoreOptions::default()))?;
        Ok(Self { inner: Mutex::new(Some(Arc::new(store))) })
    }

    /// Writes the events of an Arrow stream and waits until they are on the disk.
    fn ingest(&self, py: Python<'_>, arrow_ipc: Vec<u8>) -> PyResult<Counts> {
        let store = self.opened()?;
        let receipt = detached(py, None, move |_| -> Result<Receipt, CoreError> {
            Ok(store.ingest(events_of_arrow(Bytes::from(arrow_ipc))?)?)
        })?;
        Ok(counts(receipt))
    }

    /// Writes the attributes of a `PutProfilesRequest` and waits until they are on the disk.
    fn put_profiles(&self, py: Python<'_>, request: Vec<u8>) -> PyResult<Counts> {
        let store = self.opened()?;
        let receipt = detached(py, None, move |_| -> Result<Receipt, CoreError> {
            Ok(store.put_profiles(profiles_of_request(&request)?)?)
        })?;
        Ok(counts(receipt))
    }

    /// Makes a part of what is in no part yet.
    fn seal(&self, py: Python<'_>) -> PyResult<()> {
        let store = self.opened()?;
        detached(py, None, move |_| store.seal())
    }

    /// Does the same and merges the parts.
    fn compact(&self, py: Python<'_>) -> PyResult<()> {
        let store = self.opened()?;
        detached(py, None, move |_| store.compact())
    }

    /// Counts of what it holds.
    fn stats(&self) -> PyResult<BTreeMap<&'static str, u64>> {
        let stats = self.opened()?.stats();
        Ok(BTreeMap::from([
            ("events", stats.sealed_events + stats.active_events),
            ("parts", stats.parts),
            ("bytes_of_parts", stats.mapped_bytes),
            ("bytes_of_log", stats.wal_bytes),
        ]))
    }

    /// Closes it; another process may open it then.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let store = self.inner.lock().unwrap_or_else(PoisonError::into_inner).take();
        detached(py, None, move |_| -> Result<(), CoreError> {
            drop(store);
            Ok(())
        })
    }
}

fn counts(receipt: Receipt) -> Counts {
    (receipt.sequence, receipt.accepted, receipt.duplicates, receipt.erased)
}

/// Reads every byte of a store; whether it is sound, and what was found.
#[pyfunction]
pub(crate) fn check_store(py: Python<'_>, folder: PathBuf) -> PyResult<(bool, String)> {
    let report = detached(py, None, |_| propense_store::check(&folder))?;
    Ok((report.is_sound(), report.to_string()))
}

/// Puts aside what is damaged, so that the store opens; whether there was nothing, and what was found.
#[pyfunction]
pub(crate) fn repair_store(py: Python<'_>, folder: PathBuf) -> PyResult<(bool, String)> {
    let report = detached(py, None, |_| propense_store::repair(&folder))?;
    Ok((report.is_sound(), report.to_string()))
}
