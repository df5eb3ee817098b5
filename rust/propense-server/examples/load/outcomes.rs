//! What became of the calls, summed up.

use std::time::Duration;

use serde_json::{Value, json};

use crate::settings::Settings;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Well, with so many rows: users scored or events taken.
    Rows(u64),
    /// The server was busy and said so.
    Refused,
    /// In any other way.
    Failed,
}

pub(crate) struct Outcome {
    /// Whether the call was due after the warm-up.
    pub(crate) measured: bool,
    /// From when it was due to when it was made: what the generator itself was late.
    pub(crate) lateness: Duration,
    /// From when it was due to its end.
    pub(crate) latency: Duration,
    pub(crate) answer: Answer,
}

#[derive(Default)]
pub(crate) struct Outcomes {
    late: Vec<Duration>,
    answered: Vec<Duration>,
    refused: Vec<Duration>,
    failed: u64,
    rows: u64,
}

impl FromIterator<Outcome> for Outcomes {
    fn from_iter<I: IntoIterator<Item = Outcome>>(outcomes: I) -> Self {
        let mut all = Self::default();
        for outcome in outcomes {
            all.late.push(outcome.lateness);
            match outcome.answer {
                Answer::Rows(rows) => {
                    all.answered.push(outcome.latency);
                    all.rows += rows;
                }
                Answer::Refused => all.refused.push(outcome.latency),
                Answer::Failed => all.failed += 1,
            }
        }
        all.late.sort_unstable();
        all.answered.sort_unstable();
        all.refused.sort_unstable();
        all
    }
}

impl Outcomes {
    /// `elapsed` is from the first call that counts to the last answer.
    pub(crate) fn to_json(&self, settings: &Settings, elapsed: Duration) -> Value {
        let seconds = elapsed.as_secs_f64();
        json!({
            "mode": format!("{:?}", settings.mode).to_lowercase(),
            "rate": settings.rate,
            "seconds": seconds,
            "answered": self.answered.len(),
            "refused": self.refused.len(),
            "failed": self.failed,
            "answered_per_s": self.answered.len() as f64 / seconds,
            "rows_per_s": self.rows as f64 / seconds,
            "p50_ms": quantile_ms(&self.answered, 0.5),
            "p99_ms": quantile_ms(&self.answered, 0.99),
            "p999_ms": quantile_ms(&self.answered, 0.999),
            "max_ms": quantile_ms(&self.answered, 1.0),
            "refused_p99_ms": quantile_ms(&self.refused, 0.99),
            "late_p99_ms": quantile_ms(&self.late, 0.99),
        })
    }
}

/// The smallest latency that this share of the calls does not exceed.
fn quantile_ms(sorted: &[Duration], share: f64) -> Option<f64> {
    let place = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(place.max(1) - 1).map(|latency| latency.as_secs_f64() * 1e3)
}
