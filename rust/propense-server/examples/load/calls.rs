//! The calls themselves.

use std::error::Error;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_ipc::writer::StreamWriter;
use propense_server::proto;
use propense_server::proto::event_service_client::EventServiceClient;
use propense_server::proto::scoring_service_client::ScoringServiceClient;
use prost_types::Timestamp;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::outcomes::Answer;
use crate::schedule::splitmix;
use crate::settings::{Mode, Settings};

/// Makes calls over several connections in turn.
pub(crate) struct Caller {
    channels: Vec<Channel>,
    mode: Mode,
    users: Vec<String>,
    model: String,
    as_of: Option<Timestamp>,
    batch: usize,
    deadline: Duration,
    seed: u64,
    events_from_us: i64,
}

impl Caller {
    pub(crate) async fn connect(settings: &Settings) -> Result<Self, Box<dyn Error>> {
        let endpoint = Endpoint::from_shared(format!("http://{}", settings.address))?.tcp_nodelay(true);
        let mut channels = Vec::new();
        for _ in 0..settings.connections {
            channels.push(endpoint.connect().await?);
        }
        Ok(Self {
            channels,
            mode: settings.mode,
            users: settings.users.clone(),
            model: settings.model.clone(),
            as_of: settings.as_of_us.map(timestamp),
            batch: settings.batch,
            deadline: Duration::from_secs_f64(settings.deadline_s),
            seed: settings.seed,
            events_from_us: settings.events_from_us,
        })
    }

    /// Makes one call; its number decides which users it asks for.
    pub(crate) async fn call(&self, number: usize) -> Answer {
        let channel = self.channels[number % self.channels.len()].clone();
        let mode = match (self.mode, number % 20) {
            (Mode::Mixed, 7) => Mode::Batch,
            (Mode::Mixed, 13) => Mode::Ingest,
            (Mode::Mixed, _) => Mode::Unary,
            (mode, _) => mode,
        };
        let answered = match mode {
            Mode::Unary | Mode::Mixed => self.score_user(channel, number).await,
            Mode::Batch => self.batch_score_users(channel, number).await,
            Mode::Stream => self.stream_scores(channel).await,
            Mode::Ingest => self.ingest_events(channel, number).await,
        };
        match answered {
            Ok(rows) => Answer::Rows(rows),
            Err(status) if status.code() == Code::ResourceExhausted => Answer::Refused,
            Err(_) => Answer::Failed,
        }
    }

    async fn score_user(&self, channel: Channel, number: usize) -> Result<u64, Status> {
        let user_id = self.some_users(number, 1).pop().unwrap_or_default();
        let models = vec![self.model.clone()];
        let request = proto::ScoreUserRequest { user_id, models, as_of: self.as_of, include_features: false };
        ScoringServiceClient::new(channel).score_user(self.within(request)).await?;
        Ok(1)
    }

    async fn batch_score_users(&self, channel: Channel, number: usize) -> Result<u64, Status> {
        let user_ids = self.some_users(number, self.batch);
        let request = proto::BatchScoreUsersRequest { user_ids, models: vec![self.model.clone()], as_of: self.as_of };
        let answer = ScoringServiceClient::new(channel).batch_score_users(self.within(request)).await?;
        Ok(answer.into_inner().users.len() as u64)
    }

    async fn stream_scores(&self, channel: Channel) -> Result<u64, Status> {
        let request = proto::StreamScoresRequest {
            model: self.model.clone(),
            as_of: self.as_of,
            tiers: Vec::new(),
            batch_rows: 0,
        };
        let mut stream = ScoringServiceClient::new(channel).stream_scores(self.within(request)).await?.into_inner();
        let mut rows = 0;
        while let Some(message) = stream.message().await? {
            rows += u64::from(message.rows);
        }
        Ok(rows)
    }

    async fn ingest_events(&self, channel: Channel, number: usize) -> Result<u64, Status> {
        let request = proto::IngestEventsRequest { events: Vec::new(), arrow_ipc: self.new_events(number).into() };
        let answer = EventServiceClient::new(channel).ingest_events(self.within(request)).await?;
        Ok(answer.into_inner().receipt.unwrap_or_default().accepted)
    }

    fn within<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.deadline);
        request
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
