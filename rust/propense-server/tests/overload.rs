//! More than a server can do (S1): it goes on doing what it can, and refuses the rest at once.

#![allow(clippy::expect_used)]

mod served;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use propense_server::proto::scoring_service_client::ScoringServiceClient;
use propense_server::proto::{BatchScoreUsersRequest, IngestEventsRequest, ScoreUserRequest};
use served::{Served, event};
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Channel;

/// Batches that are scored at once, and those that may be under way.
const COMPUTATIONS: usize = 2;
const PLACES: usize = 6 * COMPUTATIONS;
/// What a batch takes.
const SCORE_MS: u64 = 20;
/// Who is refused is told so within this.
const AT_ONCE: Duration = Duration::from_millis(10);
/// More events of one user than are scored beside short calls.
const LONG_HISTORY: i64 = 8_200;
/// A machine that is shared stalls now and then; a server that queues does so every time.
const ATTEMPTS: u64 = 4;
/// Where more of a hundred short naps than this last so much too long, delays say nothing of the server.
const BUSY: (usize, Duration) = (1, Duration::from_millis(5));
/// Nor where other processes take more of the cores than this.
const OTHERS_SHARE: f64 = 0.1;

type Scoring = ScoringServiceClient<Channel>;

/// How the calls of a run fared, and how long after they were due.
#[derive(Default)]
struct Fared {
    answered: Vec<Duration>,
    refused: Vec<Duration>,
}

fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took.get(took.len() * 99 / 100).copied().unwrap_or_default()
}

/// What takes a core for long.
#[derive(Debug, Clone, Copy)]
enum Work {
    Batch,
    LongHistory,
}

async fn call(mut scoring: Scoring, work: Work) -> Result<(), Code> {
    let answer = match work {
        Work::Batch => {
            let request = BatchScoreUsersRequest { user_ids: vec!["a".to_owned()], ..Default::default() };
            scoring.batch_score_users(request).await.map(|_| ())
        }
        Work::LongHistory => {
            let request = ScoreUserRequest { user_id: "long".to_owned(), ..Default::default() };
            scoring.score_user(request).await.map(|_| ())
        }
    };
    answer.map_err(|status| status.code())
}

/// Calls at random instants, so many a second on average, whatever became of the earlier ones.
async fn open_loop(clients: &[Scoring], work: Work, rate: f64, seconds: f64, seed: u64) -> Fared {
    let (began, mut due_s, mut random) = (Instant::now(), 0.0, seed);
    let mut calls = JoinSet::new();
    for client in clients.iter().cycle() {
        // Knuth's generator of 64 bits; its upper half is random enough.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        due_s -= (1.0 - (random >> 32) as f64 / 2f64.powi(32)).ln() / rate;
        if due_s > seconds {
            break;
        }
        let due = began + Duration::from_secs_f64(due_s);
        tokio::time::sleep_until(due.into()).await;
        let client = client.clone();
        calls.spawn(async move { (call(client, work).await, due.elapsed()) });
    }
    let mut fared = Fared::default();
    while let Some(ended) = calls.join_next().await {
        match ended.expect("no panic") {
            (Ok(()), took) => fared.answered.push(took),
            (Err(code), took) => {
                assert_eq!(code, Code::ResourceExhausted);
                fared.refused.push(took);
            }
        }
    }
    fared
}

/// Calls a second that are answered if as many as may be are always under way.
async fn capacity(clients: &[Scoring], work: Work) -> f64 {
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for place in 0..PLACES {
        let client = clients[place % clients.len()].clone();
        callers.spawn(async move {
            let mut answered = 0;
            while began.elapsed() < Duration::from_secs(1) {
                answered += usize::from(call(client.clone(), work).await.is_ok());
            }
            answered
        });
    }
    let answered: usize = callers.join_all().await.into_iter().sum();
    answered as f64 / began.elapsed().as_secs_f64()
}

/// Whether other work on the machine delays what is due, as seen for as long as a run lasts.
async fn is_busy(stop: Arc<AtomicBool>) -> bool {
    let (mut late, before) = (Vec::new(), Ticks::now());
    while !stop.load(SeqCst) {
        let (nap, began) = (Duration::from_millis(1), Instant::now());
        tokio::time::sleep(nap).await;
        late.push(began.elapsed().saturating_sub(nap) > BUSY.1);
    }
    let delays = late.iter().filter(|&&late| late).count() * 100 > late.len() * BUSY.0;
    delays || before.zip(Ticks::now()).is_some_and(|(before, after)| before.others_share(after) > OTHERS_SHARE)
}

/// How long the machine's cores have been at work, in the kernel's ticks.
#[derive(Clone, Copy)]
struct Ticks {
    all: u64,
    idle: u64,
    own: u64,
}

impl Ticks {
    /// `None` where the kernel does not tell, as elsewhere than on Linux.
    fn now() -> Option<Self> {
        let machine = std::fs::read_to_string("/proc/stat").ok()?;
        let cores: Vec<u64> = machine.lines().next()?.split_whitespace().skip(1).flat_map(str::parse).collect();
        let own = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The name, which comes first, may hold anything but ends with the last bracket.
        let own: Vec<&str> = own.rsplit(')').next()?.split_whitespace().collect();
        let own = own.get(11..13)?.iter().flat_map(|ticks| ticks.parse::<u64>()).sum();
        // Of the ten columns the last two are in the first two already; the fourth and fifth are idle.
        Some(Self { all: cores.get(..8)?.iter().sum(), idle: cores[3] + cores[4], own })
    }

    /// The share of the cores that others than this process have taken since.
    fn others_share(self, after: Self) -> f64 {
        let (all, idle, own) = (after.all - self.all, after.idle - self.idle, after.own - self.own);
        all.saturating_sub(idle).saturating_sub(own) as f64 / all.max(1) as f64
    }
}

/// What does not hold of two and ten times what the server can do.
async fn what_fails(clients: &[Scoring], work: Work, seed: u64) -> Vec<String> {
    let capacity = capacity(clients, work).await;
    let usual = p99(open_loop(clients, work, 0.8 * capacity, 3.0, seed).await.answered);
    let mut failing = Vec::new();
    for factor in [2.0, 10.0] {
        let seconds = 2.0;
        let fared = open_loop(clients, work, factor * capacity, seconds, seed).await;
        let goodput = fared.answered.len() as f64 / seconds / capacity;
        let (answered, refused) = (p99(fared.answered), p99(fared.refused));
        let holds = goodput >= 0.9 && answered <= 2 * usual && refused > Duration::ZERO && refused <= AT_ONCE;
        println!(
            "{work:?}, {factor} times {capacity:.0}/s: goodput {goodput:.2}, p99 {answered:?} (usual {usual:?}), refused {refused:?}"
        );
        if !holds {
            failing.push(format!("{factor}x: goodput {goodput}, p99 {answered:?} of {usual:?}, refused {refused:?}"));
        }
    }
    failing
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_it_can_do_is_refused_at_once_and_the_rest_done_as_ever() {
    let served = Served::with(|options| {
        options.limits.computations = COMPUTATIONS;
        options.limits.batch_calls = PLACES;
    });
    let events = (0..LONG_HISTORY).map(|second| event("long", second, "view", 1.0)).chain([event("a", 1, "view", 1.0)]);
    let request = IngestEventsRequest { events: events.collect(), ..Default::default() };
    served.events().await.ingest_events(request).await.expect("ingested");
    served.knobs.score_ms.store(SCORE_MS, SeqCst);
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(served.scoring().await);
    }
    for work in [Work::Batch, Work::LongHistory] {
        holds(&served, &clients, work).await;
    }
}

/// Tries until it holds on a machine that does nothing else.
async fn holds(served: &Served, clients: &[Scoring], work: Work) {
    let mut failed = Vec::new();
    for seed in 1..=ATTEMPTS {
        let stop = Arc::new(AtomicBool::new(false));
        let busy = tokio::spawn(is_busy(Arc::clone(&stop)));
        let failing = what_fails(clients, work, seed).await;
        stop.store(true, SeqCst);
        // As soon as it is over, all is as before.
        served.metric_becomes(r#"propense_call_places_free{class="batch"}"#, PLACES as f64).await;
        call(clients[0].clone(), work).await.expect("answered");
        if failing.is_empty() {
            return;
        }
        if busy.await.expect("no panic") {
            println!("not counted, as the machine was busy with something else: {failing:?}");
        } else {
            failed.push(failing);
        }
    }
    assert!(failed.len() < 2, "{work:?}: {failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_computed_at_once_than_may_be() {
    let served = Served::with(|options| {
        options.limits.computations = 1;
        options.limits.batch_calls = 4;
    });
    let request = IngestEventsRequest { events: vec![event("a", 1, "view", 1.0)], ..Default::default() };
    served.events().await.ingest_events(request).await.expect("ingested");
    served.knobs.score_ms.store(150, SeqCst);
    let client = served.scoring().await;
    let began = Instant::now();
    let calls: Vec<_> = (0..4).map(|_| tokio::spawn(call(client.clone(), Work::Batch))).collect();
    for one in calls {
        one.await.expect("no panic").expect("answered");
    }
    assert!(began.elapsed() >= Duration::from_millis(600), "{:?}", began.elapsed());
}
