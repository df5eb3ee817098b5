//! What people are called and what they did is in no log line, no metric and no error.

#![allow(clippy::expect_used)]

mod served;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::SeqCst;

use propense_server::proto::{
    BatchScoreUsersRequest, EraseUserRequest, Event, ExportUserRequest, GetUserRequest, IngestEventsRequest, Profile,
    PutProfilesRequest, ScoreEventsRequest, ScoreUserRequest, StreamEventsRequest, StreamScoresRequest, Value,
    stream_events_response, value::Kind,
};
use served::{Served, event};
use tokio_stream::StreamExt;
use tonic::{Request, Status};

const CANARY: &str = "canary-8f3a";

/// What an error says, in all its forms.
fn text(status: &Status) -> String {
    let details = String::from_utf8_lossy(status.details()).into_owned();
    format!("{status:?} {details} {:?}", status.metadata())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_in_every_personal_field_is_found_nowhere() {
    let mut served = Served::start();
    let value = |kind| Value { kind: Some(kind) };
    let properties = BTreeMap::from([("name".to_owned(), value(Kind::Text(CANARY.to_owned())))]);
    let good = Event {
        user_id: CANARY.to_owned(),
        event_id: CANARY.to_owned(),
        properties: properties.clone(),
        ..event("", 1, "view", 1.0)
    };
    let long = CANARY.repeat(100);
    let bad = [
        Event { event_time: None, ..good.clone() },
        Event { user_id: long.clone(), ..good.clone() },
        Event { event_id: long.clone(), ..good.clone() },
        Event {
            properties: BTreeMap::from([("amount".to_owned(), value(Kind::Text(CANARY.to_owned())))]),
            ..good.clone()
        },
        Event {
            properties: BTreeMap::from([("name".to_owned(), value(Kind::Text(CANARY.repeat(7_000))))]),
            ..good.clone()
        },
    ];
    let mut errors = Vec::new();
    let (mut events, mut users, mut scoring) = (served.events().await, served.users().await, served.scoring().await);
    let ingest = |events: Vec<Event>| IngestEventsRequest { events, ..Default::default() };
    events.ingest_events(ingest(vec![good.clone()])).await.expect("ingested");
    for bad in bad.clone() {
        errors.push(events.ingest_events(ingest(vec![bad])).await.expect_err("refused"));
    }
    let arrow = IngestEventsRequest { arrow_ipc: CANARY.as_bytes().to_vec().into(), ..Default::default() };
    errors.push(events.ingest_events(arrow).await.expect_err("refused"));
    let batches =
        bad.clone().into_iter().map(|bad| StreamEventsRequest { sequence: 1, batch: Some(ingest(vec![bad])) });
    let batches: Vec<_> = batches.collect();
    let answers = events.stream_events(tokio_stream::iter(batches)).await.expect("begun").into_inner();
    let answers: Vec<_> = answers.map(|answer| answer.expect("no error").result.expect("a result")).collect().await;
    for answer in answers {
        let stream_events_response::Result::Error(status) = answer else { panic!("refused") };
        assert!(!format!("{status:?}").contains("canary"), "{status:?}");
    }
    served.knobs.busy.store(true, SeqCst);
    errors.push(events.ingest_events(ingest(vec![good.clone()])).await.expect_err("busy"));
    served.knobs.busy.store(false, SeqCst);

    let unknown = format!("{CANARY}-unknown");
    for user_id in [unknown.clone(), long.clone()] {
        errors.push(users.get_user(GetUserRequest { user_id: user_id.clone() }).await.expect_err("refused"));
        errors.push(users.export_user(ExportUserRequest { user_id: user_id.clone() }).await.expect_err("refused"));
        errors.push(scoring.score_user(ScoreUserRequest { user_id, ..Default::default() }).await.expect_err("refused"));
    }
    let profile = |user_id: &str| Profile { user_id: user_id.to_owned(), attributes: properties.clone() };
    users.put_profiles(PutProfilesRequest { profiles: vec![profile(CANARY)] }).await.expect("put");
    errors.push(users.put_profiles(PutProfilesRequest { profiles: vec![profile(&long)] }).await.expect_err("refused"));
    users.get_user(GetUserRequest { user_id: CANARY.to_owned() }).await.expect("known");
    scoring.score_user(ScoreUserRequest { user_id: CANARY.to_owned(), ..Default::default() }).await.expect("scored");
    let user_ids = vec![CANARY.to_owned(), unknown, long];
    let rows =
        scoring.batch_score_users(BatchScoreUsersRequest { user_ids, ..Default::default() }).await.expect("rows");
    for row in rows.into_inner().users {
        assert!(!format!("{:?}", row.status).contains("canary"), "{:?}", row.status);
    }
    let twice = vec![profile(CANARY), profile(CANARY)];
    let request = ScoreEventsRequest { events: vec![good], profiles: twice, ..Default::default() };
    errors.push(scoring.score_events(request).await.expect_err("refused"));
    let request = StreamScoresRequest { model: CANARY.to_owned(), ..Default::default() };
    errors.push(scoring.stream_scores(request).await.expect_err("refused"));
    // A method, a header and a token are what a caller typed as well.
    let mut request = Request::new(GetUserRequest { user_id: CANARY.to_owned() });
    request.metadata_mut().insert("x-user", CANARY.parse().expect("a header"));
    request.metadata_mut().insert("authorization", format!("Bearer {CANARY}").parse().expect("a header"));
    request.metadata_mut().insert("grpc-timeout", CANARY.parse().expect("a header"));
    errors.push(users.get_user(request).await.expect_err("refused"));
    let mut client = tonic::client::Grpc::new(served.channel().await);
    client.ready().await.expect("a channel");
    let path = format!("/{CANARY}/{CANARY}").parse().expect("a path");
    let codec = tonic_prost::ProstCodec::<Event, Event>::default();
    errors.push(client.unary(Request::new(Event::default()), path, codec).await.expect_err("no such method"));
    users.erase_user(EraseUserRequest { user_id: CANARY.to_owned() }).await.expect("erased");

    for error in &errors {
        assert!(!text(error).contains("canary"), "{}", text(error));
    }
    assert!(errors.len() > 15);
    let metrics = served.metrics().await;
    assert!(!metrics.contains("canary"), "{metrics}");
    let written = served.logged();
    assert!(!written.contains("canary"), "{written}");
    // The log is one object a line, and did see the calls.
    let lines: Vec<serde_json::Value> = written.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let calls: Vec<_> = lines.iter().filter(|line| line["event"] == "call").collect();
    assert!(calls.len() > 20, "{} calls", calls.len());
    for call in calls {
        let fields: Vec<_> = call.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(fields, ["code", "event", "latency_us", "level", "method", "peer", "time"]);
        assert_eq!(call["peer"], "loopback");
    }
}
