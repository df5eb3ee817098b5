//! What is too large, too late or too much, and what a caller who goes away leaves behind.

#![allow(clippy::expect_used)]

mod served;

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use propense_server::proto::event_service_client::EventServiceClient;
use propense_server::proto::{
    BatchScoreUsersRequest, Event, ExportUserRequest, IngestEventsRequest, ScoreUserRequest, StreamEventsRequest,
    StreamScoresRequest, stream_events_response,
};
use prost::Message;
use served::{PATIENCE, Peer, Served, event, framed};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_types::StatusExt;

const QUICK_FREE: &str = r#"propense_call_places_free{class="quick"}"#;
const WRITE_FREE: &str = r#"propense_call_places_free{class="write"}"#;
const BULK_FREE: &str = r#"propense_call_places_free{class="bulk"}"#;
const BATCH_FREE: &str = r#"propense_call_places_free{class="batch"}"#;

fn score(user: &str) -> ScoreUserRequest {
    ScoreUserRequest { user_id: user.to_owned(), ..ScoreUserRequest::default() }
}

fn batch(users: usize) -> BatchScoreUsersRequest {
    BatchScoreUsersRequest { user_ids: (0..users).map(|n| format!("u{n}")).collect(), ..Default::default() }
}

async fn ingest(served: &Served, user: &str) {
    let request = IngestEventsRequest { events: vec![event(user, 1_000, "purchase", 1.0)], ..Default::default() };
    served.events().await.ingest_events(request).await.expect("ingested");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_beyond_the_methods_limit_is_refused() {
    let served = Served::with(|options| {
        options.limits.message_bytes = 2_000;
        options.limits.batch_bytes = 20_000;
    });
    let mut scoring = served.scoring().await;
    let small = scoring.score_user(score(&"x".repeat(1_000))).await.expect_err("unknown");
    assert_eq!(small.code(), Code::NotFound);
    let large = scoring.score_user(score(&"x".repeat(2_000))).await.expect_err("too large");
    let reason = large.get_details_error_info().expect("details").reason;
    assert_eq!((large.code(), reason.as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
    // gRPC's clients are told not to try that again.
    assert_eq!(large.metadata().get("grpc-retry-pushback-ms").and_then(|told| told.to_str().ok()), Some("-1"));
    // A method for batches takes more, and not without end.
    scoring.batch_score_users(batch(1_000)).await.expect("fits");
    let large = scoring.batch_score_users(batch(5_000)).await.expect_err("too large");
    assert_eq!(large.code(), Code::ResourceExhausted);
    let mut events = served.events().await;
    let many = IngestEventsRequest { arrow_ipc: vec![0; 30_000].into(), ..Default::default() };
    assert_eq!(events.ingest_events(many).await.expect_err("too large").code(), Code::ResourceExhausted);
    // The connection lives on.
    scoring.batch_score_users(batch(10)).await.expect("fits");
}

#[tokio::test(flavor = "multi_thread")]
async fn small_messages_that_would_become_large_are_refused() {
    let served = Served::with(|_| {});
    let mut events = served.events().await;
    // Two bytes each, and more than a hundred in memory.
    let empty = |count| IngestEventsRequest { events: vec![Event::default(); count], ..Default::default() };
    let few = events.ingest_events(empty(200_000)).await.expect_err("too many rows");
    assert!(few.message().contains("at most 100000 rows"), "{}", few.message());
    let many = events.ingest_events(empty(1_000_000)).await.expect_err("too many fields");
    let reason = many.get_details_error_info().expect("details").reason;
    assert_eq!((many.code(), reason.as_str()), (Code::InvalidArgument, "TOO_MANY_FIELDS"));
    let ids = BatchScoreUsersRequest { user_ids: vec![String::new(); 1_000_000], ..Default::default() };
    let many = served.scoring().await.batch_score_users(ids).await.expect_err("too many fields");
    assert_eq!(many.code(), Code::InvalidArgument);
    ingest(&served, "anna").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_long_events_is_of_small_messages() {
    let served = Served::with(|_| {});
    let user_id = "x".repeat(1_024);
    let events = (1..=2_000).map(|second| event(&user_id, second, "read", 1.0)).collect();
    let request = IngestEventsRequest { events, ..Default::default() };
    served.events().await.ingest_events(request).await.expect("ingested");
    let request = ExportUserRequest { user_id };
    let export = served.users().await.export_user(request).await.expect("begun").into_inner();
    let parts: Vec<_> = export.map(|part| part.expect("no error")).collect().await;
    assert_eq!(parts.iter().map(|part| part.events.len()).sum::<usize>(), 2_000);
    assert!(parts.iter().all(|part| part.encoded_len() < (1 << 20) + 5_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_arrive_together_share_a_bound_of_memory() {
    let served = Served::with(|options| options.limits.request_memory = 64 << 10);
    let mut scoring = served.scoring().await;
    let too_much = BatchScoreUsersRequest { user_ids: vec!["x".repeat(1_000); 200], ..Default::default() };
    let refused = scoring.batch_score_users(too_much).await.expect_err("more than all requests may hold");
    assert_eq!(refused.get_details_error_info().expect("details").reason, "OVERLOADED");
    // What it held is free again.
    for _ in 0..5 {
        let fits = BatchScoreUsersRequest { user_ids: vec!["x".repeat(1_000); 50], ..Default::default() };
        scoring.batch_score_users(fits).await.expect("fits");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_beyond_the_limit_are_refused() {
    let served = Served::start();
    let mut scoring = served.scoring().await;
    let with_header = |bytes: usize| {
        let mut request = Request::new(score("nobody"));
        request.metadata_mut().insert("x-large", "h".repeat(bytes).parse().expect("a header"));
        request
    };
    assert_eq!(scoring.score_user(with_header(8 << 10)).await.expect_err("unknown").code(), Code::NotFound);
    let refused = scoring.score_user(with_header(17 << 10)).await.expect_err("too large");
    assert_ne!(refused.code(), Code::NotFound);
    assert_eq!(scoring.score_user(score("nobody")).await.expect_err("unknown").code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_unary_calls_and_streams() {
    let served = Served::start();
    ingest(&served, "a").await;
    served.knobs.hold_writes.store(true, SeqCst);
    // The client library would end the call by itself; this peer leaves it to the server.
    let mut peer = Peer::connect(&served).await;
    let deadline = [("grpc-timeout", "200m")];
    let late = IngestEventsRequest { events: vec![event("b", 1, "view", 1.0)], ..Default::default() };
    let began = Instant::now();
    let ended = peer.unary("/propense.v1.EventService/IngestEvents", &deadline, framed(&late)).await;
    let reason = ended.get_details_error_info().expect("details").reason;
    assert_eq!((ended.code(), reason.as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert!((200..30_000).contains(&began.elapsed().as_millis()));

    // A stream whose client has begun, and sends nothing more.
    let (sender, body) = tokio::sync::mpsc::channel(1);
    let batch = StreamEventsRequest { sequence: 1, batch: Some(late) };
    sender.send(framed(&batch)).await.expect("room");
    let began = Instant::now();
    let ended = peer.call("/propense.v1.EventService/StreamEvents", &deadline, ReceiverStream::new(body)).await;
    assert_eq!(ended.code(), Code::DeadlineExceeded, "{ended:?}");
    assert!((200..30_000).contains(&began.elapsed().as_millis()));
    drop(sender);
    served.knobs.hold_writes.store(false, SeqCst);
    served.metric_becomes(BULK_FREE, 64.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_cannot_be_read_is_an_error() {
    let served = Served::start();
    for value in ["soon", "5", "-1S", "123456789S"] {
        let mut request = Request::new(score("nobody"));
        request.metadata_mut().insert("grpc-timeout", value.parse().expect("a header"));
        let refused = served.scoring().await.score_user(request).await.expect_err("unreadable");
        assert_eq!(refused.code(), Code::InvalidArgument, "{value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn overload_is_refused_at_once_and_ends() {
    let served = Served::with(|options| options.limits.batch_calls = 2);
    ingest(&served, "a").await;
    // Until the others were refused, however slow the machine is.
    served.knobs.score_ms.store(30_000, SeqCst);
    let scoring = served.scoring().await;
    let mut calls = Vec::new();
    for _ in 0..2 {
        let mut scoring = scoring.clone();
        calls.push(tokio::spawn(async move { scoring.batch_score_users(batch(1)).await }));
    }
    served.metric_becomes(BATCH_FREE, 0.0).await;
    for _ in 0..20 {
        let began = Instant::now();
        let refused = scoring.clone().batch_score_users(batch(1)).await.expect_err("full");
        let (took, details) = (began.elapsed(), refused.get_error_details());
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(details.error_info().expect("details").reason, "OVERLOADED");
        assert!(details.retry_info().expect("when to come back").retry_delay.is_some());
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
    // Other classes go on.
    served.users().await.get_user(propense_server::proto::GetUserRequest { user_id: "a".into() }).await.expect("quick");
    served.knobs.score_ms.store(0, SeqCst);
    for call in calls {
        call.await.expect("no panic").expect("accepted calls succeed");
    }
    served.metric_becomes(BATCH_FREE, 2.0).await;
    scoring.clone().batch_score_users(batch(1)).await.expect("as before");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_for_a_thread_hold_places() {
    let served = Served::with(|options| options.limits.quick_calls = 8);
    ingest(&served, "a").await;
    // Longer than it takes to send all of them, on a slow machine too. The threads that read calls are those that score.
    served.knobs.score_ms.store(1_000, SeqCst);
    let scoring = served.scoring().await;
    let ask = |_| {
        let mut scoring = scoring.clone();
        tokio::spawn(async move { scoring.score_user(score("a")).await.map_err(|refused| refused.code()) })
    };
    let calls: Vec<_> = (0..100).map(ask).collect();
    let (mut answered, mut refused) = (0, 0);
    for call in calls {
        match call.await.expect("no panic") {
            Ok(_) => answered += 1,
            Err(code) => {
                assert_eq!(code, Code::ResourceExhausted);
                refused += 1;
            }
        }
    }
    assert!(answered >= 8 && refused >= 60, "{answered} answered, {refused} refused");
    served.metric_becomes(QUICK_FREE, 8.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_wait_for_the_disk_keep_no_reader_out() {
    let served = Served::with(|options| {
        options.limits.quick_calls = 1;
        options.limits.write_calls = 2;
    });
    ingest(&served, "a").await;
    served.knobs.hold_writes.store(true, SeqCst);
    let write = async |mut events: EventServiceClient<Channel>, user: &str| {
        let request = IngestEventsRequest { events: vec![event(user, 1, "view", 1.0)], ..Default::default() };
        events.ingest_events(request).await.map(|_| ()).map_err(|refused| refused.code())
    };
    let events = served.events().await;
    let (first, second) = (write(events.clone(), "b"), write(events.clone(), "c"));
    let others = async {
        served.metric_becomes(WRITE_FREE, 0.0).await;
        served.scoring().await.score_user(score("a")).await.expect("a reader waits for no disk");
        assert_eq!(write(events.clone(), "d").await, Err(Code::ResourceExhausted));
        served.knobs.hold_writes.store(false, SeqCst);
    };
    assert_eq!(tokio::join!(first, second, others), (Ok(()), Ok(()), ()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_behind_refuses_calls_and_slows_streams() {
    let served = Served::start();
    served.knobs.busy.store(true, SeqCst);
    let request = || IngestEventsRequest { events: vec![event("a", 1, "view", 1.0)], ..Default::default() };
    let refused = served.events().await.ingest_events(request()).await.expect_err("busy");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(refused.get_details_error_info().expect("details").reason, "STORE_BUSY");

    let batches = (0..3).map(move |sequence| StreamEventsRequest { sequence, batch: Some(request()) });
    let stream = served.events().await.stream_events(tokio_stream::iter(batches)).await.expect("begun");
    let mut acknowledgements = stream.into_inner();
    let early = tokio::time::timeout(Duration::from_millis(300), acknowledgements.message()).await;
    assert!(early.is_err(), "a batch was answered while the store was behind: {early:?}");
    served.knobs.busy.store(false, SeqCst);
    for sequence in 0..3 {
        let answer = acknowledgements.message().await.expect("no error").expect("an answer");
        assert_eq!(answer.sequence, sequence);
        assert!(matches!(answer.result, Some(stream_events_response::Result::Receipt(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_reads_no_further_than_its_window() {
    let served = Served::with(|options| options.limits.stream_window = 4);
    served.knobs.hold_writes.store(true, SeqCst);
    let batches = (0..50).map(|sequence| {
        let events = vec![event("a", sequence as i64, "view", 1.0)];
        StreamEventsRequest { sequence, batch: Some(IngestEventsRequest { events, ..Default::default() }) }
    });
    let mut events = served.events().await;
    let stream = events.stream_events(tokio_stream::iter(batches)).await.expect("begun");
    let began = Instant::now();
    while served.knobs.submitted.load(SeqCst) == 0 && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    let under_way = served.knobs.submitted.load(SeqCst);
    assert!((1..=5).contains(&under_way), "{under_way} batches are with the store");
    served.knobs.hold_writes.store(false, SeqCst);
    let answers: Vec<_> = stream.into_inner().map(|answer| answer.expect("no error").sequence).collect().await;
    assert_eq!(answers, (0..50).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_calls_leave_nothing_behind_and_nothing_half_done() {
    let served = Served::start();
    let places = [(WRITE_FREE, served.metric(WRITE_FREE).await), (BULK_FREE, served.metric(BULK_FREE).await)];
    let mut calls = Vec::new();
    for n in 0..60_u64 {
        let (mut events, mut scoring) = (served.events().await, served.scoring().await);
        calls.push(tokio::spawn(async move {
            let batch = (0..100).map(|k| event(&format!("user {n}"), k, "view", 1.0)).collect();
            let request = IngestEventsRequest { events: batch, ..Default::default() };
            match n % 3 {
                0 => drop(events.ingest_events(request).await),
                1 => {
                    let requests =
                        (0..10).map(move |k| StreamEventsRequest { sequence: k, batch: Some(request.clone()) });
                    if let Ok(answers) = events.stream_events(tokio_stream::iter(requests)).await {
                        let _ = answers.into_inner().collect::<Vec<_>>().await;
                    }
                }
                _ => {
                    let request =
                        StreamScoresRequest { model: "buys_again".into(), batch_rows: 1, ..Default::default() };
                    if let Ok(answers) = scoring.stream_scores(request).await {
                        let _ = answers.into_inner().collect::<Vec<_>>().await;
                    }
                }
            }
        }));
        // Cut off at all sorts of points, the same in every run as far as a scheduler allows.
        tokio::time::sleep(Duration::from_micros(n * 97 % 3_000)).await;
        if n % 4 != 0 {
            calls[n as usize].abort();
        }
    }
    for call in calls {
        let _ = call.await;
    }
    for (row, expected) in places {
        served.metric_becomes(row, expected).await;
    }
    let mut users = served.users().await;
    for n in 0..60 {
        let user = propense_server::proto::GetUserRequest { user_id: format!("user {n}") };
        match users.get_user(user).await {
            Ok(found) => assert_eq!(found.into_inner().events, 100, "user {n}"),
            Err(status) => assert_eq!(status.code(), Code::NotFound),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_call_is_hung_up_on() {
    use tokio::io::AsyncReadExt;
    let served = Served::with(|options| options.limits.first_call = Duration::from_millis(1_500));
    let mut silent = tokio::net::TcpStream::connect(served.server().address()).await.expect("a connection");
    let mut answer = Vec::new();
    let hung_up = tokio::time::timeout(PATIENCE, silent.read_to_end(&mut answer)).await;
    assert!(hung_up.is_ok(), "the connection stays");
    // One with a call stays.
    let mut scoring = served.scoring().await;
    for _ in 0..2 {
        assert_eq!(scoring.score_user(score("nobody")).await.expect_err("unknown").code(), Code::NotFound);
        tokio::time::sleep(Duration::from_millis(1_600)).await;
    }
    served.metric_becomes("propense_connections", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_connection_is_closed_and_its_client_goes_on() {
    let served = Served::with(|options| options.limits.connection_age = Duration::from_millis(300));
    let mut scoring = served.scoring().await;
    let began = Instant::now();
    let (mut answers, mut unsent) = (0, 0);
    while began.elapsed() < Duration::from_secs(2) || (answers < 50 && began.elapsed() < PATIENCE) {
        let status = scoring.score_user(score("nobody")).await.expect_err("unknown");
        // A call that the client had not sent when the connection ended is the client's to send again.
        let of_client = std::error::Error::source(&status).is_some();
        assert!(of_client || status.code() == Code::NotFound, "{status:?}");
        *if of_client { &mut unsent } else { &mut answers } += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Every 300 ms a connection came and went, each of them at most one call's.
    let connections = began.elapsed().as_millis() / 300;
    assert!(unsent <= connections + 4 && answers >= 50, "{answers} answers, {unsent} calls not sent");
    served.metric_becomes("propense_connections", 1.0).await;
}
