//! The segment service as clients see it: puts and refusals, members, transitions that resume, time that passes.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use propense_server::proto::event_service_client::EventServiceClient;
use propense_server::proto::segment_service_client::SegmentServiceClient;
use propense_server::proto::user_service_client::UserServiceClient;
use propense_server::proto::{
    AdvanceClockRequest, Cause, DeleteSegmentRequest, EraseUserRequest, Event, GetClockRequest, GetSegmentRequest,
    GetUserSegmentsRequest, IngestEventsRequest, ListMembersRequest, ListSegmentsRequest, PutSegmentRequest,
    SegmentDefinition, Transition, TransitionKind, WatchTransitionsRequest, WatchTransitionsResponse,
    advance_clock_request::To,
};
use propense_server::{Clock, LiveOptions, LogLines, Server, ServerOptions, StoreBackend};
use propense_store::StoreOptions;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

const NOW_S: i64 = 1_767_225_600;
const DAY_S: i64 = 86_400;
const PATIENCE: Duration = Duration::from_secs(30);

struct Served {
    server: Server,
    channel: Channel,
}

impl Served {
    async fn start(folder: &Path, clock: Clock) -> Self {
        let models = folder.join("models");
        std::fs::create_dir_all(&models).unwrap();
        let store = folder.join("store");
        let mut options = ServerOptions::new(&models);
        options.log = LogLines::to_memory(std::sync::Arc::default());
        options.clock = clock.clone();
        let live = LiveOptions { clock, log: Some(options.log.clone()), segments: Vec::new() };
        let options_of_store = StoreOptions { background: false, ..StoreOptions::default() };
        let server = Server::bind(options, move || Ok(StoreBackend::open(store, options_of_store, live)?)).unwrap();
        assert!(server.wait_ready(PATIENCE).unwrap());
        let channel = Endpoint::from_shared(format!("http://{}", server.address())).unwrap().connect().await.unwrap();
        Self { server, channel }
    }

    async fn simulated(folder: &Path) -> Self {
        Self::start(folder, Clock::simulated(NOW_S * 1_000_000)).await
    }

    fn segments(&self) -> SegmentServiceClient<Channel> {
        SegmentServiceClient::new(self.channel.clone())
    }

    async fn send(&self, user: &str, second: i64, event: &str) {
        let event = Event {
            user_id: user.to_owned(),
            event_time: Some(prost_types::Timestamp { seconds: second, nanos: 0 }),
            event: event.to_owned(),
            ..Event::default()
        };
        let request = IngestEventsRequest { events: vec![event], ..IngestEventsRequest::default() };
        EventServiceClient::new(self.channel.clone()).ingest_events(request).await.unwrap();
    }

    async fn put(&self, name: &str, rule: &str) -> Result<Vec<String>, Status> {
        self.put_all(&[(name, rule)], false).await
    }

    async fn put_all(&self, rules: &[(&str, &str)], dry_run: bool) -> Result<Vec<String>, Status> {
        let definition = |(name, rule): &(&str, &str)| SegmentDefinition {
            name: (*name).to_owned(),
            rule: (*rule).to_owned(),
            ..SegmentDefinition::default()
        };
        let definitions = rules.iter().map(definition).collect();
        let put = self.segments().put_segment(PutSegmentRequest { definitions, dry_run }).await?;
        Ok(put.into_inner().changed)
    }

    async fn advance(&self, seconds: i64) -> u64 {
        let to = Some(To::By(prost_types::Duration { seconds, nanos: 0 }));
        self.segments().advance_clock(AdvanceClockRequest { to }).await.unwrap().into_inner().last_transition
    }

    async fn watch(
        &self,
        segments: &[&str],
        after_number: Option<u64>,
    ) -> Result<Streaming<WatchTransitionsResponse>, Status> {
        let segments = segments.iter().map(|name| (*name).to_owned()).collect();
        let stream = self.segments().watch_transitions(WatchTransitionsRequest { segments, after_number }).await;
        Ok(stream?.into_inner())
    }

    async fn names_of(&self, user: &str) -> Vec<String> {
        let request = GetUserSegmentsRequest { user_id: user.to_owned(), ..GetUserSegmentsRequest::default() };
        let found = self.segments().get_user_segments(request).await.unwrap().into_inner();
        found.segments.into_iter().map(|segment| segment.segment).collect()
    }

    async fn members(&self, segment: &str, page_users: u32) -> Vec<String> {
        let request = ListMembersRequest { segment: segment.to_owned(), page_users, ..ListMembersRequest::default() };
        let mut stream = self.segments().list_members(request).await.unwrap().into_inner();
        let mut members = Vec::new();
        while let Some(page) = stream.message().await.unwrap() {
            members.extend(page.user_ids);
        }
        members
    }
}

/// The next transitions of a stream.
async fn next(stream: &mut Streaming<WatchTransitionsResponse>, count: usize) -> Vec<Transition> {
    let mut transitions = Vec::new();
    while transitions.len() < count {
        let message = tokio::time::timeout(PATIENCE, stream.message()).await.unwrap().unwrap().unwrap();
        transitions.extend(message.transitions);
    }
    transitions
}

fn told(transition: &Transition) -> (u64, &str, &str, bool, Cause) {
    let Transition { number, user_id, segment, .. } = transition;
    (*number, user_id, segment, transition.kind() == TransitionKind::Enter, transition.cause())
}

fn field(status: &Status) -> String {
    status
        .get_details_bad_request()
        .and_then(|bad| bad.field_violations.first().map(|first| first.field.clone()))
        .unwrap()
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap().reason
}

fn nearest(status: &Status) -> Option<String> {
    status.get_details_error_info().unwrap().metadata.remove("nearest")
}

#[tokio::test(flavor = "multi_thread")]
async fn three_contacts_enter_and_time_alone_leaves() {
    let folder = TempDir::new().unwrap();
    let served = Served::simulated(folder.path()).await;
    assert_eq!(served.put("at_risk", "count(support_contact, '30d') >= 3").await.unwrap(), ["at_risk"]);
    assert_eq!(served.put("at_risk", "count( support_contact,'30d')>=3").await.unwrap(), Vec::<String>::new());
    let mut stream = served.watch(&[], None).await.unwrap();
    assert_eq!(next(&mut stream, 0).await, []);
    for day in 1..=3 {
        served.send("ann", NOW_S - day * DAY_S, "support_contact").await;
        served.send("bob", NOW_S - day * DAY_S, "purchase").await;
    }
    let entered = next(&mut stream, 1).await;
    assert_eq!(told(&entered[0]), (1, "ann", "at_risk", true, Cause::Event));
    assert_eq!(entered[0].time.as_ref().unwrap().seconds, NOW_S);
    assert_eq!(served.names_of("ann").await, ["at_risk"]);
    assert_eq!(served.members("at_risk", 0).await, ["ann"]);

    // The oldest contact is three days old: it leaves the window in 27 days and a microsecond.
    assert_eq!(served.advance(26 * DAY_S).await, 1);
    assert_eq!(served.advance(DAY_S).await, 1);
    assert_eq!(served.advance(1).await, 2);
    let left = next(&mut stream, 1).await;
    assert_eq!(told(&left[0]), (2, "ann", "at_risk", false, Cause::Time));
    let time = left[0].time.as_ref().unwrap();
    assert_eq!((time.seconds, time.nanos), (NOW_S + 27 * DAY_S, 1_000));
    assert_eq!(served.names_of("ann").await, Vec::<String>::new());
    assert_eq!(served.members("at_risk", 1).await, Vec::<String>::new());
    assert!(served.server.segments().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_resume_anywhere_also_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let served = Served::simulated(folder.path()).await;
    served
        .put_all(&[("a", "count(x) >= 1"), ("b", "count(x) >= 2"), ("c", "in_segment(a) AND NOT in_segment(b)")], false)
        .await
        .unwrap();
    for user in 0..20 {
        served.send(&format!("user {user:02}"), NOW_S - 100, "x").await;
        served.send(&format!("user {user:02}"), NOW_S - 90, "x").await;
    }
    // Each enters a and c, then b, and leaves c.
    let all = next(&mut served.watch(&[], Some(0)).await.unwrap(), 80).await;
    let numbers: Vec<u64> = all.iter().map(|transition| transition.number).collect();
    assert_eq!(numbers, (1..=80).collect::<Vec<u64>>());
    let of_b: Vec<_> = all.iter().filter(|transition| transition.segment == "b").cloned().collect();
    assert_eq!(next(&mut served.watch(&["b"], Some(0)).await.unwrap(), 20).await, of_b);
    assert_eq!(reason(&served.watch(&[], Some(81)).await.unwrap_err()), "TRANSITIONS_AHEAD");
    let unknown = served.watch(&["a", "nobody"], None).await.unwrap_err();
    assert_eq!(nearest(&unknown), None, "{unknown}");
    assert_eq!((unknown.code(), reason(&unknown).as_str()), (Code::NotFound, "SEGMENT_UNKNOWN"));
    drop(served);

    let served = Served::simulated(folder.path()).await;
    for after in [0, 1, 17, 79] {
        let rest = next(&mut served.watch(&[], Some(after)).await.unwrap(), 80 - after as usize).await;
        assert_eq!(rest, all[after as usize..]);
    }
    let mut stream = served.watch(&[], Some(80)).await.unwrap();
    UserServiceClient::new(served.channel.clone())
        .erase_user(EraseUserRequest { user_id: "user 03".to_owned() })
        .await
        .unwrap();
    let erased = next(&mut stream, 2).await;
    assert_eq!(told(&erased[0]), (81, "user 03", "a", false, Cause::Erased));
    assert_eq!(told(&erased[1]), (82, "user 03", "b", false, Cause::Erased));
    // Who was away meanwhile is told as long as this server runs.
    assert_eq!(next(&mut served.watch(&[], Some(80)).await.unwrap(), 2).await, erased);
    drop(stream);
    drop(served);
    // After that nothing tells of the user, and the others keep their numbers.
    let served = Served::simulated(folder.path()).await;
    let rest = next(&mut served.watch(&[], Some(0)).await.unwrap(), 76).await;
    let expected: Vec<_> = all.into_iter().filter(|transition| transition.user_id != "user 03").collect();
    assert_eq!(rest, expected);
    // Who reads on comes past the numbers that are gone, though nothing follows them.
    let page = served.server.transitions_after(80, 10, Duration::ZERO).unwrap();
    assert_eq!((page.transitions.len(), page.up_to), (0, 82));
    served.send("user 99", NOW_S - 5, "x").await;
    let more = next(&mut served.watch(&[], Some(80)).await.unwrap(), 2).await;
    assert_eq!(told(&more[0]), (83, "user 99", "a", true, Cause::Event));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused_where_it_is_and_the_rest_stays() {
    let folder = TempDir::new().unwrap();
    let served = Served::simulated(folder.path()).await;
    served.send("ann", NOW_S - 100, "purchase").await;
    served.put("vip", "count(purchase) >= 1").await.unwrap();
    let cases = [
        ("vip", "count(purchase >= 1", "definitions[0].rule"),
        ("vip", "count(purchas) >= 1", "definitions[0].rule"),
        ("vip", "score(buys) > 0.5", "definitions[0].rule"),
        ("vip", "in_segment(wip)", "definitions[0].rule"),
        ("vip", "count(purchase) = 'many'", "definitions[0].rule"),
        ("vip", "count(purchase)", "definitions[0].rule"),
        ("not/a/name", "count(purchase) >= 1", "definitions[0].name"),
        ("vip", "in_segment(vip)", "definitions[0].rule"),
    ];
    for (name, rule, path) in cases {
        let refused = served.put(name, rule).await.unwrap_err();
        assert_eq!((refused.code(), field(&refused).as_str()), (Code::InvalidArgument, path), "{rule}: {refused}");
    }
    let misspelt = served.put("vip", "count(purchas) >= 1").await.unwrap_err();
    assert!(misspelt.message().contains("purchase"), "{misspelt}");
    let circle = [("a", "in_segment(b)"), ("b", "in_segment(a)")];
    let refused = served.put_all(&circle, false).await.unwrap_err();
    assert!(refused.message().contains("a → b → a"), "{refused}");
    assert_eq!(served.names_of("ann").await, ["vip"]);

    // A dry run changes nothing; a segment that is read stays.
    assert_eq!(served.put_all(&[("big", "count(purchase) >= 1 AND in_segment(vip)")], true).await.unwrap(), ["big"]);
    assert_eq!(served.names_of("ann").await, ["vip"]);
    served.put("big", "count(purchase) >= 1 AND in_segment(vip)").await.unwrap();
    let delete = |name: &str| {
        let (mut client, name) = (served.segments(), name.to_owned());
        async move { client.delete_segment(DeleteSegmentRequest { name }).await }
    };
    assert_eq!(reason(&delete("vip").await.unwrap_err()), "SEGMENT_IN_USE");
    let unknown = delete("nobody").await.unwrap_err();
    assert_eq!((reason(&unknown).as_str(), nearest(&unknown)), ("SEGMENT_UNKNOWN", None));
    assert!(unknown.message().contains("ListSegments"), "{unknown}");
    let name = "vop".to_owned();
    let members = ListMembersRequest { segment: name.clone(), ..ListMembersRequest::default() };
    let of_user =
        GetUserSegmentsRequest { user_id: "ann".to_owned(), segments: vec![name.clone()], without_since: true };
    let unknown = [
        delete("vop").await.unwrap_err(),
        served.segments().get_segment(GetSegmentRequest { name }).await.unwrap_err(),
        served.segments().list_members(members).await.unwrap_err(),
        served.segments().get_user_segments(of_user).await.unwrap_err(),
        served.watch(&["big", "vop"], None).await.unwrap_err(),
    ];
    for status in unknown {
        assert_eq!((status.code(), nearest(&status).as_deref()), (Code::NotFound, Some("vip")), "{status}");
        assert!(status.message().ends_with(": there is no such segment; did you mean \"vip\"?"), "{status}");
    }
    served.server.segments().unwrap().catch_up().unwrap();
    assert_eq!(delete("big").await.unwrap().into_inner().members, 1);
    assert_eq!(delete("vip").await.unwrap().into_inner().members, 1);
    let list = served.segments().list_segments(ListSegmentsRequest { include_overlaps: true }).await.unwrap();
    assert_eq!((list.get_ref().segments.len(), list.get_ref().users), (0, 1));
    let backwards =
        AdvanceClockRequest { to: Some(To::Until(prost_types::Timestamp { seconds: NOW_S - 1, nanos: 0 })) };
    let refused = served.segments().advance_clock(backwards).await.unwrap_err();
    assert_eq!((refused.code(), field(&refused).as_str()), (Code::InvalidArgument, "until"));
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_overlaps_and_pages() {
    let folder = TempDir::new().unwrap();
    let served = Served::simulated(folder.path()).await;
    for user in 0..30 {
        served.send(&format!("user {user:02}"), NOW_S - 100, if user % 2 == 0 { "even" } else { "odd" }).await;
        if user % 3 == 0 {
            served.send(&format!("user {user:02}"), NOW_S - 50, "third").await;
        }
    }
    served
        .put_all(&[("evens", "count(even) >= 1"), ("thirds", "count(third) >= 1"), ("none", "count(*) > 9")], false)
        .await
        .unwrap();
    served.server.segments().unwrap().catch_up().unwrap();
    let list =
        served.segments().list_segments(ListSegmentsRequest { include_overlaps: true }).await.unwrap().into_inner();
    let counts: Vec<(&str, u64, bool)> = (list.segments.iter())
        .map(|segment| {
            (segment.definition.as_ref().unwrap().name.as_str(), segment.members, segment.backfill.is_some())
        })
        .collect();
    assert_eq!(counts, [("evens", 15, false), ("none", 0, false), ("thirds", 10, false)]);
    assert_eq!((list.users, list.last_transition), (30, 25));
    let overlaps: Vec<_> = list.overlaps.iter().map(|shared| (&*shared.first, &*shared.second, shared.users)).collect();
    assert_eq!(overlaps, [("evens", "thirds", 5)]);
    let expected: Vec<String> = (0..30).step_by(3).map(|user| format!("user {user:02}")).collect();
    for page in [1, 4, 7, 0] {
        assert_eq!(served.members("thirds", page).await, expected);
    }
    let request = GetUserSegmentsRequest {
        user_id: "user 06".to_owned(),
        segments: ["none", "thirds"].map(str::to_owned).to_vec(),
        without_since: false,
    };
    let found = served.segments().get_user_segments(request.clone()).await.unwrap().into_inner();
    let standings: Vec<_> = found.segments.iter().map(|segment| (&*segment.segment, segment.is_member)).collect();
    assert_eq!(standings, [("none", false), ("thirds", true)]);
    let since = found.segments[1].since.as_ref().unwrap();
    assert_eq!((since.seconds, since.nanos), (NOW_S - 50, 1_000));
    // Without `since` the same, and as little as that.
    let quick = GetUserSegmentsRequest { without_since: true, ..request };
    let quick = served.segments().get_user_segments(quick).await.unwrap().into_inner();
    let standings: Vec<_> = quick.segments.iter().map(|one| (&*one.segment, one.is_member, &one.since)).collect();
    assert_eq!(standings, [("none", false, &None), ("thirds", true, &None)]);
    for without_since in [false, true] {
        let of = |user: &str, segments: &[&str]| GetUserSegmentsRequest {
            user_id: user.to_owned(),
            segments: segments.iter().map(|name| (*name).to_owned()).collect(),
            without_since,
        };
        let all = served.segments().get_user_segments(of("user 06", &[])).await.unwrap().into_inner();
        let names: Vec<_> = all.segments.iter().map(|segment| (&*segment.segment, segment.is_member)).collect();
        assert_eq!(names, [("evens", true), ("thirds", true)]);
        let unknown = served.segments().get_user_segments(of("nobody", &[])).await.unwrap_err();
        assert_eq!(reason(&unknown), "USER_UNKNOWN");
        let unknown = served.segments().get_user_segments(of("user 06", &["nothing"])).await.unwrap_err();
        assert_eq!(reason(&unknown), "SEGMENT_UNKNOWN");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_clock_cannot_be_advanced_and_drives_timers() {
    let folder = TempDir::new().unwrap();
    let served = Served::start(folder.path(), Clock::system()).await;
    let clock = served.segments().get_clock(GetClockRequest {}).await.unwrap().into_inner();
    assert!(!clock.simulated);
    let to = Some(To::By(prost_types::Duration { seconds: 1, nanos: 0 }));
    let refused = served.segments().advance_clock(AdvanceClockRequest { to }).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "CLOCK_NOT_SIMULATED"));

    // So long that a slow machine has the event in time.
    served.put("just_now", "count(x, '5s') >= 1").await.unwrap();
    let mut stream = served.watch(&["just_now"], None).await.unwrap();
    let clock = served.segments().get_clock(GetClockRequest {}).await.unwrap().into_inner();
    served.send("ann", clock.now.unwrap().seconds, "x").await;
    let moved = next(&mut stream, 2).await;
    assert_eq!(told(&moved[0]), (1, "ann", "just_now", true, Cause::Event));
    assert_eq!(told(&moved[1]), (2, "ann", "just_now", false, Cause::Time));
}
