//! Which calls the task of a connection answers itself, and what becomes of the others meanwhile.

#![allow(clippy::expect_used)]

mod served;

use std::sync::atomic::Ordering::SeqCst;

use propense_server::proto::event_service_client::EventServiceClient;
use propense_server::proto::scoring_service_client::ScoringServiceClient;
use propense_server::proto::{IngestEventsRequest, ScoreUserRequest};
use served::{PATIENCE, Served, event};
use tokio::time::{sleep, timeout};
use tonic::Code;

/// More than one call looks at on a thread that serves connections.
const MANY: i64 = 8_200;

fn score(user: &str) -> ScoreUserRequest {
    ScoreUserRequest { user_id: user.to_owned(), ..ScoreUserRequest::default() }
}

async fn with_events(served: &Served, user: &str, count: i64) {
    let events = (0..count).map(|second| event(user, second, "purchase", 1.0)).collect();
    let mut service = EventServiceClient::new(served.channel().await);
    let request = IngestEventsRequest { events, ..Default::default() };
    service.ingest_events(request).await.expect("ingested");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_history_holds_up_nobody_on_its_connection() {
    let served = Served::start();
    with_events(&served, "long", MANY).await;
    with_events(&served, "short", 3).await;
    let scoring = ScoringServiceClient::new(served.channel().await);
    *served.knobs.held_user.lock().expect("a user") = Some("long".to_owned());
    let mut held = scoring.clone();
    let held = tokio::spawn(async move { held.score_user(score("long")).await });
    timeout(PATIENCE, async {
        while served.knobs.scorings.load(SeqCst) == 0 {
            sleep(std::time::Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("it is scored");
    for _ in 0..20 {
        let answer = timeout(PATIENCE, scoring.clone().score_user(score("short"))).await.expect("it waits for nobody");
        let answer = answer.expect("scored").into_inner();
        assert_eq!(answer.scores[0].score.as_ref().map(|score| score.score), Some(0.75));
    }
    assert!(!held.is_finished());
    *served.knobs.held_user.lock().expect("a user") = None;
    let answer = held.await.expect("it ends").expect("scored").into_inner();
    let expected = MANY as f32 / (MANY as f32 + 1.0);
    assert_eq!(answer.scores[0].score.as_ref().map(|score| score.score), Some(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_breaks_down_takes_no_other_along() {
    let served = Served::start();
    with_events(&served, "a", 1).await;
    let mut scoring = ScoringServiceClient::new(served.channel().await);
    for _ in 0..3 {
        served.knobs.panics.store(true, SeqCst);
        let (first, second) = (scoring.clone(), scoring.clone());
        let broken = async |mut scoring: ScoringServiceClient<_>| scoring.score_user(score("a")).await;
        let (first, second) = tokio::join!(broken(first), broken(second));
        for ended in [first, second] {
            assert_ne!(ended.expect_err("it broke down").code(), Code::Unavailable, "the connection lives");
        }
        served.knobs.panics.store(false, SeqCst);
        scoring.score_user(score("a")).await.expect("the same connection");
    }
    served.metric_becomes("propense_connections", 1.0).await;
}
