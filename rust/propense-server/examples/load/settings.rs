//! What is asked of the generator.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::str::FromStr;

/// What the calls are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One user a call.
    Unary,
    /// `batch` users a call.
    Batch,
    /// The whole audience a call.
    Stream,
    /// `batch` new events a call, durable when it returns.
    Ingest,
    /// Of twenty calls eighteen unary, one batch, one ingest.
    Mixed,
}

pub(crate) struct Settings {
    pub(crate) address: String,
    pub(crate) mode: Mode,
    /// Calls a second, on average.
    pub(crate) rate: f64,
    pub(crate) seconds: f64,
    /// Seconds before these, at the same rate, that do not count.
    pub(crate) warmup_s: f64,
    pub(crate) model: String,
    pub(crate) users: Vec<String>,
    /// None: the server's clock.
    pub(crate) as_of_us: Option<i64>,
    pub(crate) batch: usize,
    pub(crate) connections: usize,
    pub(crate) deadline_s: f64,
    pub(crate) seed: u64,
    /// Events that are sent are of this instant and later, one microsecond each; new runs need a new one.
    pub(crate) events_from_us: i64,
}

impl Settings {
    pub(crate) fn from_arguments(arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let arguments: Vec<String> = arguments.collect();
        let mut given = BTreeMap::new();
        for pair in arguments.chunks(2) {
            let [name, value] = pair else { return Err(format!("{} has no value", pair[0]).into()) };
            given.insert(name.trim_start_matches('-').to_owned(), value.clone());
        }
        let mode = match given.remove("mode").as_deref() {
            None | Some("unary") => Mode::Unary,
            Some("batch") => Mode::Batch,
            Some("stream") => Mode::Stream,
            Some("ingest") => Mode::Ingest,
            Some("mixed") => Mode::Mixed,
            Some(other) => return Err(format!("no mode {other:?}").into()),
        };
        let users: Vec<String> = match given.remove("users") {
            Some(path) => fs::read_to_string(&path)
                .map_err(|error| format!("{path}: {error}"))?
                .lines()
                .map(str::to_owned)
                .collect(),
            None => Vec::new(),
        };
        if users.is_empty() {
            return Err("--users must name a file with one user id a line".into());
        }
        let settings = Self {
            address: given.remove("address").unwrap_or_else(|| "127.0.0.1:50051".to_owned()),
            mode,
            rate: number(&mut given, "rate", 1000.0)?,
            seconds: number(&mut given, "seconds", 5.0)?,
            warmup_s: number(&mut given, "warmup", 1.0)?,
            model: given.remove("model").ok_or("--model must name the model")?,
            users,
            as_of_us: given.remove("as-of-us").map(|text| text.parse()).transpose()?,
            batch: number(&mut given, "batch", 1000)?,
            connections: number(&mut given, "connections", 4)?,
            deadline_s: number(&mut given, "deadline", 10.0)?,
            seed: number(&mut given, "seed", 1)?,
            events_from_us: number(&mut given, "events-from-us", 0)?,
        };
        match given.keys().next() {
            Some(unknown) => Err(format!("no option --{unknown}").into()),
            None if settings.rate > 0.0 && settings.connections > 0 => Ok(settings),
            None => Err("--rate and --connections must be above 0".into()),
        }
    }
}

fn number<T: FromStr<Err: Error + 'static>>(
    given: &mut BTreeMap<String, String>,
    name: &str,
    otherwise: T,
) -> Result<T, Box<dyn Error>> {
    given
        .remove(name)
        .map_or(Ok(otherwise), |text| text.parse().map_err(|error| format!("--{name} {text}: {error}").into()))
}
