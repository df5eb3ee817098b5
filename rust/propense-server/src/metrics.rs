//! Counts of what the server does, in the text format of Prometheus.

use std::fmt::Write;
use std::fs;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tonic::Code;

use crate::deliveries::{self, DeliveryCounts};
use crate::methods::METHODS;
use crate::segments::Cause;
use crate::validation::Validation;

/// Upper ends of the latency buckets, in seconds.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Codes 0 (`OK`) to 16 (`UNAUTHENTICATED`).
const CODES: usize = 17;
/// Where calls of methods that are not known count.
const OTHER: usize = METHODS.len();

/// All counts; every one starts at zero with the process.
pub(crate) struct Metrics {
    methods: Vec<MethodCounts>,
    /// Events new in the store.
    pub(crate) ingested: AtomicU64,
    /// Events that the store had already.
    pub(crate) duplicates: AtomicU64,
    /// Connections open.
    pub(crate) connections: AtomicI64,
    /// Reloads that were refused.
    pub(crate) models_refused: AtomicU64,
}

#[derive(Default)]
struct MethodCounts {
    by_code: [AtomicU64; CODES],
    by_bucket: [AtomicU64; BUCKETS.len() + 1],
    total_us: AtomicU64,
    under_way: AtomicI64,
}

/// What is read at the moment the page is asked for.
pub(crate) struct Gauges {
    pub(crate) ready: bool,
    pub(crate) store: Option<crate::backend::StoreSize>,
    /// Names and digests.
    pub(crate) models: Vec<(String, String)>,
    /// Names, and how those versions were found to do.
    pub(crate) validations: Vec<(String, Validation)>,
    /// Places free, by class.
    pub(crate) free: [(&'static str, usize); 4],
    pub(crate) log_lines_dropped: u64,
    pub(crate) segments: Option<SegmentGauges>,
    /// By destination.
    pub(crate) deliveries: Vec<(String, DeliveryCounts)>,
}

/// What the page shows of segments.
pub(crate) struct SegmentGauges {
    /// Segments, and memberships.
    pub(crate) sizes: (u64, u64),
    /// Whether entering, why, how many.
    pub(crate) transitions: Vec<(bool, Cause, u64)>,
    /// Users evaluated, the seconds that took, users of whom it failed, timers that came up.
    pub(crate) evaluations: (u64, f64, u64, u64),
    /// Users still to be evaluated for what was put.
    pub(crate) backfill_left: u64,
    pub(crate) watchers: u64,
    pub(crate) last_transition: u64,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            methods: (0..=METHODS.len()).map(|_| MethodCounts::default()).collect(),
            ingested: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            connections: AtomicI64::new(0),
            models_refused: AtomicU64::new(0),
        }
    }

    pub(crate) fn call_begins(&self, method: Option<usize>) {
        self.methods[method.unwrap_or(OTHER)].under_way.fetch_add(1, Relaxed);
    }

    pub(crate) fn call_ends(&self, method: Option<usize>, code: Code, took: Duration) {
        let counts = &self.methods[method.unwrap_or(OTHER)];
        let seconds = took.as_secs_f64();
        counts.under_way.fetch_sub(1, Relaxed);
        counts.by_code[code as usize % CODES].fetch_add(1, Relaxed);
        counts.by_bucket[BUCKETS.partition_point(|end| *end < seconds)].fetch_add(1, Relaxed);
        counts.total_us.fetch_add(took.as_micros() as u64, Relaxed);
    }

    /// Calls under way.
    pub(crate) fn under_way(&self) -> i64 {
        self.methods.iter().map(|counts| counts.under_way.load(Relaxed)).sum()
    }

    /// The page.
    pub(crate) fn page(&self, gauges: &Gauges) -> String {
        let mut page = Page::default();
        page.family("propense_requests_total", "counter", "Calls that ended, by method and gRPC code.");
        self.each_method(|name, counts| {
            for (code, count) in counts.by_code.iter().enumerate().map(|(code, count)| (code, count.load(Relaxed))) {
                if count > 0 {
                    let code = code_name(Code::from_i32(code as i32));
                    page.row("propense_requests_total", &[("method", name), ("code", code)], count);
                }
            }
        });
        page.family("propense_request_seconds", "histogram", "From a call's headers to the end of its answer.");
        self.each_method(|name, counts| latencies(&mut page, name, counts));
        page.family("propense_requests_in_flight", "gauge", "Calls under way.");
        self.each_method(|name, counts| {
            page.row("propense_requests_in_flight", &[("method", name)], counts.under_way.load(Relaxed));
        });
        page.one("propense_connections", "gauge", "Connections open.", self.connections.load(Relaxed));
        let ingested = self.ingested.load(Relaxed);
        page.one("propense_events_ingested_total", "counter", "Events acknowledged that were new.", ingested);
        let duplicates = self.duplicates.load(Relaxed);
        page.one("propense_events_duplicate_total", "counter", "Events that the store had already.", duplicates);
        let refused = self.models_refused.load(Relaxed);
        page.one("propense_models_refused_total", "counter", "Model versions that were refused.", refused);
        page.gauges(gauges);
        page.text
    }

    fn each_method(&self, mut each: impl FnMut(&str, &MethodCounts)) {
        for (place, counts) in self.methods.iter().enumerate() {
            each(METHODS.get(place).map_or("other", |method| &method.path[1..]), counts);
        }
    }
}

fn latencies(page: &mut Page, name: &str, counts: &MethodCounts) {
    let mut below = 0;
    for (place, bucket) in counts.by_bucket.iter().enumerate() {
        below += bucket.load(Relaxed);
        let end = BUCKETS.get(place).map_or_else(|| "+Inf".to_owned(), f64::to_string);
        page.row("propense_request_seconds_bucket", &[("method", name), ("le", &end)], below);
    }
    let seconds = counts.total_us.load(Relaxed) as f64 / 1e6;
    page.row("propense_request_seconds_sum", &[("method", name)], seconds);
    page.row("propense_request_seconds_count", &[("method", name)], below);
}

/// The text of the page.
#[derive(Default)]
pub(crate) struct Page {
    text: String,
}

impl Page {
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Label values are method paths, code names, names of models and destinations, and digests: none needs escaping.
    pub(crate) fn row(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels.iter().map(|(label, text)| format!("{label}=\"{text}\"")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        self.row(name, &[], value);
    }

    fn gauges(&mut self, gauges: &Gauges) {
        self.one("propense_ready", "gauge", "1 while the server takes calls.", u8::from(gauges.ready));
        if let Some(store) = &gauges.store {
            self.one("propense_store_events", "gauge", "Events in the store.", store.events);
            self.one("propense_store_parts", "gauge", "Sealed parts of the store.", store.parts);
            self.one("propense_store_log_bytes", "gauge", "Bytes of the store's log not yet sealed.", store.log_bytes);
            let resident = store.resident_bytes;
            self.one("propense_store_resident_bytes", "gauge", "Memory that the store holds.", resident);
        }
        self.family("propense_model_info", "gauge", "1 for every model version that is served.");
        for (name, digest) in &gauges.models {
            self.row("propense_model_info", &[("model", name), ("digest", digest)], 1);
        }
        self.validations(&gauges.validations);
        self.family("propense_call_places_free", "gauge", "Calls that could begin now, by class.");
        for (class, free) in gauges.free {
            self.row("propense_call_places_free", &[("class", class)], free);
        }
        let dropped = gauges.log_lines_dropped;
        self.one("propense_log_lines_dropped_total", "counter", "Log lines nobody read in time.", dropped);
        if let Some(segments) = &gauges.segments {
            self.segments(segments);
        }
        let last_transition = gauges.segments.as_ref().map_or(0, |segments| segments.last_transition);
        deliveries::show(self, &gauges.deliveries, last_transition);
        if let Some(resident) = resident_bytes() {
            self.one("process_resident_memory_bytes", "gauge", "Memory of the process.", resident);
        }
    }
}

impl Page {
    /// Of models that were not validated, or of which a number is not known, there is no row.
    fn validations(&mut self, validations: &[(String, Validation)]) {
        type Number = fn(&Validation) -> Option<f64>;
        let families: [(&str, &str, Number); 8] = [
            ("validated_timestamp_seconds", "When it was last validated.", |one| Some(one.validated_us as f64 / 1e6)),
            ("validated_users", "Users whose outcome was compared.", |one| Some(one.users as f64)),
            ("reached_expected", "Of them, how many were to reach the goal.", |one| Some(one.expected)),
            ("reached_low", "The lower end of that forecast.", |one| Some(one.low)),
            ("reached_high", "The upper end of that forecast.", |one| Some(one.high)),
            ("reached_actual", "How many did.", |one| Some(one.actual as f64)),
            ("score_drift", "Population stability of the scores since training.", |one| one.score_drift),
            ("feature_drift", "The same of the feature that moved most.", |one| one.feature_drift),
        ];
        for (name, help, number) in families {
            let name = format!("propense_model_{name}");
            self.family(&name, "gauge", help);
            for (model, validation) in validations {
                if let Some(value) = number(validation) {
                    self.row(&name, &[("model", model)], value);
                }
            }
        }
        self.family("propense_model_verdict", "gauge", "1 for what the validation says of the model.");
        for (model, validation) in validations {
            self.row("propense_model_verdict", &[("model", model), ("verdict", validation.verdict.name())], 1);
        }
    }

    fn segments(&mut self, gauges: &SegmentGauges) {
        let (segments, memberships) = gauges.sizes;
        self.one("propense_segments", "gauge", "Segments, models' tiers included.", segments);
        self.one("propense_memberships", "gauge", "Memberships of users in segments.", memberships);
        self.family("propense_transitions_total", "counter", "Transitions on the disk, by kind and cause.");
        for (enter, cause, count) in &gauges.transitions {
            let kind = if *enter { "enter" } else { "exit" };
            self.row("propense_transitions_total", &[("kind", kind), ("cause", cause.name())], count);
        }
        let last = gauges.last_transition;
        self.one("propense_last_transition", "gauge", "The number of the last transition.", last);
        let (users, seconds, failed, due) = gauges.evaluations;
        self.one("propense_users_evaluated_total", "counter", "Users whose segments were evaluated.", users);
        self.one("propense_evaluation_seconds_total", "counter", "Time that took.", seconds);
        self.one("propense_evaluations_failed_total", "counter", "Users of whom it failed.", failed);
        self.one("propense_timers_due_total", "counter", "Users whose timer came up.", due);
        let left = gauges.backfill_left;
        self.one("propense_backfill_users_left", "gauge", "Users to be evaluated for what was put.", left);
        self.one("propense_watchers", "gauge", "Streams of transitions.", gauges.watchers);
    }
}

/// The process's resident memory, where the system tells.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// A code's name as the standard writes it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
