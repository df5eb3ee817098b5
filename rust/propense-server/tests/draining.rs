//! From not ready to ready to the end.

#![allow(clippy::expect_used)]

mod served;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use propense_server::proto::{
    IngestEventsRequest, ListModelsRequest, ScoreUserRequest, StreamEventsRequest, stream_events_response,
};
use propense_server::{Server, ServerError, ServerOptions};
use served::{Fake, PATIENCE, Served, event};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

const SCORING: &str = "propense.v1.ScoringService";

async fn health(served: &Served, service: &str) -> ServingStatus {
    let mut client = HealthClient::new(served.channel().await);
    let answer = client.check(HealthCheckRequest { service: service.to_owned() }).await.expect("an answer");
    answer.into_inner().status()
}

fn ingest(n: i64) -> IngestEventsRequest {
    IngestEventsRequest { events: vec![event("a", n, "view", 1.0)], ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_only_once_the_store_is_open() {
    let (open, opened) = channel::<()>();
    let served = Served::starting(|_| {}, move || opened.recv().expect("told to open"));
    assert!(!served.server().wait_ready(Duration::from_millis(50)).expect("no failure"));
    for service in ["", SCORING] {
        assert_eq!(health(&served, service).await, ServingStatus::NotServing);
    }
    let early = served.models().await.list_models(ListModelsRequest {}).await.expect_err("not yet");
    assert_eq!(early.code(), Code::Unavailable);
    let early = served.events().await.ingest_events(ingest(1)).await.expect_err("not yet");
    assert_eq!(early.code(), Code::Unavailable);
    open.send(()).expect("it waits");
    assert!(served.server().wait_ready(PATIENCE).expect("no failure"));
    for service in ["", SCORING] {
        assert_eq!(health(&served, service).await, ServingStatus::Serving);
    }
    served.models().await.list_models(ListModelsRequest {}).await.expect("served");
}

#[test]
fn a_store_that_does_not_open_is_told() {
    let models = tempfile::TempDir::new().expect("a folder");
    let server = Server::bind(ServerOptions::new(models.path()), || -> Result<Fake, Box<dyn Error + Send + Sync>> {
        Err("wal/000001.wal: corrupt at byte 17".into())
    });
    let server = server.expect("the port opens");
    let error = server.wait_ready(PATIENCE).expect_err("it does not open");
    assert!(matches!(&error, ServerError::Open(_)) && error.to_string().contains("byte 17"), "{error}");
    assert!(server.wait(PATIENCE).is_err(), "and it ends");
}

#[test]
fn a_store_that_opens_with_a_panic_is_told_too() {
    let models = tempfile::TempDir::new().expect("a folder");
    let server = Server::bind(ServerOptions::new(models.path()), || -> Result<Fake, Box<dyn Error + Send + Sync>> {
        panic!("a defect")
    });
    assert!(server.expect("the port opens").wait_ready(PATIENCE).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_finishes_what_is_under_way_and_takes_nothing_new() {
    let served = Served::with(|options| options.drain = PATIENCE);
    let mut watch = HealthClient::new(served.channel().await);
    let watch = watch.watch(HealthCheckRequest { service: SCORING.to_owned() }).await.expect("a watch");
    let mut watch = watch.into_inner();
    assert_eq!(watch.message().await.expect("one").expect("one").status(), ServingStatus::Serving);

    served.knobs.hold_writes.store(true, SeqCst);
    let mut calls = Vec::new();
    for n in 0..10 {
        let mut events = served.events().await;
        calls.push(tokio::spawn(async move { events.ingest_events(ingest(n)).await }));
    }
    // A stream with one batch under way and a client that would go on.
    let (batches, to_send) = mpsc::channel(4);
    batches.send(StreamEventsRequest { sequence: 7, batch: Some(ingest(100)) }).await.expect("sent");
    let stream = served.events().await.stream_events(ReceiverStream::new(to_send)).await.expect("begun");
    let mut stream = stream.into_inner();
    while served.knobs.submitted.load(SeqCst) < 11 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    let address = served.server().address();
    served.server().stopper().stop();
    let mut told = Vec::new();
    let status = loop {
        match watch.message().await {
            Ok(Some(answer)) => told.push(answer.status()),
            Ok(None) => break Code::Ok,
            Err(status) => break status.code(),
        }
    };
    assert_eq!(told, [ServingStatus::NotServing]);
    assert_eq!(status, Code::Unavailable, "the watch does not hold the server up");
    while std::net::TcpStream::connect(address).is_ok() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(!served.server().wait(Duration::from_millis(300)).expect("no failure"), "it waits for the calls");
    served.knobs.hold_writes.store(false, SeqCst);
    for call in calls {
        let receipt = call.await.expect("no panic").expect("accepted calls succeed").into_inner().receipt;
        assert_eq!(receipt.expect("a receipt").accepted, 1);
    }
    let answer = stream.message().await.expect("acknowledged").expect("acknowledged");
    assert_eq!(answer.sequence, 7);
    assert!(matches!(answer.result, Some(stream_events_response::Result::Receipt(_))));
    assert_eq!(stream.message().await.expect_err("the server stops").code(), Code::Unavailable);
    let began = Instant::now();
    assert!(served.server().wait(PATIENCE).expect("no failure"));
    assert!(began.elapsed() < PATIENCE / 3, "well before the deadline: {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_does_not_hold_it_beyond_the_deadline() {
    let served = Served::with(|options| options.drain = Duration::from_millis(500));
    // One call that never ends, one connection that never says anything.
    served.knobs.hold_writes.store(true, SeqCst);
    let mut events = served.events().await;
    let hung = tokio::spawn(async move { events.ingest_events(ingest(1)).await });
    let silent = std::net::TcpStream::connect(served.server().address()).expect("a connection");
    while served.knobs.submitted.load(SeqCst) < 1 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let began = Instant::now();
    served.server().stopper().stop();
    assert!(served.server().wait(PATIENCE).expect("no failure"));
    let took = began.elapsed();
    assert!((500..20_000).contains(&took.as_millis()), "{took:?}");
    assert!(hung.await.expect("no panic").is_err());
    served.knobs.hold_writes.store(false, SeqCst);
    drop(silent);
}

#[test]
fn an_idle_client_that_does_not_answer_is_hung_up_on_early() {
    let served = Served::with(|options| options.drain = PATIENCE);
    // A runtime of one thread that is not run again: the client neither answers nor hangs up.
    let frozen = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = frozen.block_on(async {
        let mut models = served.models().await;
        models.list_models(ListModelsRequest {}).await.expect("listed");
        models
    });
    let began = Instant::now();
    served.server().stopper().stop();
    assert!(served.server().wait(PATIENCE).expect("no failure"));
    assert!(began.elapsed() < PATIENCE / 3, "{:?}", began.elapsed());
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_under_load_fails_no_call_that_was_accepted() {
    let served = Arc::new(Served::start());
    served.events().await.ingest_events(ingest(1)).await.expect("ingested");
    served.knobs.score_ms.store(3, SeqCst);
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut scoring = served.scoring().await;
        clients.push(tokio::spawn(async move {
            let mut answered = 0;
            loop {
                let request = ScoreUserRequest { user_id: "a".to_owned(), ..ScoreUserRequest::default() };
                match scoring.score_user(request).await {
                    Ok(_) => answered += 1,
                    // Only what says that the call never began: a channel that cannot connect any more.
                    Err(status) => return (answered, status),
                }
            }
        }));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    served.server().stopper().stop();
    let scorings = || served.knobs.scorings.load(SeqCst);
    let mut answered = 0;
    for client in clients {
        let (answers, status) = client.await.expect("no panic");
        // Said by the client's own side, which could not send it any more, or by the server before the call began.
        let of_client = std::error::Error::source(&status).is_some();
        assert!(of_client || status.code() == Code::Unavailable, "{status:?}");
        answered += answers;
    }
    assert!(served.server().wait(PATIENCE).expect("no failure"));
    assert_eq!(answered, scorings(), "every call that was worked on was answered");
}

#[test]
fn run_until_ends_when_told() {
    let models = tempfile::TempDir::new().expect("a folder");
    let server = Server::bind(ServerOptions::new(models.path()), || Ok(Fake::new(Arc::default()))).expect("bound");
    let mut asked = 0;
    let ended = server.run_until(|| {
        asked += 1;
        asked > 3
    });
    ended.expect("no failure");
    assert!(asked >= 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_broke_down_is_not_called_healthy() {
    let served = Served::start();
    assert_eq!(health(&served, "").await, ServingStatus::Serving);
    served.knobs.broken.store(true, SeqCst);
    let until = Instant::now() + PATIENCE;
    while health(&served, "").await == ServingStatus::Serving {
        assert!(Instant::now() < until, "it is said to be serving");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(health(&served, "propense.v1.EventService").await, ServingStatus::NotServing);
}
