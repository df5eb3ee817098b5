//! What every call passes: its record, its token, its place among the limits, its deadline.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::Service;

use crate::answering::Calls;
use crate::auth::{Access, Scope};
use crate::call::{Call, Peer};
use crate::call_body::CallBody;
use crate::error::ServiceError;
use crate::instants::now_us;
use crate::limits::{Held, Room, Unread, deadline};
use crate::log::LogLines;
use crate::methods::{Class, METHODS, find};
use crate::metrics::Metrics;
use crate::request_body::{RequestBody, RequestMemory};

/// In front of all services.
pub(crate) struct Gate {
    pub(crate) routes: Routes,
    pub(crate) access: Access,
    pub(crate) room: Arc<Room>,
    pub(crate) memory: RequestMemory,
    pub(crate) message_bytes: usize,
    pub(crate) batch_bytes: usize,
    /// How long a large answer may wait to be read.
    pub(crate) stalled_reader: Duration,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) log: LogLines,
    /// True once the server is to stop.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Gate {
    /// Answers one call, which is handed over to `calls` next. Whether there is a place for it is settled at once, not when
    /// its turn comes: calls that wait for a thread hold places too, and more than may wait are refused.
    pub(crate) fn call(
        self: Arc<Self>,
        peer: &Arc<Peer>,
        calls: &Calls,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Response<CallBody>> + Send + use<> {
        let method = find(request.uri().path());
        let mut call = Call::begin(method, peer, &self.metrics, &self.log);
        let admitted = self.admit(method, &request);
        if admitted.is_err() {
            calls.next_is_answered();
        }
        let peer = Arc::clone(peer);
        async move {
            let (held, deadline) = match admitted {
                Ok(admitted) => admitted,
                Err(error) => return refused(call, error),
            };
            // Held here until the answer is made, and by those who make a stream until its end: an answer that a client does
            // not read keeps nobody out.
            request.extensions_mut().insert(held.clone());
            let batch = method.is_some_and(|place| METHODS[place].batch);
            let message_limit = if batch { self.batch_bytes } else { self.message_bytes };
            let request = request.map(|body| Body::new(RequestBody::new(body, message_limit, &self.memory)));
            let answer = self.route(request);
            let mut response = match deadline {
                None => answer.await,
                Some(at) => match timeout_at(at, answer).await {
                    Ok(response) => response,
                    Err(_) => return refused(call, ServiceError::DeadlineExceeded),
                },
            };
            drop(held);
            call.note(response.headers());
            let unread = response.extensions_mut().remove::<Unread>();
            let unread = unread.map(|unread| peer.hang_up_unless_read(unread, self.stalled_reader));
            let endless = method.is_some_and(|place| matches!(METHODS[place].class, Class::Free | Class::Watch));
            let stopping = endless.then(|| self.stopping.clone());
            response.map(|body| CallBody::new(body, call).until(deadline).until_stop(stopping).while_unread(unread))
        }
    }

    fn admit(
        &self,
        method: Option<usize>,
        request: &Request<Incoming>,
    ) -> Result<(Held, Option<Instant>), ServiceError> {
        let method = method.map(|place| &METHODS[place]);
        // What is not in the table needs the widest scope before it is told that there is no such method.
        if let Some(scope) = method.map_or(Some(Scope::Admin), |method| method.scope) {
            self.access.check(request.headers(), scope, now_us() / 1_000_000)?;
        }
        let place = self.room.take(method.map_or(Class::Quick, |method| method.class))?;
        Ok((place, deadline(request.headers())?))
    }

    async fn route(&self, request: Request<Body>) -> Response<Body> {
        let mut routes = self.routes.clone();
        match poll_fn(|context| Service::<Request<Body>>::poll_ready(&mut routes, context)).await {
            Ok(()) => match routes.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
            Err(never) => match never {},
        }
    }
}

fn refused(mut call: Call, error: ServiceError) -> Response<CallBody> {
    let status = Status::from(error);
    call.ends_with(status.code());
    status.into_http::<Body>().map(|body| CallBody::new(body, call))
}
