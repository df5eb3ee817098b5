//! Peers that mean harm hurt themselves only.

#![allow(clippy::expect_used)]

mod served;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use propense_server::ServerOptions;
use propense_server::proto::{BatchScoreUsersRequest, IngestEventsRequest, ScoreUserRequest, StreamScoresRequest};
use served::{PATIENCE, Peer, Served, event, framed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::Code;
use tonic_types::StatusExt;

const QUICK_FREE: &str = r#"propense_call_places_free{class="quick"}"#;
const BATCH: &str = "/propense.v1.ScoringService/BatchScoreUsers";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
/// Less than anything here goes on, and more than a slow machine takes.
const AT_ONCE: Duration = Duration::from_secs(10);

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The headers of a call, in HPACK without any tables.
fn call(path: &str) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let literal = |name: &str, value: &str| [vec![0], text(name), text(value)].concat();
    let own = [vec![0x83, 0x86, 0x04], text(path), vec![0x01], text("here")].concat();
    [own, literal("content-type", "application/grpc"), literal("te", "trailers")].concat()
}

/// A connection that speaks HTTP/2 by hand.
async fn speak(served: &Served, settings: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(served.server().address()).await.expect("a connection");
    let hello = [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat();
    stream.write_all(&hello).await.expect("sent");
    stream
}

async fn ingest(served: &Served) {
    let request = IngestEventsRequest { events: vec![event("a", 1, "view", 1.0)], ..Default::default() };
    served.events().await.ingest_events(request).await.expect("ingested");
}

/// That others are served, and how long the slowest of some calls took.
async fn slowest_of_others(served: &Served) -> Duration {
    let mut scoring = served.scoring().await;
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let began = Instant::now();
        scoring.score_user(ScoreUserRequest { user_id: "a".into(), ..Default::default() }).await.expect("served");
        slowest = slowest.max(began.elapsed());
    }
    slowest
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_begun_and_reset_are_stopped() {
    let served = Served::start();
    ingest(&served).await;
    let before = served.metric("process_resident_memory_bytes").await;
    let free_before = served.metric(QUICK_FREE).await;
    let mut stream = speak(&served, &[]).await;
    let headers = call("/propense.v1.ScoringService/ScoreUser");
    let flood: Vec<u8> = (0..20_000_u32)
        .flat_map(|n| {
            let id = 2 * n + 1;
            [frame(HEADERS, 4, id, &headers), frame(RESET, 0, id, &8_u32.to_be_bytes())].concat()
        })
        .collect();
    let (mut reader, mut writer) = stream.split();
    let (_, said) = tokio::join!(writer.write_all(&flood), async {
        let mut said = Vec::new();
        let end = timeout(PATIENCE, reader.read_to_end(&mut said)).await;
        (end.is_ok(), said)
    });
    assert!(said.0, "the server hangs up");
    assert!(slowest_of_others(&served).await < AT_ONCE);
    served.metric_becomes(QUICK_FREE, free_before).await;
    let grown = served.metric("process_resident_memory_bytes").await - before;
    assert!(grown < 64e6, "{grown} bytes more");
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_without_end_and_without_reading_hold_up_nobody() {
    let served = Served::start();
    ingest(&served).await;
    let before = served.metric("process_resident_memory_bytes").await;
    let mut stream = speak(&served, &[]).await;
    let pings: Vec<u8> = (0..1_000).flat_map(|_| frame(PING, 0, 0, &[7; 8])).collect();
    let served_others = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&served_others);
    let flood = tokio::spawn(async move {
        // As long as the others call, too.
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2) || (!told.load(SeqCst) && began.elapsed() < PATIENCE) {
            // Blocked or hung up on: either is well.
            if !matches!(timeout(Duration::from_millis(500), stream.write_all(&pings)).await, Ok(Ok(()))) {
                break;
            }
        }
        stream
    });
    assert!(slowest_of_others(&served).await < AT_ONCE);
    served_others.store(true, SeqCst);
    let _stream = flood.await.expect("no panic");
    let grown = served.metric("process_resident_memory_bytes").await - before;
    assert!(grown < 64e6, "{grown} bytes more");
}

/// The streams that end with the headers of their answer, as refusals do, until there are so many.
async fn refusals(stream: &mut TcpStream, count: usize) {
    let mut refused = 0;
    while refused < count {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.expect("a frame");
        let [high, middle, low, kind, flags, ..] = head;
        let length = u32::from_be_bytes([0, high, middle, low]);
        stream.read_exact(&mut vec![0; length as usize]).await.expect("all of it");
        refused += usize::from(kind == HEADERS && flags & 1 == 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_is_told_while_every_thread_is_at_work() {
    let threads = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
    let served = Served::with(|options| options.limits.quick_calls = threads);
    ingest(&served).await;
    *served.knobs.held_user.lock().expect("a user") = Some("a".to_owned());
    let message = framed(&ScoreUserRequest { user_id: "a".into(), ..Default::default() });
    let headers = call("/propense.v1.ScoringService/ScoreUser");
    let refused = 20;
    let calls = (0..threads + refused).map(|n| 2 * n as u32 + 1);
    let calls: Vec<u8> =
        calls.flat_map(|id| [frame(HEADERS, 4, id, &headers), frame(0, 1, id, &message)].concat()).collect();
    let mut stream = speak(&served, &[]).await;
    // In one piece, so that all are read together.
    stream.write_all(&calls).await.expect("sent");
    let told = timeout(AT_ONCE, refusals(&mut stream, refused)).await;
    *served.knobs.held_user.lock().expect("a user") = None;
    told.expect("nobody waits for those who were let in");
    served.metric_becomes(QUICK_FREE, threads as f64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_not_read_keep_nobody_out() {
    let served = Served::with(|options| {
        options.limits.bulk_calls = 32;
        options.limits.quick_calls = 32;
        options.limits.stalled_reader = Duration::from_secs(4);
    });
    let events = (0..10).map(|n| event(&format!("user {n}"), 1, "view", 1.0)).chain([event("a", 1, "view", 1.0)]);
    let request = IngestEventsRequest { events: events.collect(), ..Default::default() };
    served.events().await.ingest_events(request).await.expect("ingested");
    // Nothing may be sent to this peer: its window is 0.
    let no_window = [&4_u16.to_be_bytes()[..], &0_u32.to_be_bytes()[..]].concat();
    let mut stream = speak(&served, &no_window).await;
    let stream_scores = StreamScoresRequest { model: "buys_again".into(), batch_rows: 1, ..Default::default() };
    let score_user = ScoreUserRequest { user_id: "a".into(), ..Default::default() };
    let (bulk, quick) = (framed(&stream_scores), framed(&score_user));
    for n in 0..100_u32 {
        let (path, message) = match n % 2 {
            0 => ("/propense.v1.ScoringService/StreamScores", &bulk),
            _ => ("/propense.v1.ScoringService/ScoreUser", &quick),
        };
        let id = 2 * n + 1;
        let request = [frame(HEADERS, 4, id, &call(path)), frame(0, 1, id, message)].concat();
        stream.write_all(&request).await.expect("sent");
    }
    // Streams that nobody reads fill their places, and are given up.
    served.metric_becomes(r#"propense_call_places_free{class="bulk"}"#, 0.0).await;
    served.metric_becomes(r#"propense_call_places_free{class="bulk"}"#, 32.0).await;
    served.metric_becomes(QUICK_FREE, 32.0).await;
    assert!(slowest_of_others(&served).await < AT_ONCE);
    drop(stream);
    served.metric_becomes("propense_connections", 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_to_batches_that_are_not_read_have_bounds_in_memory_and_time() {
    unread_answers_are_given_up(|_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_told_to_go_is_no_place_for_unread_answers() {
    unread_answers_are_given_up(|options| options.limits.connection_age = Duration::from_millis(500)).await;
}

async fn unread_answers_are_given_up(change: impl FnOnce(&mut ServerOptions)) {
    let served = Served::with(|options| {
        options.limits.answer_memory = 256 << 10;
        options.limits.batch_calls = 4;
        options.limits.stalled_reader = Duration::from_secs(3);
        // Nothing else is to end the connection.
        options.limits.keepalive = Duration::from_hours(1);
        change(options);
    });
    ingest(&served).await;
    let batch = |users: usize| BatchScoreUsersRequest { user_ids: vec!["a".into(); users], ..Default::default() };
    // Nothing may be sent to this peer: its window is 0.
    let no_window = [&4_u16.to_be_bytes()[..], &0_u32.to_be_bytes()[..]].concat();
    let mut stream = speak(&served, &no_window).await;
    let request = [frame(HEADERS, 4, 1, &call(BATCH)), frame(0, 1, 1, &framed(&batch(500)))].concat();
    stream.write_all(&request).await.expect("sent");
    while served.knobs.scorings.load(SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    served.metric_becomes(r#"propense_call_places_free{class="batch"}"#, 4.0).await;
    let mut scoring = served.scoring().await;
    let refused = scoring.batch_score_users(batch(500)).await.expect_err("the other's answer takes the memory");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    scoring.batch_score_users(batch(10)).await.expect("a small one fits");
    // Too large even if nobody else asked; there is no use in trying again.
    let refused = scoring.batch_score_users(batch(5_000)).await.expect_err("too large");
    assert_eq!(refused.get_details_error_info().expect("details").reason, "ANSWER_TOO_LARGE");
    // Who does not read is hung up on, and then the others have the memory.
    let mut said = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("hung up").expect("an end");
    let began = Instant::now();
    while scoring.batch_score_users(batch(500)).await.is_err() {
        assert!(began.elapsed() < PATIENCE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http2_is_hung_up_on() {
    let served = Served::start();
    for bytes in [&b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"[..], &[0xff; 4_096], b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = TcpStream::connect(served.server().address()).await.expect("a connection");
        let _ = stream.write_all(bytes).await;
        let _ = stream.write_all(&[0; 64]).await;
        let mut said = Vec::new();
        assert!(timeout(PATIENCE, stream.read_to_end(&mut said)).await.is_ok(), "the server hangs up");
    }
    served.metric_becomes("propense_connections", 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_messages_and_broken_frames_are_refused() {
    let served = Served::start();
    let mut peer = Peer::connect(&served).await;
    let path = "/propense.v1.EventService/IngestEvents";
    let mut compressed = framed(&IngestEventsRequest::default()).to_vec();
    compressed[0] = 1;
    let gzip = [("grpc-encoding", "gzip")];
    assert_eq!(peer.unary(path, &gzip, compressed.clone().into()).await.code(), Code::Unimplemented);
    // The flag without the header, a flag that is none, a length that lies, no message, and bytes that are none.
    for (body, what) in [
        (compressed, "compressed"),
        (vec![2, 0, 0, 0, 0], "flag"),
        (vec![0, 0, 0, 1, 0, 1], "cut off"),
        (Vec::new(), "nothing"),
        (vec![0, 0, 0, 0, 2, 0xff, 0xff], "no message"),
    ] {
        let status = peer.unary(path, &[], body.into()).await;
        assert!(!matches!(status.code(), Code::Ok | Code::Unavailable), "{what}: {status:?}");
    }
    let huge = vec![0, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(peer.unary(path, &[], huge.into()).await.code(), Code::ResourceExhausted);
    assert_eq!(peer.unary(path, &[], framed(&IngestEventsRequest::default())).await.code(), Code::Ok);
}
