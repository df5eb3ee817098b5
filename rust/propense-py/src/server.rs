//! A gRPC server inside the process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use propense_core::segments::SegmentDefinition;
use propense_server::{
    Clock, DeliveryCounts, LiveOptions, LiveSegments, LogLines, Server as CoreServer, ServerError, ServerOptions,
    StoreBackend, TlsFiles, Transition, events_of_arrow,
};
use propense_store::StoreOptions;
use pyo3::prelude::*;

use crate::detached::detached;
use crate::error::CoreError;

/// How often a wait looks whether Python wants to interrupt it.
const PULSE: Duration = Duration::from_millis(50);

/// Number, user, segment, whether the user entered, time, cause.
type TransitionRow = (u64, String, String, bool, i64, &'static str);

/// A server that answers calls on threads of its own.
#[pyclass(frozen, module = "propense._core")]
pub(crate) struct Server {
    inner: CoreServer,
}

impl Drop for Server {
    /// Whoever lets go of a server that runs waits for its end; Python's other threads do not.
    fn drop(&mut self) {
        self.inner.stopper().stop();
        Python::attach(|py| py.detach(|| while matches!(self.inner.wait(PULSE), Ok(false)) {}));
    }
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

    /// Transitions of some segments with larger numbers, about `limit` at most, and up to which number these are all;
    /// waits for the first.
    fn transitions_after(
        &self,
        py: Python<'_>,
        segments: Vec<String>,
        after: u64,
        limit: usize,
        wait_s: f64,
    ) -> PyResult<(Vec<TransitionRow>, u64)> {
        let patience = Duration::try_from_secs_f64(wait_s).unwrap_or_default();
        let page = py.detach(|| self.inner.transitions_after(after, limit, patience)).map_err(CoreError::from)?;
        let asked = page.transitions.into_iter().filter(|one| segments.iter().any(|name| **name == *one.segment));
        let row = |one: Transition| {
            let (user, segment) = (one.user.to_string(), one.segment.to_string());
            (one.number, user, segment, one.enter, one.time_us, one.cause.name())
        };
        Ok((asked.map(row).collect(), page.up_to))
    }

    /// The number of the last transition; 0 before the first.
    fn last_transition(&self) -> PyResult<u64> {
        Ok(self.live()?.last_transition())
    }

    /// The names of all segments.
    fn segment_names(&self) -> PyResult<Vec<String>> {
        Ok(self.live()?.names())
    }

    /// What the server takes for now.
    fn now_us(&self) -> PyResult<i64> {
        Ok(self.live()?.clock().now_us())
    }

    /// Which of some segments a user is in; in none of those that are not there.
    fn segments_of(&self, py: Python<'_>, user: String, segments: Vec<String>) -> PyResult<Vec<String>> {
        let live = self.live()?;
        let all = py.detach(|| live.memberships(&user, &[])).map_err(CoreError::from)?;
        Ok(all.into_iter().map(|standing| standing.segment).filter(|name| segments.contains(name)).collect())
    }

    /// The models that some segments read, directly or not, each with the digest that is served of it, if any is.
    fn models_of(&self, segments: Vec<String>) -> PyResult<Vec<(String, Option<String>)>> {
        Ok(self.live()?.models_of(&segments))
    }

    /// Those of some users of whom the store knows anything.
    fn known_users(&self, py: Python<'_>, users: Vec<String>) -> PyResult<Vec<String>> {
        let live = self.live()?;
        Ok(py.detach(|| {
            let snapshot = live.store().snapshot();
            users.into_iter().filter(|user| snapshot.has_user(user)).collect()
        }))
    }

    /// Has the metrics page show how a destination's deliveries stand.
    #[pyo3(signature = (destination, *, read_up_to, waiting, held, oldest_s, dead_letters, delivered, failed_attempts, is_paused))]
    #[allow(clippy::too_many_arguments)]
    fn note_deliveries(
        &self,
        destination: &str,
        read_up_to: u64,
        waiting: u64,
        held: u64,
        oldest_s: f64,
        dead_letters: u64,
        delivered: u64,
        failed_attempts: u64,
        is_paused: bool,
    ) {
        let counts =
            DeliveryCounts { read_up_to, waiting, held, oldest_s, dead_letters, delivered, failed_attempts, is_paused };
        self.inner.note_deliveries(destination, counts);
    }

    /// Writes the events of an Arrow stream and waits until they are on the disk.
    fn ingest(&self, py: Python<'_>, arrow_ipc: Vec<u8>) -> PyResult<()> {
        let live = self.live()?;
        let rows = events_of_arrow(Bytes::from(arrow_ipc)).map_err(CoreError::from)?;
        py.detach(|| live.store().ingest(rows)).map_err(CoreError::from)?;
        Ok(())
    }
}

impl Server {
    fn live(&self) -> Result<Arc<LiveSegments>, CoreError> {
        self.inner.segments().ok_or(CoreError::NotLive)
    }
}
