//! Connections from accept to close: HTTP/2 with bounds on everything a peer can make large or long.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::answering::{Answering, Calls};
use crate::call::{Peer, PeerKind};
use crate::gate::Gate;
use crate::options::Limits;

/// After a failed accept (no descriptors left, say), how long to leave the listener alone.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A peer without calls that was told to go has so long to say goodbye; one that does not answer is hung up on.
const FAREWELL: Duration = Duration::from_secs(1);
/// What a stream, and a connection, may have on its way before the server has read it.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Accepts connections until told to stop, then lets what is under way end; ends when all connections have.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    gate: Arc<Gate>,
    limits: Limits,
    mut stopping: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        // A slot before the accept: beyond the limit, connections wait in the kernel's queue.
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (listener.accept().await, slot)
        };
        let (accepted, slot) = tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => break,
            accepted = accepted => accepted,
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, address)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let connection = Connection {
            gate: Arc::clone(&gate),
            limits: limits.clone(),
            stopping: stopping.clone(),
            peer: Peer::new(peer_kind(address, tls.is_some())),
        };
        let tls = tls.clone();
        connections.spawn(async move {
            connection.run(stream, tls).await;
            drop(slot);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

fn peer_kind(address: SocketAddr, tls: bool) -> PeerKind {
    match (address.ip().to_canonical().is_loopback(), tls) {
        (true, _) => PeerKind::Loopback,
        (false, false) => PeerKind::Remote,
        (false, true) => PeerKind::RemoteTls,
    }
}

struct Connection {
    gate: Arc<Gate>,
    limits: Limits,
    stopping: watch::Receiver<bool>,
    peer: Arc<Peer>,
}

impl Connection {
    async fn run(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let connections = &Arc::clone(&self.gate.metrics).connections;
        connections.fetch_add(1, Relaxed);
        match tls {
            None => self.serve(stream).await,
            Some(tls) => {
                if let Ok(Ok(stream)) = timeout(self.limits.first_call, tls.accept(stream)).await {
                    self.serve(stream).await;
                }
            }
        }
        connections.fetch_sub(1, Relaxed);
    }

    async fn serve(mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let calls = Calls::default();
        let service = {
            let (gate, peer, calls) = (Arc::clone(&self.gate), Arc::clone(&self.peer), calls.clone());
            service_fn(move |request: Request<Incoming>| {
                let answer = Arc::clone(&gate).call(&peer, &calls, request);
                async move { Ok::<_, Infallible>(answer.await) }
            })
        };
        let connection = self.protocol(calls.clone()).serve_connection(TokioIo::new(stream), service);
        let mut connection = Answering::new(connection, calls);
        let mut first_call = std::pin::pin!(sleep(self.limits.first_call));
        let mut age = std::pin::pin!(sleep(self.limits.connection_age));
        let mut farewell = interval(FAREWELL);
        let (mut waits_for_call, mut leaving) = (true, false);
        // An error of the connection concerns its peer; its calls have their own records.
        loop {
            tokio::select! {
                _ = &mut connection => return,
                () = self.peer.is_to_go() => return,
                _ = self.stopping.wait_for(|stop| *stop), if !leaving => {
                    connection.connection().graceful_shutdown();
                    farewell.reset();
                    leaving = true;
                }
                _ = farewell.tick(), if leaving => {
                    if self.peer.is_idle() {
                        return;
                    }
                }
                () = &mut first_call, if waits_for_call => {
                    if !self.peer.has_called() {
                        return;
                    }
                    waits_for_call = false;
                }
                () = &mut age, if !leaving => {
                    connection.connection().graceful_shutdown();
                    break;
                }
            }
        }
        tokio::select! {
            _ = timeout(self.limits.connection_grace, connection) => {}
            () = self.peer.is_to_go() => {}
        }
    }

    fn protocol(&self, calls: Calls) -> http2::Builder<Calls> {
        let mut protocol = http2::Builder::new(calls);
        protocol
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(self.limits.streams_per_connection)
            .max_header_list_size(self.limits.header_bytes)
            .keep_alive_interval(self.limits.keepalive)
            .keep_alive_timeout(self.limits.keepalive_timeout);
        protocol
    }
}
