//! A gRPC server inside the process.

use std::path::PathBuf;
use std::time::Duration;

use propense_core::segments::SegmentDefinition;
use propense_server::{
    Clock, LiveOptions, LogLines, Server as CoreServer, ServerError, ServerOptions, StoreBackend, TlsFiles,
};
use propense_store::StoreOptions;
use pyo3::prelude::*;

use crate::detached::detached;
use crate::error::CoreError;

/// How often a wait looks whether Python wants to interrupt it.
const PULSE: Duration = Duration::from_millis(50);

/// A transition: number, user, segment, whether the user entered, microseconds since 1970 UTC, cause.
type Transition = (u64, String, String, bool, i64, &'static str);

/// A server that answers calls on threads of its own.
#[pyclass(frozen, module = "propense._core")]
pub(crate) struct Server {
    inner: CoreServer,
}

#[pymethods]
impl Server {
    /// Opens the store, loads the models, and returns once calls are answered.
    #[staticmethod]
    #[pyo3(signature = (*, store, models, address, metrics_address, tokens, tls, drain_s, log_calls, simulated_us, segments))]
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
        segments: Vec<String>,
    ) -> PyResult<Self> {
        let drain = Duration::try_from_secs_f64(drain_s)
            .map_err(|_| CoreError::Arguments(format!("drain is {drain_s}; expected seconds from 0 up")))?;
        let log = if log_calls { LogLines::stderr().with_all_calls() } else { LogLines::stderr() };
        let clock = simulated_us.map_or_else(Clock::system, Clock::simulated);
        let segments: Vec<SegmentDefinition> = (segments.iter())
            .map(|definition| serde_json::from_str(definition).map_err(CoreError::Definition))
            .collect::<Result<_, _>>()?;
        let live = LiveOptions { clock: clock.clone(), segments, log: Some(log.clone()) };
        let options = ServerOptions {
            address,
            metrics_address,
            tokens,
            tls: tls.map(|(certificate, key, client_ca)| TlsFiles { certificate, key, client_ca }),
            drain,
            log,
            clock,
            ..ServerOptions::new(models)
        };
        let inner = detached(py, None, |progress| {
            let open = move || Ok(StoreBackend::open(&store, StoreOptions::default(), live)?);
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

    /// Up to about `limit` transitions with larger numbers than `after`; waits for the first.
    fn transitions_after(&self, py: Python<'_>, after: u64, limit: usize, wait_s: f64) -> PyResult<Vec<Transition>> {
        let patience = Duration::try_from_secs_f64(wait_s)
            .map_err(|_| CoreError::Arguments(format!("wait_s is {wait_s}; expected seconds from 0 up")))?;
        let transitions = detached(py, None, |_| self.inner.transitions_after(after, limit, patience))?;
        let fields = |one: propense_server::Transition| {
            (one.number, one.user.to_string(), one.segment.to_string(), one.enter, one.time_us, one.cause.name())
        };
        Ok(transitions.into_iter().map(fields).collect())
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
