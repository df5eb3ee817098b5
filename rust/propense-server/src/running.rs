//! What a server does on its thread, from the open port to the end.

use std::error::Error;
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::auth::Access;
use crate::backend::Backend;
use crate::computing::Turns;
use crate::connections;
use crate::deliveries::Deliveries;
use crate::error::{ServerError, ServiceError};
use crate::gate::Gate;
use crate::life::{EndOnDrop, Life};
use crate::limits::{AnswerMemory, Room};
use crate::metrics::Metrics;
use crate::metrics_page;
use crate::models::Models;
use crate::options::ServerOptions;
use crate::request_body::RequestMemory;
use crate::services::{Health, routes};
use crate::state::State;

/// Once everything asynchronous has ended or been cut off: how long blocking work may take to notice.
const LAST_WORK: Duration = Duration::from_millis(500);
/// How often it is seen whether the store still works.
const LOOK: Duration = Duration::from_secs(1);

/// Everything a server needs to run.
pub(crate) struct Running {
    pub(crate) options: ServerOptions,
    pub(crate) access: Access,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) listener: TcpListener,
    pub(crate) metrics_page: Option<TcpListener>,
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) life: Arc<Life>,
    pub(crate) deliveries: Arc<Deliveries>,
}

impl Running {
    pub(crate) fn run<B: Backend>(
        self,
        runtime: Runtime,
        open: impl FnOnce() -> Result<B, Box<dyn Error + Send + Sync>> + Send + 'static,
    ) {
        // The end is told even if this thread panics.
        let _end = EndOnDrop(Arc::clone(&self.life));
        let life = Arc::clone(&self.life);
        let state = {
            let metrics = Arc::new(Metrics::new());
            Arc::new(State {
                backend: OnceLock::new(),
                models: Models::new(self.options.models.clone()),
                metrics,
                deliveries: Arc::clone(&self.deliveries),
                room: Arc::new(Room::new(&self.options.limits)),
                turns: Turns::new(&self.options.limits),
                answer_memory: AnswerMemory::new(&self.options.limits),
                log: self.options.log.clone(),
                limits: self.options.limits.clone(),
                clock: self.options.clock.clone(),
                stopping: self.stopping.clone(),
            })
        };
        if let Err(error) = runtime.block_on(self.serve(&state, open)) {
            life.change(|phase| phase.failed = Some(error));
        }
        runtime.shutdown_timeout(LAST_WORK);
        state.log.line("info", "ended", json!({"calls_cut_off": state.metrics.under_way()}));
    }

    async fn serve<B: Backend>(
        self,
        state: &Arc<State<B>>,
        open: impl FnOnce() -> Result<B, Box<dyn Error + Send + Sync>> + Send + 'static,
    ) -> Result<(), ServerError> {
        let threads = |error: io::Error| ServerError::Threads(Arc::new(error));
        let listener = tokio::net::TcpListener::from_std(self.listener).map_err(threads)?;
        if let Some(page) = self.metrics_page {
            let page = tokio::net::TcpListener::from_std(page).map_err(threads)?;
            tokio::spawn(metrics_page::serve(page, Arc::clone(state)));
        }
        let (health, health_service) = Health::new().await;
        let gate = Gate {
            routes: routes(state, health_service),
            access: self.access,
            room: Arc::clone(&state.room),
            memory: RequestMemory::new(state.limits.request_memory),
            message_bytes: state.limits.message_bytes,
            batch_bytes: state.limits.batch_bytes,
            stalled_reader: state.limits.stalled_reader,
            metrics: Arc::clone(&state.metrics),
            log: state.log.clone(),
            stopping: self.stopping.clone(),
        };
        let limits = self.options.limits.clone();
        let mut stopping = self.stopping.clone();
        let mut served = tokio::spawn(connections::serve(listener, self.tls, Arc::new(gate), limits, self.stopping));

        let opening = tokio::task::spawn_blocking({
            let state = Arc::clone(state);
            move || open_backend(&state, open)
        });
        let opened = tokio::select! {
            // A store that is being recovered is not waited for: it is as safe on disk as before.
            _ = stopping.wait_for(|stop| *stop) => None,
            opened = opening => Some(opened),
        };
        if let Some(opened) = opened {
            opened.unwrap_or_else(|panic| Err(ServerError::Open(Arc::new(panic))))?;
            health.set(true).await;
            if let Some(segments) = state.backend.get().and_then(Backend::segments) {
                let _ = self.life.segments.set(Arc::downgrade(segments));
            }
            self.life.change(|phase| phase.ready = true);
            state.log.line("info", "ready", json!({"models": state.models.current().len()}));
            let has_broken_down = tokio::select! {
                _ = stopping.wait_for(|stop| *stop) => false,
                () = broken_down(state) => true,
            };
            if has_broken_down {
                state.log.line("error", "store", json!({"problem": "it takes no more writes; start the server anew"}));
                health.set(false).await;
                let _ = stopping.wait_for(|stop| *stop).await;
            }
        }
        state.log.line("info", "draining", json!({"calls": state.metrics.under_way()}));
        health.set(false).await;
        if timeout(self.options.drain, &mut served).await.is_err() {
            served.abort();
        }
        if let Some(segments) = state.backend.get().and_then(Backend::segments) {
            segments.stop();
        }
        Ok(())
    }
}

/// Waits until the store takes no more writes, which is for ever as long as all is well.
async fn broken_down<B: Backend>(state: &State<B>) {
    while !state.backend.get().is_some_and(Backend::has_broken_down) {
        sleep(LOOK).await;
    }
}

fn open_backend<B: Backend>(
    state: &State<B>,
    open: impl FnOnce() -> Result<B, Box<dyn Error + Send + Sync>>,
) -> Result<(), ServerError> {
    let began = Instant::now();
    let backend = open().map_err(|error| match error.downcast::<ServerError>() {
        Ok(error) => *error,
        Err(error) => ServerError::Open(Arc::from(error)),
    })?;
    state.log.line(
        "info",
        "store",
        json!({"events": backend.size().events, "took_ms": began.elapsed().as_millis() as u64}),
    );
    state.models.reload(&backend, &std::collections::BTreeSet::new(), &state.metrics, &state.log).map_err(|error| {
        match error {
            ServiceError::Internal { .. } => {
                let path = state.models.root().to_owned();
                ServerError::File { path, problem: "cannot be listed; expected a directory of models".to_owned() }
            }
            // What follows for segments could not be written.
            error => ServerError::Open(Arc::new(error)),
        }
    })?;
    // Set once, here.
    let _ = state.backend.set(backend);
    Ok(())
}
