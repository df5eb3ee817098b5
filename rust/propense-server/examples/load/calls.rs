//! The calls themselves.

use std::error::Error;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_ipc::writer::StreamWriter;
use bytes::Bytes;
use propense_server::proto;
use prost::Message;
use prost_types::Timestamp;
use tonic::Code;

use crate::grpc::{Connection, framed};
use crate::outcomes::Answer;
use crate::schedule::splitmix;
use crate::settings::{Mode, Settings};

/// So many batches are made beforehand and sent in turn: to make one takes as long as to send several.
const BATCHES: usize = 64;

/// Makes calls over several connections in turn.
pub(crate) struct Caller {
    connections: Vec<Connection>,
    mode: Mode,
    users: Vec<String>,
    model: String,
    as_of: Option<Timestamp>,
    batch: usize,
    deadline: Duration,
    seed: u64,
    events_from_us: i64,
    /// Requests for the scores of a batch.
    batches: Vec<Bytes>,
}

impl Caller {
    pub(crate) async fn connect(settings: &Settings) -> Result<Self, Box<dyn Error>> {
        let mut connections = Vec::new();
        for _ in 0..settings.connections {
            connections.push(Connection::open(&settings.address).await?);
        }
        let mut caller = Self {
            connections,
            mode: settings.mode,
            users: settings.users.clone(),
            model: settings.model.clone(),
            as_of: settings.as_of_us.map(timestamp),
            batch: settings.batch,
            deadline: Duration::from_secs_f64(settings.deadline_s),
            seed: settings.seed,
            events_from_us: settings.events_from_us,
            batches: Vec::new(),
        };
        if matches!(caller.mode, Mode::Batch | Mode::Mixed) {
            caller.batches = (0..BATCHES).map(|number| caller.batch(number)).collect();
        }
        Ok(caller)
    }

    /// Makes one call; its number decides which users it asks for.
    pub(crate) async fn call(&self, number: usize) -> Answer {
        let mode = match (self.mode, number % 20) {
            (Mode::Mixed, 7) => Mode::Batch,
            (Mode::Mixed, 13) => Mode::Ingest,
            (Mode::Mixed, _) => Mode::Unary,
            (mode, _) => mode,
        };
        match mode {
            Mode::Unary | Mode::Mixed => self.score_user(number).await,
            Mode::Batch => self.batch_score_users(number).await,
            Mode::Stream => self.stream_scores(number).await,
            Mode::Ingest => self.ingest_events(number).await,
        }
    }

    async fn score_user(&self, number: usize) -> Answer {
        let user_id = self.some_users(number, 1).pop().unwrap_or_default();
        let models = vec![self.model.clone()];
        let request = proto::ScoreUserRequest { user_id, models, as_of: self.as_of, include_features: false };
        let rows = |_: proto::ScoreUserResponse| 1;
        self.answered(number, "/propense.v1.ScoringService/ScoreUser", framed(&request), rows).await
    }

    async fn batch_score_users(&self, number: usize) -> Answer {
        let request = self.batches[number % BATCHES].clone();
        let rows = |answer: proto::BatchScoreUsersResponse| answer.users.len() as u64;
        self.answered(number, "/propense.v1.ScoringService/BatchScoreUsers", request, rows).await
    }

    fn batch(&self, number: usize) -> Bytes {
        let user_ids = self.some_users(number, self.batch);
        let models = vec![self.model.clone()];
        framed(&proto::BatchScoreUsersRequest { user_ids, models, as_of: self.as_of })
    }

    async fn stream_scores(&self, number: usize) -> Answer {
        let request = proto::StreamScoresRequest {
            model: self.model.clone(),
            as_of: self.as_of,
            tiers: Vec::new(),
            batch_rows: 0,
        };
        let rows = |message: proto::StreamScoresResponse| u64::from(message.rows);
        self.answered(number, "/propense.v1.ScoringService/StreamScores", framed(&request), rows).await
    }

    async fn ingest_events(&self, number: usize) -> Answer {
        let request = proto::IngestEventsRequest { events: Vec::new(), arrow_ipc: self.new_events(number).into() };
        let rows = |answer: proto::IngestEventsResponse| answer.receipt.unwrap_or_default().accepted;
        self.answered(number, "/propense.v1.EventService/IngestEvents", framed(&request), rows).await
    }

    async fn answered<M: Message + Default>(
        &self,
        number: usize,
        path: &str,
        request: Bytes,
        rows: impl Fn(M) -> u64,
    ) -> Answer {
        let connection = self.connections[number % self.connections.len()].clone();
        let mut all = 0;
        match connection.call(path, request, self.deadline, |message| all += rows(message)).await {
            Code::Ok => Answer::Rows(all),
            Code::ResourceExhausted => Answer::Refused,
            _ => Answer::Failed,
        }
    }

    fn some_users(&self, number: usize, count: usize) -> Vec<String> {
        let mut state = self.seed ^ (number as u64).wrapping_mul(0xd134_2543_de82_ef95);
        let known = self.users.len() as u64;
        (0..count).map(|_| self.users[(splitmix(&mut state) % known) as usize].clone()).collect()
    }

    /// Events that no other call of this run sends: every one has an instant of its own.
    fn new_events(&self, number: usize) -> Vec<u8> {
        let users = self.some_users(number, self.batch);
        let first_us = self.events_from_us + (number * self.batch) as i64;
        let times = TimestampMicrosecondArray::from_iter_values(first_us..first_us + users.len() as i64);
        let prices = (0..users.len()).map(|row| (row % 500) as f64 / 4.0);
        let columns: [(&str, ArrayRef); 4] = [
            ("event", Arc::new(StringArray::from_iter_values(users.iter().map(|_| "view_item")))),
            ("user_id", Arc::new(StringArray::from(users))),
            ("event_time", Arc::new(times.with_timezone("UTC"))),
            ("price", Arc::new(Float64Array::from_iter_values(prices))),
        ];
        // Columns of one length, written to memory: neither can fail.
        let batch = RecordBatch::try_from_iter(columns).unwrap_or_else(|error| panic!("{error}"));
        let mut bytes = Cursor::new(Vec::new());
        let written = StreamWriter::try_new(&mut bytes, &batch.schema()).and_then(|mut writer| {
            writer.write(&batch)?;
            writer.finish()
        });
        written.unwrap_or_else(|error| panic!("{error}"));
        bytes.into_inner()
    }
}

fn timestamp(us: i64) -> Timestamp {
    Timestamp { seconds: us.div_euclid(1_000_000), nanos: (us.rem_euclid(1_000_000) * 1_000) as i32 }
}
