//! Live segments under load, in one process: how soon a watcher sees what an acknowledged event leads to, and how long
//! everybody's evaluation takes, alone and beside the load.
//!
//! ```text
//! cargo run --release --example segments -- --folder F --models M [--users 1000000] [--events 10] [--rate 20000]
//!     [--seconds 20]
//! ```
//!
//! `M` is a folder of models, which need ONNX Runtime: `PROPENSE_ORT_LIBRARY` is the path of its library; their tiers are segments, and twenty more are put. The store is kept in `F` and filled once.
//! One line of JSON a measurement goes to standard output.

mod filling;

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use filling::{definitions, fill, random_event};
use propense_core::segments::SegmentDefinition;
use propense_server::proto::WatchTransitionsRequest;
use propense_server::proto::segment_service_client::SegmentServiceClient;
use propense_server::{LiveOptions, LiveSegments, LogLines, Server, ServerOptions, StoreBackend, Write};
use propense_store::{EventBatch, Store, StoreOptions};
use serde_json::json;
use tokio::runtime::Builder;

type Failure = Box<dyn Error + Send + Sync>;

/// Batches a second.
const BATCHES: u64 = 50;

struct Settings {
    folder: PathBuf,
    models: PathBuf,
    users: u64,
    events: u64,
    rate: u64,
    seconds: u64,
}

fn settings() -> Result<Settings, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut given: BTreeMap<&str, &str> = BTreeMap::new();
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { return Err(format!("{} has no value", pair[0]).into()) };
        given.insert(name.trim_start_matches('-'), value);
    }
    let path = |name: &str| given.get(name).map(PathBuf::from).ok_or(format!("--{name} is needed"));
    let number = |name: &str, usual: u64| given.get(name).map_or(Ok(usual), |text| text.parse());
    Ok(Settings {
        folder: path("folder")?,
        models: path("models")?,
        users: number("users", 1_000_000)?,
        events: number("events", 10)?,
        rate: number("rate", 20_000)?,
        seconds: number("seconds", 20)?,
    })
}

fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

fn tell(what: &str, measured: &serde_json::Value) {
    println!("{}", json!({"what": what, "measured": measured}));
}

fn main() -> Result<(), Failure> {
    let settings = settings()?;
    let store = settings.folder.join("store");
    if !store.exists() {
        std::fs::create_dir_all(&settings.folder)?;
        let began = Instant::now();
        fill(&store, settings.users, settings.events, now_us())?;
        tell("fill", &json!({"seconds": began.elapsed().as_secs_f64()}));
    }
    if let Some(library) = std::env::var_os("PROPENSE_ORT_LIBRARY") {
        propense_onnx::initialise(Path::new(&library))?;
    }
    let server = serve(&settings, &store)?;
    let live = server.segments().ok_or("no segments")?;
    timed("start", &live)?;
    live.put(definitions(0))?;
    timed("first evaluation of 20 segments", &live)?;
    live.put(definitions(1))?;
    timed("evaluation anew of 20 changed segments", &live)?;
    under_load(&settings, &server, &live)
}

fn serve(settings: &Settings, store: &Path) -> Result<Server, Failure> {
    let options = ServerOptions { log: LogLines::stderr(), ..ServerOptions::new(&settings.models) };
    let live = LiveOptions { log: Some(options.log.clone()), ..LiveOptions::default() };
    let store = store.to_owned();
    let server = Server::bind(options, move || Ok(StoreBackend::open(store, StoreOptions::default(), live)?))?;
    while !server.wait_ready(Duration::from_mins(1))? {}
    Ok(server)
}

/// Waits until a pass is done, and tells how long that took.
fn timed(what: &str, live: &LiveSegments) -> Result<f64, Failure> {
    let began = Instant::now();
    live.catch_up()?;
    let seconds = began.elapsed().as_secs_f64();
    tell(what, &json!({"seconds": seconds, "transitions": live.last_transition()}));
    Ok(seconds)
}

/// When each probe was acknowledged, and when it was seen.
#[derive(Default)]
struct Probes(Mutex<HashMap<String, Probe>>);

/// Acknowledged, and seen.
type Probe = (Option<Instant>, Option<Instant>);

impl Probes {
    fn note(&self, user: &str, seen: bool) {
        let mut probes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let probe = probes.entry(user.to_owned()).or_default();
        let instant = if seen { &mut probe.1 } else { &mut probe.0 };
        *instant = Some(Instant::now());
    }

    /// Milliseconds from acknowledged to seen, ascending; and how many were not seen.
    fn delays_ms(&self) -> (Vec<f64>, usize) {
        let probes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let acknowledged = probes.values().filter_map(|(acknowledged, seen)| acknowledged.map(|at| (at, *seen)));
        let (mut delays, mut unseen) = (Vec::new(), 0);
        for (acknowledged, seen) in acknowledged {
            match seen {
                // Who watches may be told before who writes.
                Some(seen) => delays.push(seen.saturating_duration_since(acknowledged).as_secs_f64() * 1e3),
                None => unseen += 1,
            }
        }
        delays.sort_by(f64::total_cmp);
        (delays, unseen)
    }
}

/// Events at a rate, a watcher over gRPC, and in the middle a new segment.
fn under_load(settings: &Settings, server: &Server, live: &Arc<LiveSegments>) -> Result<(), Failure> {
    let probes = Arc::new(Probes::default());
    let mut first = EventBatch::new();
    first.push_event("first probe", now_us() - 1, "probe", None)?;
    live.store().ingest(first)?;
    let probe = SegmentDefinition::new("probe", "count(probe, '1h') >= 1");
    live.put(vec![probe])?;
    timed("evaluation of one more segment", live)?;
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = watch(server, Arc::clone(&probes))?;
    let (sent, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let ingest = thread::spawn({
        let (stop, probes, live) = (Arc::clone(&stop), Arc::clone(&probes), Arc::clone(live));
        let (sent, refused) = (Arc::clone(&sent), Arc::clone(&refused));
        let (users, rate) = (settings.users, settings.rate);
        move || ingest(live.store(), users, rate, &stop, &probes, &sent, &refused)
    });
    let half = Duration::from_secs(settings.seconds.div_ceil(2));
    let began = Instant::now();
    thread::sleep(half);
    let put = Instant::now();
    live.put(vec![SegmentDefinition::new("late", "count(purchase, '14d') >= 2 AND recency(*) < 20")])?;
    while live.get("late")?.backfill.is_some() {
        thread::sleep(Duration::from_millis(20));
    }
    tell("backfill beside the load", &json!({"seconds": put.elapsed().as_secs_f64()}));
    thread::sleep(half.saturating_sub(put.elapsed()));
    stop.store(true, SeqCst);
    let _ = ingest.join();
    let seconds = began.elapsed().as_secs_f64();
    thread::sleep(Duration::from_secs(2));
    let (delays, unseen) = probes.delays_ms();
    let percentile = |share: f64| delays.get((delays.len() as f64 * share) as usize).copied();
    tell(
        "acknowledged to seen by a watcher",
        &json!({
            "events_per_s": sent.load(SeqCst) as f64 / seconds, "refused": refused.load(SeqCst), "probes": delays.len(),
            "unseen": unseen, "p50_ms": percentile(0.5), "p99_ms": percentile(0.99), "max_ms": delays.last(),
            "resident_bytes": resident_bytes(),
        }),
    );
    drop(watcher);
    Ok(())
}

fn ingest(
    store: &Store,
    users: u64,
    rate: u64,
    stop: &AtomicBool,
    probes: &Arc<Probes>,
    sent: &Arc<AtomicU64>,
    refused: &Arc<AtomicU64>,
) {
    let (began, mut batches, mut number) = (Instant::now(), 0_u64, 0_u64);
    while !stop.load(SeqCst) {
        let due = began + Duration::from_micros(batches * 1_000_000 / BATCHES);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut batch = EventBatch::new();
        let mut of_batch = Vec::new();
        for _ in 0..rate / BATCHES {
            number += 1;
            random_event(&mut batch, users, number, now_us());
        }
        for probe in 0..4 {
            // Somebody new, who enters with this.
            let user = format!("probe {number}-{probe}");
            if batch.push_event(&user, now_us() - 1_000, "probe", None).is_ok() {
                of_batch.push(user);
            }
        }
        let (probes, sent, refused) = (Arc::clone(probes), Arc::clone(sent), Arc::clone(refused));
        let events = batch.len() as u64;
        let told = Arc::clone(&refused);
        let reply = Box::new(move |written: Result<_, _>| match written {
            Ok(_) => {
                for user in &of_batch {
                    probes.note(user, false);
                }
                sent.fetch_add(events, SeqCst);
            }
            Err(_) => drop(refused.fetch_add(events, SeqCst)),
        });
        if store.submit(Write::Events(batch), reply).is_err() {
            told.fetch_add(events, SeqCst);
        }
        batches += 1;
    }
}

/// A client that watches the probes over gRPC until it is dropped.
fn watch(server: &Server, probes: Arc<Probes>) -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let address = format!("http://{}", server.address());
    let mut stream = runtime.block_on(async {
        let mut client = SegmentServiceClient::connect(address).await?;
        let request = WatchTransitionsRequest { segments: vec!["probe".to_owned()], after_number: None };
        Ok::<_, Failure>(client.watch_transitions(request).await?.into_inner())
    })?;
    runtime.spawn(async move {
        while let Ok(Some(message)) = stream.message().await {
            message.transitions.iter().for_each(|transition| probes.note(&transition.user_id, true));
        }
    });
    Ok(runtime)
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
