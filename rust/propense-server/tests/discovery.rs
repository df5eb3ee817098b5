//! What the server tells of itself: reflection, the contract's form, metrics.

#![allow(clippy::expect_used)]

mod served;

use std::collections::BTreeSet;

use propense_server::DeliveryCounts;
use propense_server::proto::{
    DESCRIPTORS, GetUserRequest, IngestEventsRequest, ListModelsRequest, ReloadModelsRequest,
};
use prost::Message;
use prost_types::FileDescriptorSet;
use served::{Served, event, write_model};

const SERVICES: [&str; 5] = [
    "grpc.health.v1.Health",
    "propense.v1.EventService",
    "propense.v1.ModelService",
    "propense.v1.ScoringService",
    "propense.v1.UserService",
];

macro_rules! lists_services {
    ($served:expr, $version:ident) => {{
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
        use tonic_reflection::pb::$version::{ListServiceResponse, ServerReflectionRequest};
        let ask = |question| ServerReflectionRequest { host: String::new(), message_request: Some(question) };
        let questions = [
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol("propense.v1.ScoringService".to_owned())),
            ask(MessageRequest::FileByFilename("propense/v1/types.proto".to_owned())),
            ask(MessageRequest::FileContainingSymbol("google.rpc.ErrorInfo".to_owned())),
        ];
        let mut client = ServerReflectionClient::new($served.channel().await);
        let answers = client.server_reflection_info(tokio_stream::iter(questions)).await.expect("answers");
        let mut answers = answers.into_inner();
        let mut next = async || answers.message().await.expect("no error").expect("one").message_response.expect("one");
        let MessageResponse::ListServicesResponse(ListServiceResponse { service }) = next().await else {
            panic!("a list");
        };
        let names: BTreeSet<String> = service.into_iter().map(|service| service.name).collect();
        assert!(SERVICES.iter().all(|name| names.contains(*name)), "{names:?}");
        for _ in 0..3 {
            let MessageResponse::FileDescriptorResponse(files) = next().await else { panic!("files") };
            assert!(!files.file_descriptor_proto.is_empty());
        }
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_reflection_list_all_services() {
    let served = Served::start();
    lists_services!(served, v1);
    lists_services!(served, v1alpha);
}

#[test]
fn every_enum_begins_with_unspecified_and_everything_is_documented() {
    let set = FileDescriptorSet::decode(DESCRIPTORS).expect("the descriptor");
    let mut seen = 0;
    for file in set.file.iter().filter(|file| file.package() == "propense.v1") {
        for kind in &file.enum_type {
            let zero = kind.value.first().expect("a value");
            assert_eq!(zero.number(), 0);
            assert!(zero.name().ends_with("_UNSPECIFIED"), "{}", zero.name());
        }
        let comments = file.source_code_info.as_ref().expect("comments");
        let documented = |path: &[i32]| {
            comments.location.iter().any(|at| at.path == path && !at.leading_comments().trim().is_empty())
        };
        for (place, service) in file.service.iter().enumerate() {
            for (method, of) in service.method.iter().enumerate() {
                assert!(documented(&[6, place as i32, 2, method as i32]), "{}.{}", service.name(), of.name());
                seen += 1;
            }
        }
        for (place, message) in file.message_type.iter().enumerate().filter(|(_, m)| !m.name().ends_with("Entry")) {
            for (field, of) in message.field.iter().enumerate() {
                assert!(documented(&[4, place as i32, 2, field as i32]), "{}.{}", message.name(), of.name());
                seen += 1;
            }
        }
    }
    assert!(seen > 60, "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_page_counts() {
    let served = Served::start();
    let batch = vec![event("a", 1, "view", 1.0), event("a", 1, "view", 1.0), event("a", 2, "view", 1.0)];
    let request = IngestEventsRequest { events: batch, ..Default::default() };
    served.events().await.ingest_events(request).await.expect("ingested");
    let unknown = GetUserRequest { user_id: "nobody".to_owned() };
    served.users().await.get_user(unknown).await.expect_err("unknown");
    // A call is counted once its answer has been sent.
    for method in ["EventService/IngestEvents", "UserService/GetUser"] {
        served.metric_becomes(&format!(r#"propense_requests_in_flight{{method="propense.v1.{method}"}}"#), 0.0).await;
    }
    assert!(!served.metrics().await.contains("propense_delivery"));
    let counts = DeliveryCounts {
        read_up_to: 7,
        waiting: 3,
        held: 1,
        oldest_s: 2.5,
        dead_letters: 4,
        delivered: 5,
        failed_attempts: 6,
        is_paused: false,
    };
    served.server().note_deliveries("crm", DeliveryCounts { waiting: 9, ..counts.clone() });
    served.server().note_deliveries("mail-2", DeliveryCounts { is_paused: true, ..counts.clone() });
    served.server().note_deliveries("crm", counts);
    let page = served.metrics().await;
    for row in [
        r#"propense_delivery_unread{destination="crm"} 0"#,
        r#"propense_delivery_waiting{destination="crm"} 3"#,
        r#"propense_delivery_held{destination="crm"} 1"#,
        r#"propense_delivery_oldest_seconds{destination="crm"} 2.5"#,
        r#"propense_delivery_dead_letters{destination="mail-2"} 4"#,
        r#"propense_delivery_paused{destination="crm"} 0"#,
        r#"propense_delivery_paused{destination="mail-2"} 1"#,
        r#"propense_delivery_delivered_total{destination="crm"} 5"#,
        r#"propense_delivery_failed_attempts_total{destination="crm"} 6"#,
        "propense_ready 1",
        "propense_events_ingested_total 2",
        "propense_events_duplicate_total 1",
        "propense_store_events 2",
        r#"propense_requests_total{method="propense.v1.EventService/IngestEvents",code="OK"} 1"#,
        r#"propense_requests_total{method="propense.v1.UserService/GetUser",code="NOT_FOUND"} 1"#,
        r#"propense_request_seconds_count{method="propense.v1.UserService/GetUser"} 1"#,
        r#"propense_request_seconds_bucket{method="propense.v1.UserService/GetUser",le="+Inf"} 1"#,
        r#"propense_requests_in_flight{method="propense.v1.UserService/GetUser"} 0"#,
    ] {
        assert!(page.lines().any(|line| line == row), "{row} is not in {page}");
    }
    assert!(page.contains(r#"propense_model_info{model="buys_again",digest=""#), "{page}");
    assert!(served.metric("process_resident_memory_bytes").await > 1e6);
    // The text format: every row belongs to the family announced last.
    let mut family = "";
    let (_, body) = page.split_once("\r\n\r\n").expect("a body");
    for line in body.lines() {
        if let Some(announced) = line.strip_prefix("# TYPE ") {
            family = announced.split(' ').next().expect("a name");
        } else if !line.starts_with('#') {
            assert!(line.starts_with(family), "{line} is not of {family}");
            line.rsplit(' ').next().expect("a value").parse::<f64>().expect("a number");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_the_served_version_was_found_to_do_is_on_the_page() {
    let mut served = Served::start();
    let mut models = served.models().await;
    let digest = propense_server::hash_token("first");
    let file = served.models.path().join("buys_again.validation.json");
    let content = |digest: &str| {
        serde_json::json!({
            "format": 1, "model_digest": digest, "validated_us": 1_700_000_000_500_000_i64, "as_of_us": 0, "ends_us": 1,
            "verdict": "watch", "users": 1_000, "expected": 101.5, "low": 80, "high": 120, "actual": 125,
            "score_drift": 0.125, "feature_drift": null,
        })
        .to_string()
    };
    let verdict = r#"propense_model_verdict{model="buys_again",verdict="watch"} 1"#;
    assert!(!served.metrics().await.contains(verdict));
    std::fs::write(&file, content(&digest)).expect("a file");
    models.reload_models(ReloadModelsRequest::default()).await.expect("reloaded");
    let page = served.metrics().await;
    for row in [
        r#"propense_model_validated_timestamp_seconds{model="buys_again"} 1700000000.5"#,
        r#"propense_model_validated_users{model="buys_again"} 1000"#,
        r#"propense_model_reached_expected{model="buys_again"} 101.5"#,
        r#"propense_model_reached_low{model="buys_again"} 80"#,
        r#"propense_model_reached_high{model="buys_again"} 120"#,
        r#"propense_model_reached_actual{model="buys_again"} 125"#,
        r#"propense_model_score_drift{model="buys_again"} 0.125"#,
        verdict,
    ] {
        assert!(page.lines().any(|line| line == row), "{row} is not in {page}");
    }
    assert!(!page.contains("propense_model_feature_drift{"), "{page}");

    // Of another version, or not to be read: nothing is said of it, and the model goes on.
    let broken = content(&digest).replace("watch", "splendid");
    let newer = content(&digest).replace("\"format\":1", "\"format\":2");
    let long = format!("{}{}", content(&digest), " ".repeat(70_000));
    for other in [content("0"), broken, newer, long, String::new()] {
        std::fs::write(&file, content(&digest)).expect("a file");
        models.reload_models(ReloadModelsRequest::default()).await.expect("reloaded");
        assert!(served.metrics().await.contains(verdict));
        std::fs::write(&file, &other).expect("a file");
        models.reload_models(ReloadModelsRequest { names: vec!["buys_again".to_owned()] }).await.expect("reloaded");
        let page = served.metrics().await;
        assert!(!page.contains("propense_model_verdict{") && page.contains("propense_model_info{"), "{page}");
    }
    // A new version was not validated yet.
    std::fs::write(&file, content(&digest)).expect("a file");
    models.reload_models(ReloadModelsRequest::default()).await.expect("reloaded");
    assert!(served.metrics().await.contains(verdict));
    write_model(served.models.path(), "buys_again", "second");
    models.reload_models(ReloadModelsRequest::default()).await.expect("reloaded");
    assert!(!served.metrics().await.contains(verdict));
    assert_eq!(models.list_models(ListModelsRequest {}).await.expect("listed").into_inner().models.len(), 1);
    let said = served.logged();
    assert!(said.contains("buys_again.validation.json is not what propense validate --publish writes"), "{said}");
    assert!(said.contains("has format 2; this version reads 1"), "{said}");
    assert!(said.contains("is larger than 65536 bytes"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_the_page_is_on_the_metrics_port() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let served = Served::start();
    let address = served.server().metrics_address().expect("a page");
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "HTTP/1.1 404"),
        ("GET /metrics/../etc HTTP/1.1\r\n\r\n".to_owned(), "HTTP/1.1 404"),
        ("POST /metrics HTTP/1.1\r\n\r\n".to_owned(), "HTTP/1.1 405"),
        ("\r\n\r\n".to_owned(), "HTTP/1.1 405"),
        ("x".repeat(100_000), "HTTP/1.1 405"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        // A server that hangs up on a flood may reset the connection before its answer is read.
        assert!(answer.starts_with(status) || (answer.is_empty() && request.len() > 10_000), "{request:.20}: {answer}");
    }
}
