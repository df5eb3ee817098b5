//! Where a server may listen, and with what.

#![allow(clippy::expect_used)]

mod served;

use std::path::PathBuf;
use std::sync::Arc;

use propense_server::proto::ListModelsRequest;
use propense_server::proto::model_service_client::ModelServiceClient;
use propense_server::{Server, ServerError, ServerOptions, TlsFiles, hash_token};
use served::{Fake, Knobs, PATIENCE, Served};
use tempfile::TempDir;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

fn certificate(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(name)
}

fn pem(name: &str) -> Vec<u8> {
    std::fs::read(certificate(name)).expect("a PEM file")
}

fn tls(client_ca: bool) -> TlsFiles {
    TlsFiles {
        certificate: certificate("server.pem"),
        key: certificate("server.key"),
        client_ca: client_ca.then(|| certificate("ca.pem")),
    }
}

fn bind(change: impl FnOnce(&mut ServerOptions)) -> Result<Server, ServerError> {
    let models = TempDir::new().expect("a folder");
    let mut options = ServerOptions::new(models.path());
    change(&mut options);
    Server::bind(options, || Ok(Fake::new(Arc::new(Knobs::default()))))
}

#[test]
fn beyond_loopback_it_needs_tls_and_a_proof_of_who_calls() {
    let tokens = tempfile::NamedTempFile::new().expect("a file");
    let digest = hash_token("token");
    let text = format!(r#"{{"tokens": [{{"name": "a", "sha256": "{digest}", "scopes": ["read"]}}]}}"#);
    std::fs::write(tokens.path(), text).expect("the tokens");
    let tokens = Some(tokens.path().to_owned());
    for address in ["0.0.0.0:0", "[::]:0", "[::ffff:0.0.0.0]:0"] {
        let cases = [
            (None, None, Some("TLS")),
            (None, tokens.clone(), Some("TLS")),
            (Some(tls(false)), None, Some("tokens")),
            (Some(tls(false)), tokens.clone(), None),
            (Some(tls(true)), None, None),
        ];
        for (tls, tokens, missing) in cases {
            let bound = bind(|options| {
                address.clone_into(&mut options.address);
                (options.tls, options.tokens) = (tls, tokens);
            });
            match (bound, missing) {
                (Err(error @ ServerError::Exposed { .. }), Some(missing)) => {
                    assert!(error.to_string().contains(missing), "{error}");
                }
                // A machine without IPv6 has no such address.
                (Ok(_) | Err(ServerError::Bind { .. }), None) => {}
                (bound, _) => panic!("{address}: {:?}, expected {missing:?} missing", bound.err()),
            }
        }
    }
}

#[test]
fn what_is_wrong_with_the_configuration_is_said_at_once() {
    let file = |text: &str| {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        file
    };
    for (text, problem) in [
        ("", "EOF"),
        (r#"{"tokens": []}"#, "no token"),
        (r#"{"tokens": [{"name": "a", "sha256": "00", "scopes": []}]}"#, "64 hex digits"),
        (r#"{"tokens": [{"name": "a", "sha256": "00", "scopes": ["all"]}]}"#, "all"),
        (r#"{"tokens": [{"name": "a", "token": "secret"}]}"#, "token"),
    ] {
        let file = file(text);
        let error = bind(|options| options.tokens = Some(file.path().to_owned())).err().expect("refused");
        assert!(matches!(error, ServerError::File { .. }) && error.to_string().contains(problem), "{error}");
    }
    let expires =
        format!(r#"{{"tokens": [{{"name": "a", "sha256": "{}", "scopes": [], "expires": "soon"}}]}}"#, hash_token("x"));
    let file = file(&expires);
    let error = bind(|options| options.tokens = Some(file.path().to_owned())).err().expect("refused");
    assert!(error.to_string().contains("expires"), "{error}");
    let error = bind(|options| options.tls = Some(TlsFiles { key: certificate("none.key"), ..tls(false) }));
    assert!(matches!(error, Err(ServerError::File { .. })));
    let error = bind(|options| options.tls = Some(TlsFiles { certificate: certificate("server.key"), ..tls(false) }));
    assert!(matches!(error, Err(ServerError::File { .. })));
    let error = bind(|options| "nowhere".clone_into(&mut options.address));
    assert!(matches!(error, Err(ServerError::Address { .. })));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address");
    let error = bind(|options| options.address = taken.to_string());
    assert!(matches!(error, Err(ServerError::Bind { .. })));
}

async fn connect(served: &Served, identity: bool) -> Result<Channel, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem("ca.pem"))).domain_name("localhost");
    if identity {
        tls = tls.identity(Identity::from_pem(pem("client.pem"), pem("client.key")));
    }
    let address = format!("https://{}", served.server().address());
    Endpoint::from_shared(address)?.tls_config(tls)?.connect_timeout(PATIENCE).connect().await
}

async fn lists_models(channel: Channel) -> bool {
    ModelServiceClient::new(channel).list_models(ListModelsRequest {}).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_and_plain_text_is_not_understood() {
    let served = Served::with(|options| options.tls = Some(tls(false)));
    assert!(lists_models(connect(&served, false).await.expect("TLS")).await);
    let plain = served.endpoint().connect().await;
    let understood = match plain {
        Ok(channel) => lists_models(channel).await,
        Err(_) => false,
    };
    assert!(!understood);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_asked_for() {
    let served = Served::with(|options| options.tls = Some(tls(true)));
    assert!(lists_models(connect(&served, true).await.expect("mutual TLS")).await);
    // With TLS 1.3 the client learns that it was turned away only when it reads.
    let turned_away = match connect(&served, false).await {
        Ok(channel) => !lists_models(channel).await,
        Err(_) => true,
    };
    assert!(turned_away);
}
