//! A stream of transitions that never ends by itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::backend::Backend;
use crate::computing::compute;
use crate::error::ServiceError;
use crate::limits::Held;
use crate::proto::WatchTransitionsResponse;
use crate::segments::{LiveSegments, TransitionPage};
use crate::services::answers::Answers;
use crate::state::State;
use crate::status::of_segments;

/// Most transitions in one message.
const MESSAGE: usize = 1_000;
/// A stream that passes over all there is says this often how far it is.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Serves one stream.
pub(super) fn watch<B: Backend>(
    state: &Arc<State<B>>,
    live: &Arc<LiveSegments>,
    held: Held,
    segments: Vec<String>,
    after: Option<u64>,
) -> Result<ReceiverStream<Result<WatchTransitionsResponse, Status>>, ServiceError> {
    let last = live.last_transition();
    let after = after.unwrap_or(last);
    if after > last {
        return Err(ServiceError::TransitionsAhead { path: "after_number".to_owned(), last });
    }
    let (answers, stream) = Answers::new(4, state.limits.stalled_reader);
    tokio::spawn(follow(Arc::clone(state), Arc::downgrade(live), held, segments.into_iter().collect(), after, answers));
    Ok(stream)
}

/// Sends until nobody reads any more or the server stops. The segments are not kept alive by those who watch them.
async fn follow<B: Backend>(
    state: Arc<State<B>>,
    live: std::sync::Weak<LiveSegments>,
    held: Held,
    wanted: BTreeSet<String>,
    mut after: u64,
    mut answers: Answers<WatchTransitionsResponse>,
) {
    let (Some(mut told), _watcher) = (live.upgrade().map(|live| live.subscribe()), Watcher::new(&live)) else { return };
    let mut stopping = state.stopping.clone();
    let (mut sent_up_to, mut sent_at) = (None, Instant::now());
    loop {
        told.borrow_and_update();
        let reader = live.clone();
        let page = compute(held.clone(), move || {
            let live = reader.upgrade().ok_or(ServiceError::Stopping)?;
            live.page(after, MESSAGE).map_err(|error| of_segments(error, "after_number"))
        });
        let TransitionPage { mut transitions, up_to } = match page.await {
            Ok(page) => page,
            Err(error) => return answers.end(error.into()),
        };
        let is_wanted = |segment: &str| wanted.is_empty() || wanted.contains(segment);
        transitions.retain(|transition| is_wanted(&transition.segment));
        let is_due = sent_up_to.is_none_or(|sent| sent < up_to && sent_at.elapsed() >= SIGN_OF_LIFE);
        if !transitions.is_empty() || is_due {
            let transitions = transitions.iter().map(crate::segments::Transition::to_proto).collect();
            if !answers.send(WatchTransitionsResponse { transitions, up_to }).await {
                return;
            }
            (sent_up_to, sent_at) = (Some(up_to), Instant::now());
        }
        if up_to > after {
            after = up_to;
            continue;
        }
        let lags = sent_up_to.is_some_and(|sent| sent < up_to);
        tokio::select! {
            changed = told.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(SIGN_OF_LIFE), if lags => {}
            () = answers.closed() => return,
            () = stopped(&mut stopping) => return answers.end(ServiceError::Stopping.into()),
        }
    }
}

/// Waits until the server is to stop.
async fn stopped(stopping: &mut tokio::sync::watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Counts a stream for as long as it is there.
struct Watcher(std::sync::Weak<LiveSegments>);

impl Watcher {
    fn new(live: &std::sync::Weak<LiveSegments>) -> Self {
        if let Some(live) = live.upgrade() {
            live.watchers().fetch_add(1, Relaxed);
        }
        Self(live.clone())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(live) = self.0.upgrade() {
            live.watchers().fetch_sub(1, Relaxed);
        }
    }
}
