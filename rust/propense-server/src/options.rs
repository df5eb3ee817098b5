//! How a server is to run.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use crate::clock::Clock;
use crate::log::LogLines;

/// Where a server listens, what it serves, whom it lets in, how much it takes on.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// `HOST:PORT`; port 0 picks a free one. Other than a loopback address needs `tls`, and `tokens` or
    /// `tls.client_ca`.
    pub address: String,
    /// `HOST:PORT` of the metrics page, plain HTTP; `None`: no page.
    pub metrics_address: Option<String>,
    /// The directory whose directories are the models.
    pub models: PathBuf,
    /// The server's certificate; `None`: plain text.
    pub tls: Option<TlsFiles>,
    /// A JSON file of tokens: `{"tokens": [{"name": "crm", "sha256": "…", "scopes": ["read"], "expires":
    /// "2030-01-01T00:00:00Z"}]}`. The digest is of the token's text; `expires` may be left out. `None`: whoever can
    /// connect may do everything.
    pub tokens: Option<PathBuf>,
    /// How much it takes on.
    pub limits: Limits,
    /// From the signal to stop until what is still under way is cut off.
    pub drain: Duration,
    /// Where the log's lines go.
    pub log: LogLines,
    /// What it takes for now.
    pub clock: Clock,
}

impl ServerOptions {
    /// The defaults: a free port of this machine only.
    #[must_use]
    pub fn new(models: impl Into<PathBuf>) -> Self {
        Self {
            address: "127.0.0.1:0".to_owned(),
            metrics_address: None,
            models: models.into(),
            tls: None,
            tokens: None,
            limits: Limits::default(),
            drain: Duration::from_secs(8),
            log: LogLines::stderr(),
            clock: Clock::system(),
        }
    }
}

/// PEM files of a TLS server.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The server's certificate and what it is signed with.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who signs clients' certificates; if given, a client without one is not let in.
    pub client_ca: Option<PathBuf>,
}

/// How much a server takes on before it refuses.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections; more wait to be accepted.
    pub connections: usize,
    /// Calls at once on one connection; a client holds back more.
    pub streams_per_connection: u32,
    /// Short calls under way; more are refused with `RESOURCE_EXHAUSTED`.
    pub quick_calls: usize,
    /// Calls that wait until something is on disk; more are refused with `RESOURCE_EXHAUSTED`.
    pub write_calls: usize,
    /// Large batches to be scored under way, those included that wait for their turn; more are refused with
    /// `RESOURCE_EXHAUSTED`.
    pub batch_calls: usize,
    /// Long computations, such as the scores of a batch, that run at once; others wait for their turn.
    pub computations: usize,
    /// Streams under way; more are refused with `RESOURCE_EXHAUSTED`.
    pub bulk_calls: usize,
    /// Streams without an end; more are refused with `RESOURCE_EXHAUSTED`.
    pub watch_calls: usize,
    /// Bytes of a request's headers.
    pub header_bytes: u32,
    /// Bytes of a request message.
    pub message_bytes: usize,
    /// Bytes of a request message with many rows.
    pub batch_bytes: usize,
    /// Bytes of request messages that have begun to arrive, over all calls; beyond, they are refused.
    pub request_memory: usize,
    /// Bytes of answers to large batches that were made and are still to be read; beyond, such calls are refused. Who has
    /// not read one for as long as `stalled_reader` is hung up on.
    pub answer_memory: usize,
    /// Batches of one `StreamEvents` that are under way.
    pub stream_window: usize,
    /// How long a stream waits for a client that does not read.
    pub stalled_reader: Duration,
    /// How long a new connection may take to its first call, TLS included.
    pub first_call: Duration,
    /// A silent connection is asked for a sign of life so often.
    pub keepalive: Duration,
    /// And closed if none comes within this.
    pub keepalive_timeout: Duration,
    /// A connection of this age is told to go elsewhere.
    pub connection_age: Duration,
    /// And is closed after this much longer.
    pub connection_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            connections: 1024,
            streams_per_connection: 128,
            // Two or three milliseconds of work for each core: who is let in waits no longer than that.
            quick_calls: 64 * cores,
            write_calls: 256,
            // Who is let in waits at most as long as six batches take: twice what one in a hundred waits at 80 % load.
            batch_calls: 6 * cores,
            computations: cores,
            bulk_calls: 64,
            watch_calls: 256,
            header_bytes: 16 << 10,
            message_bytes: 4 << 20,
            batch_bytes: 16 << 20,
            request_memory: 32 << 20,
            answer_memory: 32 << 20,
            stream_window: 8,
            stalled_reader: Duration::from_mins(1),
            first_call: Duration::from_secs(20),
            keepalive: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(20),
            connection_age: Duration::from_mins(30),
            connection_grace: Duration::from_hours(1),
        }
    }
}
