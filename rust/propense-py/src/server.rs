//! A gRPC server inside the process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use propense_server::{Clock, LogLines, Server as CoreServer, ServerError, ServerOptions, StoreBackend, TlsFiles};
use propense_store::{Store, StoreOptions};
use pyo3::prelude::*;

use crate::detached::detached;
use crate::error::CoreError;

/// How often a wait looks whether Python wants to interrupt it.
const PULSE: Duration = Duration::from_millis(50);

/// A server that answers calls on threads of its own.
#[pyclass(frozen, module = "propense._core")]
pub(crate) struct Server {
    inner: CoreServer,
}

#[pymethods]
impl Server {
    /// Opens the store, loads the models, and returns once calls are answered.
    #[staticmethod]
    #[pyo3(signature = (*, store, models, address, metrics_address, tokens, tls, drain_s, log_calls, simulated_us))]
    #[allow(clippy::too_many_arguments)]
    fn bind(
        py: Python<'_>,
        store: PathBuf,
        models: PathBuf,
        address: String,
        metrics_address: Option<String>,
        tokens: Option<PathBuf>,
        tls: Option<(PathBuf, PathBuf, Option<PathBuf>)>,
        drain_s: f64,
        log_calls: bool,
        simulated_us: Option<i64>,
    ) -> PyResult<Self> {
        let drain = Duration::try_from_secs_f64(drain_s)
            .map_err(|_| CoreError::Arguments(format!("drain is {drain_s}; expected seconds from 0 up")))?;
        let log = if log_calls { LogLines::stderr().with_all_calls() } else { LogLines::stderr() };
        let options = ServerOptions {
            address,
            metrics_address,
            tokens,
            tls: tls.map(|(certificate, key, client_ca)| TlsFiles { certificate, key, client_ca }),
            drain,
            log,
            clock: simulated_us.map_or_else(Clock::system, Clock::simulated),
            ..ServerOptions::new(models)
        };
        let inner = detached(py, None, |progress| {
            let open = move || Ok(StoreBackend::new(Arc::new(Store::open(&store, StoreOptions::default())?)));
            let server = CoreServer::bind(options, open)?;
            // If it is interrupted, the server is dropped, which stops it.
            while !server.wait_ready(PULSE)? && progress.advance(0).is_ok() {}
            Ok::<_, ServerError>(server)
        })?;
        Ok(Self { inner })
    }

    /// `HOST:PORT` with the real port.
    #[getter]
    fn address(&self) -> String {
        self.inner.address().to_string()
    }

    /// The same of the metrics page.
    #[getter]
    fn metrics_address(&self) -> Option<String> {
        self.inner.metrics_address().map(|address| address.to_string())
    }

    /// Waits for the server's end; a signal's exception ends the wait, not the server.
    fn wait(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, None, |progress| {
            while !self.inner.wait(PULSE)? && progress.advance(0).is_ok() {}
            Ok::<_, ServerError>(())
        })
    }

    /// Has the server drain, and waits for its end.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.inner.stopper().stop();
        self.wait(py)
    }
}
