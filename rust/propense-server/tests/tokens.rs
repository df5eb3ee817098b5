//! Who may call what.

#![allow(clippy::expect_used)]

mod served;

use std::collections::BTreeSet;

use propense_server::proto::{DESCRIPTORS, Event};
use propense_server::{METHODS, Scope, hash_token};
use prost::Message;
use prost_types::FileDescriptorSet;
use served::{PATIENCE, Served};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

/// Every method of the contract, read from its descriptor.
fn methods() -> Vec<String> {
    let set = FileDescriptorSet::decode(DESCRIPTORS).expect("the descriptor");
    let files = set.file.into_iter().filter(|file| file.package() == "propense.v1");
    let services = files.flat_map(|file| file.service);
    let methods = services.flat_map(|service| {
        let name = service.name().to_owned();
        service.method.into_iter().map(move |method| format!("/propense.v1.{name}/{}", method.name()))
    });
    methods.collect()
}

const READER: &str = "reader-token";
const WRITER: &str = "writer-token";
const ADMIN: &str = "admin-token";
const EXPIRED: &str = "expired-token";
const EVERYTHING: &str = "everything-token";

fn with_tokens() -> (Served, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let token = |token: &str, scopes: &[&str], expires: Option<&str>| serde_json::json!({"name": "t", "sha256": hash_token(token), "scopes": scopes, "expires": expires});
    let all = ["read", "write", "admin"];
    let tokens = serde_json::json!({"tokens": [
        token(READER, &["read"], None),
        token(WRITER, &["write"], None),
        token(ADMIN, &["admin"], Some("9999-01-01T00:00:00Z")),
        token(EXPIRED, &all, Some("2001-01-01T00:00:00Z")),
        token(EVERYTHING, &all, None),
    ]});
    std::fs::write(file.path(), tokens.to_string()).expect("the tokens");
    let served = Served::with(|options| options.tokens = Some(file.path().to_owned()));
    (served, file)
}

/// Calls a method with an empty message, whatever its types: what it answers, or that it answered well.
async fn call(channel: &Channel, path: &str, authorization: Option<&str>) -> (Code, String) {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.expect("a channel");
    let mut request = Request::new(tokio_stream::once(Event::default()));
    request.set_timeout(PATIENCE);
    if let Some(value) = authorization {
        request.metadata_mut().insert("authorization", value.parse().expect("a header"));
    }
    let path = PathAndQuery::try_from(path).expect("a path");
    let codec = ProstCodec::<Event, Event>::default();
    let status = match client.streaming(request, path, codec).await {
        Err(status) => status,
        Ok(response) => {
            let mut messages = response.into_inner();
            match messages.message().await {
                Err(status) => status,
                Ok(_) => return (Code::Ok, String::new()),
            }
        }
    };
    let reason = status.get_details_error_info().map_or_else(String::new, |info| info.reason);
    (status.code(), reason)
}

#[test]
fn the_table_of_methods_is_the_contract() {
    let table: BTreeSet<String> = METHODS.iter().map(|method| method.path.to_owned()).collect();
    let contract: BTreeSet<String> = methods().into_iter().collect();
    assert_eq!(contract.len(), 23);
    let of_propense = table.iter().filter(|path| path.starts_with("/propense.")).cloned().collect();
    assert_eq!(contract, of_propense);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_refuses_no_wrong_expired_and_narrow_tokens() {
    let (served, _file) = with_tokens();
    let channel = served.channel().await;
    for path in methods() {
        let method = METHODS.iter().find(|method| method.path == path).expect("in the table");
        let wrong = format!("Bearer {READER}x");
        let basic = format!("Basic {EVERYTHING}");
        let bare = EVERYTHING.to_owned();
        for authorization in [None, Some(""), Some(wrong.as_str()), Some(&basic), Some(&bare)] {
            let answer = call(&channel, &path, authorization).await;
            assert_eq!(answer, (Code::Unauthenticated, "TOKEN_UNKNOWN".to_owned()), "{path} {authorization:?}");
        }
        let expired = call(&channel, &path, Some(&format!("Bearer {EXPIRED}"))).await;
        assert_eq!(expired, (Code::Unauthenticated, "TOKEN_EXPIRED".to_owned()), "{path}");
        for (scope, token) in [(Scope::Read, READER), (Scope::Write, WRITER), (Scope::Admin, ADMIN)] {
            let (code, reason) = call(&channel, &path, Some(&format!("Bearer {token}"))).await;
            if method.scope == Some(scope) {
                assert!(!matches!(code, Code::Unauthenticated | Code::PermissionDenied), "{path} {token}: {code:?}");
            } else {
                assert_eq!((code, reason.as_str()), (Code::PermissionDenied, "SCOPE_MISSING"), "{path} {token}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_needs_no_token_and_reflection_does() {
    let (served, _file) = with_tokens();
    let channel = served.channel().await;
    let (code, _) = call(&channel, "/grpc.health.v1.Health/Check", None).await;
    assert!(!matches!(code, Code::Unauthenticated | Code::PermissionDenied), "{code:?}");
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        assert_eq!(call(&channel, &path, None).await.0, Code::Unauthenticated);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_the_table_is_refused_before_it_is_said_not_to_exist() {
    let (served, _file) = with_tokens();
    let channel = served.channel().await;
    for path in ["/propense.v1.ScoringService/Nothing", "/other.Service/Method", "/x"] {
        assert_eq!(call(&channel, path, None).await.0, Code::Unauthenticated, "{path}");
        assert_eq!(call(&channel, path, Some(&format!("Bearer {READER}"))).await.0, Code::PermissionDenied, "{path}");
        let known = call(&channel, path, Some(&format!("Bearer {EVERYTHING}"))).await.0;
        assert_eq!(known, Code::Unimplemented, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_authorization_headers_are_none() {
    let (served, _file) = with_tokens();
    let mut models = served.models().await;
    let mut request = Request::new(propense_server::proto::ListModelsRequest {});
    for token in [READER, WRITER] {
        request.metadata_mut().append("authorization", format!("Bearer {token}").parse().expect("a header"));
    }
    let refused = models.list_models(request).await.expect_err("refused");
    assert_eq!(refused.code(), Code::Unauthenticated);
}
