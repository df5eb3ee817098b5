//! A server from its port to its end.

use std::error::Error;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::{Arc, Weak};
use std::time::Duration;
use std::{io, thread};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::auth::Access;
use crate::backend::Backend;
use crate::deliveries::{Deliveries, DeliveryCounts};
use crate::error::ServerError;
use crate::life::Life;
use crate::options::ServerOptions;
use crate::running::Running;
use crate::segments::{LiveSegments, SegmentsError, TransitionPage};
use crate::tls::{acceptor, check_exposure};

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

/// As many threads as cores, two at least: they wait for nothing but calls, and what takes long has threads of its own.
fn runtime() -> io::Result<Runtime> {
    let cores = thread::available_parallelism().map_or(2, std::num::NonZero::get);
    Builder::new_multi_thread()
        .worker_threads(cores.max(2))
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
