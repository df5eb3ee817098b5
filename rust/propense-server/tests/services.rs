//! What the services answer.

#![allow(clippy::expect_used, clippy::unnecessary_wraps)]

mod served;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, UInt8Type};
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Int64Array, LargeStringArray, RecordBatch, StringArray,
    TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use propense_server::proto::{
    BatchScoreUsersRequest, Contribution, EraseUserRequest, Event, ExplainUserRequest, ExportUserRequest,
    GetModelRequest, GetUserRequest, IngestEventsRequest, ListModelsRequest, Outcome, Profile, PutProfilesRequest,
    ReloadModelsRequest, ReloadOutcome, ScoreEventsRequest, ScoreUserRequest, StreamEventsRequest, StreamScoresRequest,
    Tier, Value, stream_events_response, value::Kind,
};
use prost_types::Timestamp;
use served::{Served, event, write_model};
use tokio_stream::StreamExt;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// The code, the reason, and the field at fault.
fn told(status: &Status) -> (Code, String, String) {
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!(info.domain, "propense");
    let field = info.metadata.get("field").cloned().unwrap_or_default();
    if status.code() == Code::InvalidArgument {
        let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
        assert_eq!(violations.iter().map(|violation| &violation.field).collect::<Vec<_>>(), [&field]);
    }
    (status.code(), info.reason, field)
}

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

async fn ingest(served: &Served, events: Vec<Event>) -> Result<(u64, u64, u64), Status> {
    let request = IngestEventsRequest { events, ..Default::default() };
    let receipt = served.events().await.ingest_events(request).await?.into_inner().receipt.expect("a receipt");
    Ok((receipt.accepted, receipt.duplicates, receipt.erased))
}

/// Users a (1 event), b (2), c (3), at the seconds 0, 10, 20.
async fn with_users() -> Served {
    let served = Served::start();
    let events = [("a", 1), ("b", 2), ("c", 3)];
    let events = events.iter().flat_map(|(user, count)| (0..*count).map(|n| event(user, 10 * n, "view", n as f64)));
    assert_eq!(ingest(&served, events.collect()).await.expect("ingested"), (6, 0, 0));
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_is_scored_by_every_model_or_those_named() {
    let served = with_users().await;
    write_model(served.models.path(), "churns", "second");
    served.models().await.reload_models(ReloadModelsRequest::default()).await.expect("reloaded");
    let mut scoring = served.scoring().await;
    let request = ScoreUserRequest { user_id: "b".into(), include_features: true, ..Default::default() };
    let answer = scoring.score_user(request).await.expect("scored").into_inner();
    let names: Vec<_> = answer.scores.iter().map(|score| score.model.clone().expect("a model").name).collect();
    assert_eq!(names, ["buys_again", "churns"]);
    let used = answer.as_of.expect("an as_of").seconds;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() as i64;
    assert!((now - 20..=now).contains(&used));
    let first = &answer.scores[0];
    let score = first.score.expect("a score");
    assert_eq!((score.outcome(), score.score, score.tier()), (Outcome::Scored, 2.0 / 3.0, Tier::ModeratelyLikely));
    assert_eq!(score.percentile, 100.0 * (2.0 / 3.0_f32));
    assert_eq!(first.model.as_ref().expect("a model").digest.len(), 64);
    let features: Vec<_> = first.features.iter().map(|feature| (feature.name.as_str(), feature.value)).collect();
    assert_eq!(features[0], ("purchase_count", 2.0));
    assert!(features[1].1.is_nan());

    // Strictly before the as_of; a user without events by then is in no audience.
    let request =
        ScoreUserRequest { user_id: "b".into(), models: vec!["churns".into()], as_of: at(10), include_features: true };
    let answer = scoring.score_user(request).await.expect("scored").into_inner();
    assert_eq!(answer.as_of, at(10));
    assert_eq!(answer.scores.len(), 1);
    assert_eq!(answer.scores[0].score.expect("a score").score, 0.5);
    let request = ScoreUserRequest { user_id: "b".into(), as_of: at(0), include_features: true, ..Default::default() };
    let answer = scoring.score_user(request).await.expect("scored").into_inner();
    let score = answer.scores[0].score.expect("a score");
    assert_eq!((score.outcome(), score.tier(), score.score), (Outcome::NotInAudience, Tier::Unspecified, 0.0));
    assert!(answer.scores[0].features.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_scoring_request_is_named() {
    let served = with_users().await;
    let mut scoring = served.scoring().await;
    let request = |user: &str| ScoreUserRequest { user_id: user.into(), ..Default::default() };
    let invalid = |field: &str| (Code::InvalidArgument, "INVALID_FIELD".to_owned(), field.to_owned());
    let unknown = (Code::NotFound, "USER_UNKNOWN".to_owned(), "user_id".to_owned());
    let long = "x".repeat(1_025);
    let models = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let cases = [
        (request(""), invalid("user_id")),
        (request(&long), invalid("user_id")),
        (request(&long[1..]), unknown.clone()),
        (request("nobody"), unknown.clone()),
        (request("A"), unknown.clone()),
        (request("a "), unknown.clone()),
        (request("a\0"), unknown),
        (ScoreUserRequest { as_of: Some(Timestamp { seconds: 0, nanos: 1 }), ..request("a") }, invalid("as_of")),
        (ScoreUserRequest { as_of: Some(Timestamp { seconds: 0, nanos: -1 }), ..request("a") }, invalid("as_of")),
        (ScoreUserRequest { as_of: at(i64::MAX), ..request("a") }, invalid("as_of")),
        (ScoreUserRequest { as_of: at(253_402_300_800), ..request("a") }, invalid("as_of")),
        (ScoreUserRequest { models: models(&["buys_again", "buys_again"]), ..request("a") }, invalid("models[1]")),
        (ScoreUserRequest { models: models(&["../buys_again"]), ..request("a") }, invalid("models[0]")),
        (
            ScoreUserRequest { models: models(&["buys_again", "none"]), ..request("a") },
            (Code::NotFound, "MODEL_UNKNOWN".to_owned(), "models[1]".to_owned()),
        ),
    ];
    for (request, expected) in cases {
        let status = scoring.score_user(request).await.expect_err("refused");
        assert_eq!(told(&status), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_explained_by_the_features_that_moved_the_score_most() {
    let served = with_users().await;
    let mut scoring = served.scoring().await;
    let request = ExplainUserRequest { user_id: "c".into(), model: "buys_again".into(), top: 2, ..Default::default() };
    let answer = scoring.explain_user(request.clone()).await.expect("explained").into_inner();
    assert_eq!((answer.user_id.as_str(), answer.base), ("c", -1.5));
    assert_eq!(answer.model.expect("a model").digest.len(), 64);
    let now = answer.now.expect("a standing");
    let score = now.score.expect("a score");
    assert_eq!((score.outcome(), score.score, score.tier()), (Outcome::Scored, 0.75, Tier::MostLikely));
    assert_eq!(score.percentile, 75.0);
    // The third feature is not listed.
    assert_eq!(now.others, 0.125);
    assert!(answer.before.is_none());
    let names: Vec<_> = answer.features.iter().map(|feature| feature.name.as_str()).collect();
    assert_eq!(names, ["kind", "purchase_count"]);
    let [kind, count] = answer.features.as_slice() else { panic!("two features") };
    assert_eq!(kind.now, Some(Contribution { value: 3.0, contribution: -1.5 }));
    assert_eq!((kind.before, kind.is_text, kind.texts.len()), (None, true, 0), "no text has the code 3");
    assert!(kind.usual.expect("usually missing").is_nan());
    assert_eq!(
        (count.usual, count.is_text, count.expression.as_str()),
        (Some(1.0), false, "the text of purchase_count")
    );

    // All features, in the order of what they moved; the missing value has no usual one.
    let all = ExplainUserRequest { top: 0, ..request.clone() };
    let answer = scoring.explain_user(all).await.expect("explained").into_inner();
    assert_eq!(answer.features.len(), 3);
    assert_eq!((answer.features[2].usual, answer.now.expect("a standing").others), (None, 0.0));
    assert!(answer.features[2].now.expect("values").value.is_nan());

    // What changed since one event was there: `kind` by -1, the count by 0.5; the constant did not change.
    let since = ExplainUserRequest { since: at(10), as_of: at(30), top: 1, ..request.clone() };
    let answer = scoring.explain_user(since.clone()).await.expect("explained").into_inner();
    let before = answer.before.expect("a standing");
    assert_eq!((before.as_of, before.score.expect("a score").score, before.others), (at(10), 0.5, 0.25 + 0.125));
    assert_eq!((answer.now.as_ref().and_then(|now| now.as_of), answer.features.len()), (at(30), 1));
    let kind = &answer.features[0];
    assert_eq!(kind.before, Some(Contribution { value: 1.0, contribution: -0.5 }));
    assert_eq!(kind.texts, BTreeMap::from([(1, "view".to_owned())]));

    // Outside the audience, then or now, there is nothing to share out.
    let newcomer = ExplainUserRequest { since: at(0), ..since.clone() };
    let answer = scoring.explain_user(newcomer).await.expect("explained").into_inner();
    let before = answer.before.expect("a standing").score.expect("a score");
    assert_eq!((before.outcome(), before.tier()), (Outcome::NotInAudience, Tier::Unspecified));
    assert!(answer.features.len() == 1 && answer.features[0].before.is_none());
    let nobody = ExplainUserRequest { as_of: at(0), ..request };
    let answer = scoring.explain_user(nobody).await.expect("explained").into_inner();
    assert_eq!(answer.now.expect("a standing").score.expect("a score").outcome(), Outcome::NotInAudience);
    assert!(answer.features.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_question_why_is_named() {
    let served = with_users().await;
    let mut scoring = served.scoring().await;
    let request = |user: &str| ExplainUserRequest {
        user_id: user.into(),
        model: "buys_again".into(),
        as_of: at(30),
        ..Default::default()
    };
    let invalid = |field: &str| (Code::InvalidArgument, "INVALID_FIELD".to_owned(), field.to_owned());
    let cases = [
        (request(""), invalid("user_id")),
        (request("nobody"), (Code::NotFound, "USER_UNKNOWN".to_owned(), "user_id".to_owned())),
        (ExplainUserRequest { model: String::new(), ..request("a") }, invalid("model")),
        (ExplainUserRequest { model: "../buys_again".into(), ..request("a") }, invalid("model")),
        (
            ExplainUserRequest { model: "buys_agian".into(), ..request("a") },
            (Code::NotFound, "MODEL_UNKNOWN".to_owned(), "model".to_owned()),
        ),
        (ExplainUserRequest { as_of: at(i64::MAX), ..request("a") }, invalid("as_of")),
        (ExplainUserRequest { since: Some(Timestamp { seconds: 0, nanos: 1 }), ..request("a") }, invalid("since")),
        (ExplainUserRequest { since: at(30), ..request("a") }, invalid("since")),
        (ExplainUserRequest { since: at(31), ..request("a") }, invalid("since")),
        (ExplainUserRequest { top: 1_001, ..request("a") }, invalid("top")),
    ];
    for (request, expected) in cases {
        let status = scoring.explain_user(request).await.expect_err("refused");
        assert_eq!(told(&status), expected);
    }
    served.knobs.unexplained.store(true, SeqCst);
    let status = scoring.explain_user(request("a")).await.expect_err("refused");
    assert_eq!(told(&status), (Code::FailedPrecondition, "NOT_EXPLAINED".to_owned(), String::new()));
    assert_eq!(status.message(), "model buys_again: the model cannot be explained exactly: it is a stand-in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_a_status_per_row() {
    let served = with_users().await;
    let mut scoring = served.scoring().await;
    let user_ids: Vec<String> = ["c", "nobody", "a", "", "c"].iter().map(|id| (*id).to_owned()).collect();
    let request = BatchScoreUsersRequest { user_ids: user_ids.clone(), ..Default::default() };
    let answer = scoring.batch_score_users(request).await.expect("scored").into_inner();
    assert_eq!(answer.models.len(), 1);
    let rows: Vec<_> = answer.users.iter().map(|user| user.user_id.clone()).collect();
    assert_eq!(rows, user_ids);
    let statuses: Vec<_> = answer.users.iter().map(|user| user.status.clone().expect("a status")).collect();
    assert_eq!(statuses.iter().map(|status| status.code).collect::<Vec<_>>(), [0, 5, 0, 3, 0]);
    assert_eq!((statuses[1].reason.as_str(), statuses[1].field.as_str()), ("USER_UNKNOWN", "user_ids[1]"));
    assert_eq!(statuses[3].field, "user_ids[3]");
    let scores: Vec<_> = answer.users.iter().map(|user| user.scores.first().map(|score| score.score)).collect();
    assert_eq!(scores, [Some(0.75), None, Some(0.5), None, Some(0.75)]);
    for count in [0, 10_001] {
        let request = BatchScoreUsersRequest { user_ids: vec!["a".into(); count], ..Default::default() };
        let status = scoring.batch_score_users(request).await.expect_err("refused");
        assert_eq!(told(&status).2, "user_ids");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_sent_along_are_scored_and_not_stored() {
    let served = with_users().await;
    let mut scoring = served.scoring().await;
    let profile = |user: &str| Profile { user_id: user.into(), attributes: BTreeMap::new() };
    let request = ScoreEventsRequest {
        // Twice the same event; one beyond the as_of.
        events: vec![
            event("y", 5, "v", 1.0),
            event("x", 1, "v", 1.0),
            event("y", 5, "v", 2.0),
            event("x", 60, "v", 1.0),
        ],
        profiles: vec![profile("z"), profile("x")],
        as_of: at(60),
        include_features: true,
        ..Default::default()
    };
    let answer = scoring.score_events(request.clone()).await.expect("scored").into_inner();
    let users: Vec<_> = answer.users.iter().map(|user| user.user_id.as_str()).collect();
    assert_eq!(users, ["x", "y", "z"]);
    let scores: Vec<_> = answer.users.iter().map(|user| user.scores[0].score.expect("a score")).collect();
    assert_eq!(scores.iter().map(|score| score.score).collect::<Vec<_>>(), [0.5, 0.5, 0.0]);
    assert_eq!(scores[2].outcome(), Outcome::NotInAudience);
    assert_eq!(answer.users[0].scores[0].features.len(), 2);
    let stored = served.users().await.get_user(GetUserRequest { user_id: "x".into() }).await;
    assert_eq!(stored.expect_err("not stored").code(), Code::NotFound);
    let twice = ScoreEventsRequest { profiles: vec![profile("x"), profile("x")], ..request.clone() };
    assert_eq!(told(&scoring.score_events(twice).await.expect_err("refused")).2, "profiles[1].user_id");
    let none = ScoreEventsRequest { events: Vec::new(), ..request };
    assert_eq!(told(&scoring.score_events(none).await.expect_err("refused")).2, "events");
}

async fn stream(served: &Served, request: StreamScoresRequest) -> Vec<(Vec<(String, f32, String)>, u32)> {
    let messages = served.scoring().await.stream_scores(request).await.expect("begun").into_inner();
    let messages: Vec<_> = messages.map(|message| message.expect("no error")).collect().await;
    let read = |message: propense_server::proto::StreamScoresResponse| {
        assert_eq!(message.model.expect("a model").name, "buys_again");
        let reader = StreamReader::try_new(Cursor::new(message.arrow_ipc), None).expect("a stream of its own");
        let batches: Vec<RecordBatch> = reader.map(|batch| batch.expect("a batch")).collect();
        assert_eq!(batches.len(), 1);
        let rows = &batches[0];
        let names: Vec<_> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["user_id", "score", "percentile", "tier"]);
        let (users, scores) = (rows.column(0).as_string::<i32>(), rows.column(1).as_primitive::<Float32Type>());
        let tiers = rows.column(3).as_dictionary::<UInt8Type>();
        let names = tiers.values().as_string::<i32>();
        let row = |row| {
            (users.value(row).to_owned(), scores.value(row), names.value(tiers.key(row).expect("a tier")).to_owned())
        };
        ((0..rows.num_rows()).map(row).collect(), message.rows)
    };
    messages.into_iter().map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audience_streams_as_arrow() {
    let served = with_users().await;
    let request = |rows, tiers: &[Tier]| StreamScoresRequest {
        model: "buys_again".into(),
        batch_rows: rows,
        tiers: tiers.iter().map(|tier| (*tier).into()).collect(),
        ..Default::default()
    };
    let row = |user: &str, score: f32, tier: &str| (user.to_owned(), score, tier.to_owned());
    let all = [row("a", 0.5, "least_likely"), row("b", 2.0 / 3.0, "moderately_likely"), row("c", 0.75, "most_likely")];
    for (rows, messages) in [(0, 1), (1, 3), (2, 2), (3, 1), (4, 1)] {
        let streamed = stream(&served, request(rows, &[])).await;
        assert_eq!(streamed.len(), messages, "{rows}");
        assert!(streamed.iter().all(|(rows, count)| rows.len() == *count as usize));
        assert_eq!(streamed.into_iter().flat_map(|(rows, _)| rows).collect::<Vec<_>>(), all, "{rows}");
    }
    let some = stream(&served, request(1, &[Tier::MostLikely, Tier::LeastLikely])).await;
    assert_eq!(some.into_iter().flat_map(|(rows, _)| rows).collect::<Vec<_>>(), [all[0].clone(), all[2].clone()]);
    let nobody = stream(&served, StreamScoresRequest { as_of: at(0), ..request(1, &[]) }).await;
    assert_eq!(nobody, [(Vec::new(), 0)]);
    let mut scoring = served.scoring().await;
    for (request, field) in [
        (request(65_537, &[]), "batch_rows"),
        (request(1, &[Tier::Unspecified]), "tiers[0]"),
        (StreamScoresRequest { tiers: vec![1, 9], ..request(1, &[]) }, "tiers[1]"),
        (StreamScoresRequest { model: String::new(), ..request(1, &[]) }, "model"),
    ] {
        assert_eq!(told(&scoring.stream_scores(request).await.expect_err("refused")).2, field);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_again_changes_nothing() {
    let served = Served::start();
    let with_id = |id: &str| Event { event_id: id.to_owned(), ..event("a", 1, "view", 1.0) };
    let events = vec![event("a", 1, "view", 1.0), with_id("1"), with_id("2"), with_id("1")];
    assert_eq!(ingest(&served, events.clone()).await.expect("ingested"), (3, 1, 0));
    assert_eq!(ingest(&served, events).await.expect("ingested"), (0, 4, 0));
    assert_eq!(ingest(&served, Vec::new()).await.expect("nothing is fine"), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_an_event_is_named_and_nothing_is_stored() {
    let served = Served::start();
    let good = || event("a", 1, "view", 1.0);
    let text = |text: &str| Value { kind: Some(Kind::Text(text.to_owned())) };
    let with = |name: &str, value: Value| Event { properties: BTreeMap::from([(name.to_owned(), value)]), ..good() };
    let long = "x".repeat(70_000);
    let invalid = |field: &str| (Code::InvalidArgument, "INVALID_FIELD", format!("events[1].{field}"));
    let cases = [
        (Event { user_id: String::new(), ..good() }, invalid("user_id")),
        (Event { user_id: long[..1_025].to_owned(), ..good() }, invalid("user_id")),
        (Event { event: String::new(), ..good() }, invalid("event")),
        (Event { event: long[..257].to_owned(), ..good() }, invalid("event")),
        (Event { event_id: long[..1_025].to_owned(), ..good() }, invalid("event_id")),
        (Event { event_time: None, ..good() }, invalid("event_time")),
        (Event { event_time: Some(Timestamp { seconds: 1, nanos: 999 }), ..good() }, invalid("event_time")),
        (Event { event_time: at(-62_135_596_801), ..good() }, invalid("event_time")),
        (with("", text("x")), invalid("properties")),
        (with(&long[..257], text("x")), invalid("properties")),
        (with("name", text(&long)), invalid(r#"properties["name"]"#)),
        (
            with("amount", text("x")),
            (Code::FailedPrecondition, "KIND_CONFLICT", r#"events[1].properties["amount"]"#.to_owned()),
        ),
    ];
    for (event, (code, reason, field)) in cases {
        let status = ingest(&served, vec![good(), event]).await.expect_err("refused");
        assert_eq!(told(&status), (code, reason.to_owned(), field));
    }
    let many = vec![good(); 100_001];
    assert_eq!(told(&ingest(&served, many).await.expect_err("refused")).2, "events");
    let both = IngestEventsRequest { events: vec![good()], arrow_ipc: vec![1].into() };
    assert_eq!(told(&served.events().await.ingest_events(both).await.expect_err("refused")).2, "arrow_ipc");
    // A kind that the store knows otherwise.
    ingest(&served, vec![with("amount", Value { kind: Some(Kind::Text("x".into())) })]).await.expect_err("refused");
    served.metric_becomes("propense_store_events", 0.0).await;
}

fn arrow(columns: Vec<(&str, ArrayRef)>) -> IngestEventsRequest {
    let batch = RecordBatch::try_from_iter(columns).expect("columns");
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).expect("a stream");
    writer.write(&batch).expect("written");
    IngestEventsRequest { arrow_ipc: writer.into_inner().expect("ended").into(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_as_arrow_in_any_of_its_forms() {
    let served = Served::start();
    let mut events = served.events().await;
    let dictionary: DictionaryArray<UInt8Type> = ["view", "buy", "view"].into_iter().collect();
    let request = arrow(vec![
        ("user_id", Arc::new(LargeStringArray::from(vec!["a", "é", "a"])) as ArrayRef),
        ("event_time", Arc::new(TimestampMillisecondArray::from(vec![1_000, 2_000, 3_000]))),
        ("event", Arc::new(dictionary)),
        ("event_id", Arc::new(StringArray::from(vec![Some("x"), None, Some("")]))),
        ("amount", Arc::new(Int64Array::from(vec![Some(1), None, Some(1 << 53)]))),
        ("is_new", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
    ]);
    let receipt = events.ingest_events(request).await.expect("ingested").into_inner().receipt.expect("a receipt");
    assert_eq!(receipt.accepted, 3);
    let exported = served.users().await.export_user(ExportUserRequest { user_id: "a".into() }).await.expect("begun");
    let exported: Vec<_> = exported.into_inner().map(|part| part.expect("no error")).collect().await;
    let of_user: Vec<_> = exported.iter().flat_map(|part| &part.events).collect();
    assert_eq!(of_user.iter().map(|event| event.event_time).collect::<Vec<_>>(), [at(1), at(3)]);
    assert_eq!(of_user[1].properties["amount"].kind, Some(Kind::Number((1_u64 << 53) as f64)));
    assert_eq!(of_user[0].event, "view");

    // The same events as messages are the same events.
    let again = Event { event_id: "x".into(), ..event("a", 1, "view", 1.0) };
    assert_eq!(ingest(&served, vec![again]).await.expect("ingested"), (0, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_arrow_is_named() {
    let served = Served::start();
    let mut events = served.events().await;
    let user = || ("user_id", Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef);
    let time = || ("event_time", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef);
    let kind = || ("event", Arc::new(StringArray::from(vec!["view", "view"])) as ArrayRef);
    let text = |name: &'static str, values: [Option<&str>; 2]| {
        (name, Arc::new(StringArray::from(values.to_vec())) as ArrayRef)
    };
    let number = |name: &'static str, values: [i64; 2]| (name, Arc::new(Int64Array::from(values.to_vec())) as ArrayRef);
    let nanoseconds = ("event_time", Arc::new(TimestampNanosecondArray::from(vec![1_000, 1_001])) as ArrayRef);
    let cases = [
        (arrow(vec![user(), time()]), "arrow_ipc"),
        (arrow(vec![user(), text("event_time", [Some("1"), Some("2")]), kind()]), "arrow_ipc"),
        (arrow(vec![number("user_id", [1, 2]), time(), kind()]), "arrow_ipc"),
        (arrow(vec![text("user_id", [Some("a"), None]), time(), kind()]), "events[1].user_id"),
        (arrow(vec![text("user_id", [Some("a"), Some("")]), time(), kind()]), "events[1].user_id"),
        (arrow(vec![user(), nanoseconds, kind()]), "events[1].event_time"),
        (arrow(vec![user(), number("event_time", [1, i64::MAX]), kind()]), "events[1].event_time"),
        (arrow(vec![user(), time(), text("event", [Some("x"), None])]), "events[1].event"),
        (arrow(vec![user(), time(), kind(), number("n", [1, 1 << 54])]), r#"events[1].properties["n"]"#),
        (arrow(vec![user(), time(), kind(), ("t", Arc::new(TimestampNanosecondArray::from(vec![1, 2])))]), "arrow_ipc"),
        (IngestEventsRequest { arrow_ipc: b"not arrow at all".to_vec().into(), ..Default::default() }, "arrow_ipc"),
    ];
    for (request, field) in cases {
        let status = events.ingest_events(request).await.expect_err("refused");
        assert_eq!((told(&status).0, told(&status).2.as_str()), (Code::InvalidArgument, field), "{status:?}");
    }
    // A dictionary that repeats a long text for every row is not unfolded into memory.
    let long = "x".repeat(60_000);
    let rows = 5_000;
    let bomb: DictionaryArray<UInt8Type> = std::iter::repeat_n(long.as_str(), rows).collect();
    let request = arrow(vec![
        ("user_id", Arc::new((0..rows).map(|n| Some(n.to_string())).collect::<StringArray>()) as ArrayRef),
        ("event_time", Arc::new(Int64Array::from(vec![1; rows]))),
        ("event", Arc::new(StringArray::from(vec!["view"; rows]))),
        ("text", Arc::new(bomb)),
    ]);
    assert_eq!(told(&events.ingest_events(request).await.expect_err("refused")).2, "arrow_ipc");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_damaged_arrow_stream_hurts_the_server() {
    let served = Served::start();
    let mut events = served.events().await;
    let whole = arrow(vec![
        ("user_id", Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef),
        ("event_time", Arc::new(Int64Array::from(vec![1, 2]))),
        ("event", Arc::new(DictionaryArray::<UInt8Type>::from_iter(["view", "buy"]))),
    ]);
    let bytes = whole.arrow_ipc.to_vec();
    for place in 0..bytes.len() {
        for damaged in
            [bytes[..place].to_vec(), [&bytes[..place], &[bytes[place] ^ 0xff], &bytes[place + 1..]].concat()]
        {
            let request = IngestEventsRequest { arrow_ipc: damaged.into(), ..Default::default() };
            if let Err(status) = events.ingest_events(request).await {
                let fine = matches!(status.code(), Code::InvalidArgument | Code::FailedPrecondition);
                assert!(fine, "{place}: {status:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streams_error_concerns_its_batch_only() {
    let served = Served::start();
    let batch = |sequence, user: &str| StreamEventsRequest {
        sequence,
        batch: Some(IngestEventsRequest { events: vec![event(user, 1, "view", 1.0)], ..Default::default() }),
    };
    let nothing = StreamEventsRequest { sequence: 3, batch: None };
    let requests = vec![batch(9, "a"), batch(9, ""), batch(0, "a"), nothing, batch(u64::MAX, "b")];
    let answers = served.events().await.stream_events(tokio_stream::iter(requests)).await.expect("begun").into_inner();
    let answers: Vec<_> = answers.map(|answer| answer.expect("no error of the stream")).collect().await;
    assert_eq!(answers.iter().map(|answer| answer.sequence).collect::<Vec<_>>(), [9, 9, 0, 3, u64::MAX]);
    let outcome = |answer: &propense_server::proto::StreamEventsResponse| match answer.result.clone().expect("a result")
    {
        stream_events_response::Result::Receipt(receipt) => Ok((receipt.accepted, receipt.duplicates)),
        stream_events_response::Result::Error(status) => Err((status.code, status.reason, status.field)),
    };
    let outcomes: Vec<_> = answers.iter().map(outcome).collect();
    let refused = Err((3, "INVALID_FIELD".to_owned(), "events[0].user_id".to_owned()));
    assert_eq!(outcomes, [Ok((1, 0)), refused, Ok((0, 1)), Ok((0, 0)), Ok((1, 0))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_read_exported_and_erased() {
    let served = Served::start();
    let many: Vec<Event> = (0..2_500).map(|n| event("a", n, "view", n as f64)).collect();
    ingest(&served, many).await.expect("ingested");
    let mut users = served.users().await;
    let attributes = BTreeMap::from([("country".to_owned(), Value { kind: Some(Kind::Text("GB".into())) })]);
    let profile = |user: &str| Profile { user_id: user.into(), attributes: attributes.clone() };
    let put = PutProfilesRequest { profiles: vec![profile("a"), profile("b")] };
    let receipt = users.put_profiles(put).await.expect("put").into_inner().receipt.expect("a receipt");
    assert_eq!(receipt.accepted, 2);

    let user = users.get_user(GetUserRequest { user_id: "a".into() }).await.expect("known").into_inner();
    assert_eq!((user.events, user.first_event_time, user.last_event_time), (2_500, at(0), at(2_499)));
    assert_eq!(user.profile, Some(profile("a")));
    let parts = users.export_user(ExportUserRequest { user_id: "a".into() }).await.expect("begun").into_inner();
    let parts: Vec<_> = parts.map(|part| part.expect("no error")).collect().await;
    assert_eq!(parts.iter().map(|part| part.events.len()).collect::<Vec<_>>(), [1_000, 1_000, 500]);
    assert_eq!(parts[0].profile, Some(profile("a")));
    assert!(parts[1..].iter().all(|part| part.profile.is_none()));
    let exported: Vec<_> = parts.into_iter().flat_map(|part| part.events).collect();
    assert_eq!(exported[7], event("a", 7, "view", 7.0));

    users.erase_user(EraseUserRequest { user_id: "a".into() }).await.expect("erased");
    for _ in 0..2 {
        let gone = users.get_user(GetUserRequest { user_id: "a".into() }).await.expect_err("gone");
        assert_eq!(told(&gone), (Code::NotFound, "USER_UNKNOWN".to_owned(), "user_id".to_owned()));
        assert_eq!(ingest(&served, vec![event("a", 5, "view", 1.0)]).await.expect("dropped"), (0, 0, 1));
    }
    users.erase_user(EraseUserRequest { user_id: "nobody".into() }).await.expect("no matter");
    for user_id in [String::new(), "x".repeat(1_025)] {
        assert_eq!(
            users.erase_user(EraseUserRequest { user_id }).await.expect_err("refused").code(),
            Code::InvalidArgument
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_reload_beside_the_ones_that_serve() {
    let mut served = with_users().await;
    let mut models = served.models().await;
    let list = async |models: &mut propense_server::proto::model_service_client::ModelServiceClient<_>| {
        let listed = models.list_models(ListModelsRequest {}).await.expect("listed").into_inner().models;
        let versions = listed.into_iter().map(|model| model.version.expect("a version"));
        versions.map(|version| (version.name, version.digest)).collect::<BTreeMap<_, _>>()
    };
    let first = list(&mut models).await;
    let root = served.models.path().to_owned();
    let reload = async |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let answer = served.models().await.reload_models(ReloadModelsRequest { names }).await?.into_inner().models;
        let outcomes =
            answer.into_iter().map(|model| (model.name.clone(), model.outcome(), model.digest, model.message));
        Ok::<_, Status>(outcomes.collect::<Vec<_>>())
    };
    let digest = first["buys_again"].clone();
    let unchanged =
        |digest: &str| ("buys_again".to_owned(), ReloadOutcome::Unchanged, digest.to_owned(), String::new());
    assert_eq!(reload(&[]).await.expect("reloaded"), [unchanged(&digest)]);
    write_model(&root, "buys_again", "bad");
    let refused = reload(&[]).await.expect("reloaded");
    assert_eq!((refused[0].1, &refused[0].2), (ReloadOutcome::Refused, &digest));
    assert!(refused[0].3.contains("checksum"), "{refused:?}");
    assert_eq!(list(&mut models).await, first, "the old one goes on");
    write_model(&root, "buys_again", "second");
    assert_eq!(reload(&["buys_again"]).await.expect("reloaded")[0].1, ReloadOutcome::Loaded);
    assert_ne!(list(&mut models).await, first);
    write_model(&root, "other", "third");
    assert_eq!(reload(&[]).await.expect("reloaded").len(), 2);
    std::fs::remove_dir_all(root.join("other")).expect("removed");
    let removed = reload(&[]).await.expect("reloaded");
    assert_eq!((removed[1].0.as_str(), removed[1].1, removed[1].2.as_str()), ("other", ReloadOutcome::Removed, ""));
    let unknown = reload(&["never_there"]).await.expect("answered");
    assert_eq!(unknown[0].1, ReloadOutcome::Refused);
    let gone = models.get_model(GetModelRequest { name: "other".into() }).await.expect_err("gone");
    assert_eq!(told(&gone), (Code::NotFound, "MODEL_UNKNOWN".to_owned(), "name".to_owned()));
    drop(models);
    assert!(served.logged().contains(r#""outcome":"refused""#));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn nothing_outside_the_models_folder_is_opened() {
    let served = Served::start();
    let outside = tempfile::TempDir::new().expect("a folder");
    write_model(outside.path(), "secret", "fine");
    let root = served.models.path();
    std::os::unix::fs::symlink(outside.path().join("secret"), root.join("linked")).expect("a link");
    std::fs::write(root.join("file"), "not a folder").expect("a file");
    std::fs::create_dir(root.join(".hidden")).expect("a folder");
    let mut models = served.models().await;
    let answer = models.reload_models(ReloadModelsRequest::default()).await.expect("reloaded").into_inner().models;
    let outcomes: Vec<_> = answer.iter().map(|model| (model.name.as_str(), model.outcome())).collect();
    assert_eq!(outcomes, [("buys_again", ReloadOutcome::Unchanged), ("linked", ReloadOutcome::Refused)]);
    let long = "x".repeat(129);
    let names =
        ["..", ".", "", "a/b", "../secret", "/etc", ".hidden", "a\0b", "a b", "naïve", long.as_str(), "%2e%2e", "a\\b"];
    for name in names {
        let names = vec!["buys_again".to_owned(), name.to_owned()];
        let status = models.reload_models(ReloadModelsRequest { names }).await.expect_err("refused");
        assert_eq!(told(&status).2, "names[1]", "{name:?}");
        let status = models.get_model(GetModelRequest { name: name.into() }).await.expect_err("refused");
        assert_eq!(told(&status).0, Code::InvalidArgument, "{name:?}");
    }
    let listed = models.list_models(ListModelsRequest {}).await.expect("listed").into_inner().models;
    assert_eq!(listed.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_under_load_fail_no_call_and_mix_no_versions() {
    let served = Arc::new(with_users().await);
    write_model(served.models.path(), "churns", "other");
    let (stop, mut clients) = (Arc::new(AtomicBool::new(false)), Vec::new());
    for _ in 0..4 {
        let (mut scoring, stop) = (served.scoring().await, Arc::clone(&stop));
        clients.push(tokio::spawn(async move {
            let mut digests = BTreeSet::new();
            while !stop.load(SeqCst) {
                let request = BatchScoreUsersRequest {
                    user_ids: vec!["a".into(), "b".into()],
                    models: vec!["buys_again".into()],
                    ..Default::default()
                };
                let answer = scoring.batch_score_users(request).await.expect("no call fails").into_inner();
                assert!(answer.users.iter().all(|user| user.scores.len() == 1));
                digests.insert(answer.models[0].digest.clone());
            }
            digests
        }));
    }
    let mut models = served.models().await;
    let mut loaded = BTreeSet::new();
    for n in 0..100 {
        let bad = n % 10 == 9;
        write_model(served.models.path(), "buys_again", &if bad { format!("bad {n}") } else { format!("version {n}") });
        let names = vec!["buys_again".to_owned()];
        let answer = models.reload_models(ReloadModelsRequest { names }).await.expect("answered").into_inner();
        let expected = if bad { ReloadOutcome::Refused } else { ReloadOutcome::Loaded };
        assert_eq!(answer.models[0].outcome(), expected);
        loaded.insert(answer.models[0].digest.clone());
    }
    stop.store(true, SeqCst);
    let mut seen = BTreeSet::new();
    for client in clients {
        seen.extend(client.await.expect("no call failed"));
    }
    let first = seen.difference(&loaded).count();
    assert!(first <= 1, "only the version before the first reload is none of those loaded");
    assert!(seen.len() > 2, "{} versions were seen", seen.len());
}
