//! A server from its port to its end.

use std::error::Error;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};
use std::{io, thread};

use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::auth::Access;
use crate::backend::Backend;
use crate::connections;
use crate::deliveries::{Deliveries, DeliveryCounts};
use crate::error::{ServerError, ServiceError};
use crate::gate::Gate;
use crate::limits::Room;
use crate::metrics::Metrics;
use crate::metrics_page;
use crate::models::Models;
use crate::options::ServerOptions;
use crate::request_body::RequestMemory;
use crate::segments::{LiveSegments, SegmentsError, TransitionPage};
use crate::services::{Health, routes};
use crate::state::State;
use crate::tls::{acceptor, check_exposure};

/// Once everything asynchronous has ended or been cut off: how long blocking work may take to notice.
const LAST_WORK: Duration = Duration::from_millis(500);
/// How often it is seen whether the store still works.
const LOOK: Duration = Duration::from_secs(1);
/// How often [`Server::run_until`] asks whether to stop.
const ASK: Duration = Duration::from_millis(50);

/// A server that listens. Dropping it stops it and waits for its end.
pub struct Server {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    stopper: Stopper,
    life: Arc<Life>,
    deliveries: Arc<Deliveries>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Tells a server to stop, from any thread and as often as one likes.
#[derive(Clone)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// The server drains: no new connections, what is under way may end, and at the deadline what has not is cut off.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// How far a server has come.
#[derive(Default)]
struct Life {
    phase: Mutex<Phase>,
    changed: Condvar,
    segments: OnceLock<Weak<LiveSegments>>,
}

#[derive(Default)]
struct Phase {
    ready: bool,
    ended: bool,
    failed: Option<ServerError>,
}

impl Server {
    /// Opens the ports and starts to answer health checks; then, on a thread of its own, opens the backend and loads the
    /// models, and is ready. A model that does not load is logged and left out.
    ///
    /// # Errors
    /// What can be told at once: addresses, certificates, tokens, and an address that may not be served unprotected.
    /// That the store does not open is told by [`Self::wait_ready`] and [`Self::wait`].
    pub fn bind<B: Backend>(
        options: ServerOptions,
        open: impl FnOnce() -> Result<B, Box<dyn Error + Send + Sync>> + Send + 'static,
    ) -> Result<Self, ServerError> {
        let access = Access::read(options.tokens.as_deref())?;
        let address = resolve(&options.address)?;
        check_exposure(address, options.tls.as_ref(), &access)?;
        let tls = options.tls.as_ref().map(acceptor).transpose()?;
        let listener = listen(address)?;
        let metrics_page = options.metrics_address.as_deref().map(resolve).transpose()?.map(listen).transpose()?;
        let threads = |error: io::Error| ServerError::Threads(Arc::new(error));
        let address = listener.local_addr().map_err(threads)?;
        let metrics_address = metrics_page.as_ref().and_then(|listener| listener.local_addr().ok());

        let runtime = runtime().map_err(threads)?;
        let (stopper, stopping) = watch::channel(false);
        let life = Arc::new(Life::default());
        let deliveries = Arc::<Deliveries>::default();
        let running = Running {
            options,
            access,
            tls,
            listener,
            metrics_page,
            stopping,
            life: Arc::clone(&life),
            deliveries: Arc::clone(&deliveries),
        };
        let thread = thread::Builder::new().name("propense-server".to_owned());
        let thread = thread.spawn(move || running.run(runtime, open)).map_err(threads)?;
        Ok(Self { address, metrics_address, stopper: Stopper(stopper), life, deliveries, thread: Some(thread) })
    }

    /// Where it listens, with the port that was picked.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the metrics page is.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// What stops it.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// The live segments, while it runs and if it keeps any. To be held for short times only: the store stays open for as
    /// long.
    #[must_use]
    pub fn segments(&self) -> Option<Arc<LiveSegments>> {
        self.life.segments.get().and_then(Weak::upgrade)
    }

    /// Up to about `limit` transitions with larger numbers than `after`; waits up to `patience` for the first, or until the
    /// server ends. None if there are none or no segments.
    ///
    /// # Errors
    /// As [`LiveSegments::transitions_after`].
    pub fn transitions_after(
        &self,
        after: u64,
        limit: usize,
        patience: Duration,
    ) -> Result<TransitionPage, SegmentsError> {
        match self.segments() {
            Some(segments) => segments.transitions_after(after, limit, patience),
            None => Ok(TransitionPage { transitions: Vec::new(), up_to: after }),
        }
    }

    /// Has the metrics page show how a destination's deliveries stand. A name is letters, digits, `_` and `-`.
    pub fn note_deliveries(&self, destination: &str, counts: DeliveryCounts) {
        self.deliveries.note(destination, counts);
    }

    /// Waits until it takes calls; false if it does not within `patience`, or has been stopped.
    ///
    /// # Errors
    /// The store did not open.
    pub fn wait_ready(&self, patience: Duration) -> Result<bool, ServerError> {
        let phase = self.life.wait(patience, |phase| phase.ready || phase.ended);
        phase.failed.clone().map_or(Ok(phase.ready && !phase.ended), Err)
    }

    /// Waits for its end; false if it has not ended within `patience`.
    ///
    /// # Errors
    /// The store did not open.
    pub fn wait(&self, patience: Duration) -> Result<bool, ServerError> {
        let phase = self.life.wait(patience, |phase| phase.ended);
        phase.failed.clone().map_or(Ok(phase.ended), Err)
    }

    /// Runs until `stop` says so (asked twenty times a second), drains, and ends.
    ///
    /// # Errors
    /// The store did not open.
    pub fn run_until(self, mut stop: impl FnMut() -> bool) -> Result<(), ServerError> {
        while !self.wait(ASK)? {
            if stop() {
                self.stopper.stop();
            }
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            // A panic in there has been reported on its own thread.
            let _ = thread.join();
        }
    }
}

impl Life {
    fn change(&self, change: impl FnOnce(&mut Phase)) {
        change(&mut self.phase.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn wait(&self, patience: Duration, until: impl Fn(&Phase) -> bool) -> std::sync::MutexGuard<'_, Phase> {
        let phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(phase, patience, |phase| !until(phase));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Everything a server needs to run.
struct Running {
    options: ServerOptions,
    access: Access,
    tls: Option<TlsAcceptor>,
    listener: TcpListener,
    metrics_page: Option<TcpListener>,
    stopping: watch::Receiver<bool>,
    life: Arc<Life>,
    deliveries: Arc<Deliveries>,
}

impl Running {
    fn run<B: Backend>(
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

struct EndOnDrop(Arc<Life>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.change(|phase| phase.ended = true);
    }
}

/// Twice as many threads as cores: a short call is answered on the thread that read it, and one user with a very long
/// history then holds up one thread of several while the system shares the cores among them.
fn runtime() -> io::Result<Runtime> {
    let cores = thread::available_parallelism().map_or(2, std::num::NonZero::get);
    Builder::new_multi_thread()
        .worker_threads((2 * cores).max(4))
        .max_blocking_threads(cores + 4)
        .thread_name("propense-grpc")
        .enable_all()
        .build()
}

fn resolve(text: &str) -> Result<SocketAddr, ServerError> {
    let problem = |source: io::Error| ServerError::Address { address: text.to_owned(), source: Arc::new(source) };
    let mut found = text.to_socket_addrs().map_err(problem)?;
    found.next().ok_or_else(|| problem(io::Error::new(io::ErrorKind::NotFound, "no such host")))
}

fn listen(address: SocketAddr) -> Result<TcpListener, ServerError> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|source| ServerError::Bind { address, source: Arc::new(source) })
}
