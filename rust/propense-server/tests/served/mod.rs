//! A server over a store and models that live in memory and do as a test tells them.

// Every test file uses its own part of this.
#![allow(dead_code, unreachable_pub, unused_imports)]

mod fake;
mod peer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use propense_server::proto::event_service_client::EventServiceClient;
use propense_server::proto::model_service_client::ModelServiceClient;
use propense_server::proto::scoring_service_client::ScoringServiceClient;
use propense_server::proto::user_service_client::UserServiceClient;
use propense_server::proto::{Event, Value, value::Kind};
use propense_server::{LogLines, Server, ServerOptions};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

pub use fake::{Fake, Knobs};
pub use peer::{Peer, framed};

/// Longer than anything here should take.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A running server and all that a test may want of it.
pub struct Served {
    pub server: Option<Server>,
    pub knobs: Arc<Knobs>,
    pub models: TempDir,
    pub log: Arc<Mutex<Vec<u8>>>,
    address: String,
    metrics_address: String,
}

impl Served {
    /// With the model `buys_again`, ready.
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// With options changed, ready.
    pub fn with(change: impl FnOnce(&mut ServerOptions)) -> Self {
        let served = Self::starting(change, || {});
        assert!(served.server().wait_ready(PATIENCE).expect("the server opens"));
        served
    }

    /// Perhaps not ready: `before_open` runs before the store is there.
    pub fn starting(change: impl FnOnce(&mut ServerOptions), before_open: impl FnOnce() + Send + 'static) -> Self {
        let models = TempDir::new().expect("a folder");
        write_model(models.path(), "buys_again", "first");
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut options = ServerOptions::new(models.path());
        options.metrics_address = Some("127.0.0.1:0".to_owned());
        options.log = LogLines::to_memory(Arc::clone(&log)).with_all_calls();
        change(&mut options);
        let knobs = Arc::new(Knobs::default());
        let fake = Fake::new(Arc::clone(&knobs));
        let server = Server::bind(options, move || {
            before_open();
            Ok(fake)
        });
        let server = server.expect("the server binds");
        let address = format!("http://{}", server.address());
        let metrics_address = server.metrics_address().expect("a metrics page").to_string();
        Self { server: Some(server), knobs, models, log, address, metrics_address }
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint::from_shared(self.address.clone()).expect("an address")
    }

    pub async fn channel(&self) -> Channel {
        self.endpoint().connect().await.expect("a connection")
    }

    pub async fn scoring(&self) -> ScoringServiceClient<Channel> {
        ScoringServiceClient::new(self.channel().await)
    }

    pub async fn events(&self) -> EventServiceClient<Channel> {
        EventServiceClient::new(self.channel().await)
    }

    pub async fn users(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(self.channel().await)
    }

    pub async fn models(&self) -> ModelServiceClient<Channel> {
        ModelServiceClient::new(self.channel().await)
    }

    /// The metrics page.
    pub async fn metrics(&self) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(&self.metrics_address).await.expect("the page's port");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: here\r\n\r\n").await.expect("a request");
        let mut page = String::new();
        stream.read_to_string(&mut page).await.expect("an answer");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
        page
    }

    /// One value of the metrics page.
    pub async fn metric(&self, row: &str) -> f64 {
        let page = self.metrics().await;
        let value = page.lines().find_map(|line| line.strip_prefix(row)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {row} in {page}")).parse().expect("a number")
    }

    /// Waits until a value of the metrics page is what it should be.
    pub async fn metric_becomes(&self, row: &str, expected: f64) {
        let began = Instant::now();
        loop {
            let found = self.metric(row).await;
            if found == expected {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{row} stays at {found}, expected {expected}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops it and gives what was logged.
    pub fn logged(&mut self) -> String {
        drop(self.server.take());
        std::thread::sleep(Duration::from_millis(100));
        String::from_utf8(self.log.lock().expect("the log").clone()).expect("text")
    }
}

/// Writes a model's folder; a text with "bad" in it does not load.
pub fn write_model(models: &Path, name: &str, text: &str) {
    std::fs::create_dir_all(models.join(name)).expect("a folder");
    std::fs::write(models.join(name).join("manifest.json"), text).expect("a file");
}

/// An event at a second, with one property.
pub fn event(user: &str, second: i64, event: &str, amount: f64) -> Event {
    Event {
        user_id: user.to_owned(),
        event_time: Some(prost_types::Timestamp { seconds: second, nanos: 0 }),
        event: event.to_owned(),
        event_id: String::new(),
        properties: BTreeMap::from([("amount".to_owned(), Value { kind: Some(Kind::Number(amount)) })]),
    }
}
