//! Segments: who is in which, and what may be changed about them.

use std::collections::BTreeSet;
use std::sync::Arc;

use propense_core::segments::{SegmentDefinition, SegmentError};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::backend::{Backend, Snapshot};
use crate::batches::check_user_id;
use crate::computing::compute;
use crate::error::ServiceError;
use crate::instants::{duration_us, required_us, timestamp};
use crate::proto;
use crate::proto::segment_service_server::SegmentService;
use crate::proto::{
    AdvanceClockRequest, AdvanceClockResponse, Backfill, DeleteSegmentRequest, DeleteSegmentResponse, GetClockRequest,
    GetClockResponse, GetSegmentRequest, GetSegmentResponse, GetUserSegmentsRequest, GetUserSegmentsResponse,
    ListMembersRequest, ListMembersResponse, ListSegmentsRequest, ListSegmentsResponse, Overlap, PutSegmentRequest,
    PutSegmentResponse, Segment, UserSegment, WatchTransitionsRequest, WatchTransitionsResponse,
};
use crate::segments::{LiveSegments, SegmentState, SegmentsError, UserStanding};
use crate::services::answers::Answers;
use crate::services::watch::watch;
use crate::services::{held, ids_of_a_message};
use crate::state::State;
use crate::status::of_segments;

/// Most users of a message of members.
const PAGE_USERS: usize = 4_096;
/// The most that the caller may ask for.
const PAGE_USERS_LIMIT: usize = 65_536;
/// Definitions put at once.
const DEFINITIONS: usize = 256;
/// Bytes of a segment's owner.
const OWNER_BYTES: usize = 1_024;
/// Bytes of a segment's description.
const DESCRIPTION_BYTES: usize = 16 << 10;

pub(crate) struct Segments<B: Backend>(pub(crate) Arc<State<B>>);

/// The live segments, if the server keeps any.
pub(super) fn live<B: Backend>(state: &State<B>) -> Result<Arc<LiveSegments>, ServiceError> {
    state.backend()?.segments().cloned().ok_or(ServiceError::SegmentsOff)
}

#[tonic::async_trait]
impl<B: Backend> SegmentService for Segments<B> {
    async fn list_segments(
        &self,
        request: Request<ListSegmentsRequest>,
    ) -> Result<Response<ListSegmentsResponse>, Status> {
        let held = held(request.extensions());
        let ListSegmentsRequest { include_overlaps } = request.into_inner();
        let (live, users) = (live(&self.0)?, self.0.backend()?.size().users);
        let listed = compute(held, move || {
            let list = live.list(include_overlaps);
            let name = |place: usize| list.segments[place].name.clone();
            let overlap = |&(first, second, users): &(usize, usize, u64)| Overlap {
                first: name(first),
                second: name(second),
                users,
            };
            Ok(ListSegmentsResponse {
                overlaps: list.overlaps.iter().map(overlap).collect(),
                users,
                as_of: Some(timestamp(live.clock().now_us())),
                last_transition: list.last_transition,
                segments: list.segments.into_iter().map(segment).collect(),
            })
        });
        Ok(Response::new(listed.await?))
    }

    async fn get_segment(&self, request: Request<GetSegmentRequest>) -> Result<Response<GetSegmentResponse>, Status> {
        let name = request.into_inner().name;
        let found = live(&self.0)?.get(&name).map_err(|error| of_segments(error, "name"))?;
        Ok(Response::new(GetSegmentResponse { segment: Some(segment(found)) }))
    }

    type ListMembersStream = ReceiverStream<Result<ListMembersResponse, Status>>;

    async fn list_members(
        &self,
        request: Request<ListMembersRequest>,
    ) -> Result<Response<Self::ListMembersStream>, Status> {
        let held = held(request.extensions());
        let ListMembersRequest { segment, after_user_id, page_users } = request.into_inner();
        let page_users = match page_users as usize {
            0 => PAGE_USERS,
            users if users <= PAGE_USERS_LIMIT => users.min(PAGE_USERS),
            users => {
                let problem = format!("expected at most {PAGE_USERS_LIMIT}, found {users}");
                return Err(ServiceError::invalid("page_users", problem).into());
            }
        };
        let live = live(&self.0)?;
        let find = move || live.members(&segment).map_err(|error| of_segments(error, "segment"));
        let mut members = Some(compute(held.clone(), find).await?);
        let (mut answers, stream) = Answers::new(1, self.0.limits.stalled_reader);
        tokio::spawn(async move {
            let (mut after, mut any_sent) = (Some(after_user_id).filter(|after| !after.is_empty()), false);
            while let Some(next) = members.take() {
                let from = after.clone();
                let page = compute(held.clone(), move || Ok((next.page(from.as_deref(), page_users), next)));
                let (page, next) = match page.await {
                    Ok(found) => found,
                    Err(error) => return answers.end(error.into()),
                };
                let (user_ids, is_last) = match page {
                    None => (Vec::new(), true),
                    Some((mut user_ids, last)) => {
                        let fitting = ids_of_a_message(&user_ids);
                        let rest = user_ids.split_off(fitting.min(user_ids.len()));
                        after = if rest.is_empty() { Some(last) } else { user_ids.last().cloned() };
                        (user_ids, false)
                    }
                };
                if !is_last {
                    members = Some(next);
                }
                if !user_ids.is_empty() || !any_sent && is_last {
                    any_sent = true;
                    if !answers.send(ListMembersResponse { user_ids }).await {
                        return;
                    }
                }
            }
        });
        Ok(Response::new(stream))
    }

    async fn get_user_segments(
        &self,
        request: Request<GetUserSegmentsRequest>,
    ) -> Result<Response<GetUserSegmentsResponse>, Status> {
        let held = held(request.extensions());
        let GetUserSegmentsRequest { user_id, segments, without_since } = request.into_inner();
        check_user_id(&user_id, || "user_id".to_owned())?;
        let state = Arc::clone(&self.0);
        let find = move || {
            let live = live(&state)?;
            distinct(&segments, |place| format!("segments[{place}]"))?;
            check_names(&live, &segments)?;
            if !state.backend()?.snapshot().has_user(&user_id) {
                return Err(ServiceError::UserUnknown { path: "user_id".to_owned() });
            }
            let as_of = Some(timestamp(live.clock().now_us()));
            let found =
                if without_since { live.memberships(&user_id, &segments) } else { live.of_user(&user_id, &segments) };
            let standing = |standing: UserStanding| UserSegment {
                segment: standing.segment,
                is_member: standing.is_member,
                since: standing.since_us.map(timestamp),
            };
            let segments = found.map_err(|error| of_segments(error, "segments"))?.into_iter().map(standing).collect();
            Ok(GetUserSegmentsResponse { user_id, segments, as_of })
        };
        // What is only looked up does not wait for a thread behind what is computed.
        Ok(Response::new(if without_since { find()? } else { compute(held, find).await? }))
    }

    type WatchTransitionsStream = ReceiverStream<Result<WatchTransitionsResponse, Status>>;

    async fn watch_transitions(
        &self,
        request: Request<WatchTransitionsRequest>,
    ) -> Result<Response<Self::WatchTransitionsStream>, Status> {
        let held = held(request.extensions());
        let WatchTransitionsRequest { segments, after_number } = request.into_inner();
        let live = live(&self.0)?;
        distinct(&segments, |place| format!("segments[{place}]"))?;
        check_names(&live, &segments)?;
        Ok(Response::new(watch(&self.0, &live, held, segments, after_number)?))
    }

    async fn put_segment(&self, request: Request<PutSegmentRequest>) -> Result<Response<PutSegmentResponse>, Status> {
        let held = held(request.extensions());
        let PutSegmentRequest { definitions, dry_run } = request.into_inner();
        let definitions = definitions_of(definitions)?;
        let live = live(&self.0)?;
        let put = compute(held, move || {
            let names: Vec<String> = definitions.iter().map(|definition| definition.name.clone()).collect();
            let located = |error| located(&names, error);
            if dry_run {
                let (segments, changed) = live.check(&definitions).map_err(located)?;
                return Ok(PutSegmentResponse { segments: segments.into_iter().map(segment).collect(), changed });
            }
            let changed = live.put(definitions).map_err(located)?;
            let segments = names.iter().map(|name| live.get(name).map(segment));
            Ok(PutSegmentResponse { segments: segments.collect::<Result<_, _>>().map_err(located)?, changed })
        });
        Ok(Response::new(put.await?))
    }

    async fn delete_segment(
        &self,
        request: Request<DeleteSegmentRequest>,
    ) -> Result<Response<DeleteSegmentResponse>, Status> {
        let held = held(request.extensions());
        let name = request.into_inner().name;
        let live = live(&self.0)?;
        let deleted = compute(held, move || live.delete(&name).map_err(|error| of_segments(error, "name")));
        Ok(Response::new(DeleteSegmentResponse { members: deleted.await? }))
    }

    async fn get_clock(&self, _: Request<GetClockRequest>) -> Result<Response<GetClockResponse>, Status> {
        self.0.backend()?;
        let clock = &self.0.clock;
        Ok(Response::new(GetClockResponse { now: Some(timestamp(clock.now_us())), simulated: clock.is_simulated() }))
    }

    async fn advance_clock(
        &self,
        request: Request<AdvanceClockRequest>,
    ) -> Result<Response<AdvanceClockResponse>, Status> {
        use proto::advance_clock_request::To;
        let held = held(request.extensions());
        let live = live(&self.0)?;
        let (until_us, path) = match request.into_inner().to {
            Some(To::By(by)) => (self.0.clock.now_us().saturating_add(duration_us(&by, "by")?), "by"),
            Some(To::Until(until)) => (required_us(Some(&until), || "until".to_owned())?, "until"),
            None => {
                return Err(ServiceError::invalid("by", "expected a duration in `by` or an instant in `until`").into());
            }
        };
        let advanced = compute(held, move || {
            live.advance_clock(until_us).map_err(|error| of_segments(error, path))?;
            let now = Some(timestamp(live.clock().now_us()));
            Ok(AdvanceClockResponse { now, last_transition: live.last_transition() })
        });
        Ok(Response::new(advanced.await?))
    }
}

fn segment(state: SegmentState) -> Segment {
    let tier_of = match &state.definition {
        Some(_) => String::new(),
        None => state.name.rsplit_once('.').map(|(model, _)| model.to_owned()).unwrap_or_default(),
    };
    let definition = match state.definition {
        None => proto::SegmentDefinition { name: state.name, ..Default::default() },
        Some(definition) => proto::SegmentDefinition {
            name: definition.name,
            rule: definition.rule,
            stay: definition.stay.unwrap_or_default(),
            min_stay: definition.min_stay.unwrap_or_default(),
            valid_from: definition.valid_from_us.map(timestamp),
            valid_until: definition.valid_until_us.map(timestamp),
            timezone: definition.timezone,
            owner: definition.owner,
            description: definition.description,
            requires_audit: definition.requires_audit,
        },
    };
    Segment {
        definition: Some(definition),
        tier_of,
        members: state.members,
        backfill: state.backfill.map(|(users_done, users_total)| Backfill { users_done, users_total }),
        reads_segments: state.reads_segments,
        reads_models: state.reads_models,
        unaudited_models: state.unaudited_models,
    }
}

fn definitions_of(definitions: Vec<proto::SegmentDefinition>) -> Result<Vec<SegmentDefinition>, ServiceError> {
    let found = definitions.len();
    if !(1..=DEFINITIONS).contains(&found) {
        let problem = format!("expected 1 to {DEFINITIONS} definitions, found {found}");
        return Err(ServiceError::invalid("definitions", problem));
    }
    let names: Vec<String> = definitions.iter().map(|definition| definition.name.clone()).collect();
    distinct(&names, |place| format!("definitions[{place}].name"))?;
    definitions.into_iter().enumerate().map(|(place, definition)| definition_of(place, definition)).collect()
}

fn definition_of(place: usize, definition: proto::SegmentDefinition) -> Result<SegmentDefinition, ServiceError> {
    let path = |field: &str| format!("definitions[{place}].{field}");
    let texts =
        [("owner", &definition.owner, OWNER_BYTES), ("description", &definition.description, DESCRIPTION_BYTES)];
    for (field, text, most) in texts {
        if text.len() > most {
            let problem = format!("expected at most {most} bytes, found {}", text.len());
            return Err(ServiceError::invalid(path(field), problem));
        }
    }
    let instant = |time: Option<prost_types::Timestamp>, field: &str| {
        time.map(|time| required_us(Some(&time), || path(field))).transpose()
    };
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(SegmentDefinition {
        name: definition.name,
        rule: definition.rule,
        stay: text(definition.stay),
        min_stay: text(definition.min_stay),
        valid_from_us: instant(definition.valid_from, "valid_from")?,
        valid_until_us: instant(definition.valid_until, "valid_until")?,
        requires_audit: definition.requires_audit,
        timezone: text(definition.timezone).unwrap_or_else(|| "UTC".to_owned()),
        owner: definition.owner,
        description: definition.description,
    })
}

/// What is wrong with definitions, and where among those of the request.
fn located(names: &[String], error: SegmentsError) -> ServiceError {
    let SegmentsError::Definition(wrong) = &error else { return of_segments(error, "definitions") };
    let field = match wrong.as_ref() {
        SegmentError::Name { .. } | SegmentError::DuplicateName { .. } => "name",
        SegmentError::Rule { part, .. } | SegmentError::NotACondition { part, .. } => part.name(),
        SegmentError::TimeZone { .. } => "timezone",
        SegmentError::NeverValid { .. } => "valid_until",
        SegmentError::NothingToAudit { .. } => "requires_audit",
        SegmentError::Cycle { .. } => "rule",
    };
    let in_cycle = |name: &String| matches!(wrong.as_ref(), SegmentError::Cycle { path } if path.contains(name));
    let place = names.iter().position(|name| name == wrong.segment() || in_cycle(name));
    let path = place.map_or_else(|| "definitions".to_owned(), |place| format!("definitions[{place}].{field}"));
    of_segments(error, &path)
}

fn check_names(live: &LiveSegments, names: &[String]) -> Result<(), ServiceError> {
    let checked = live.check_names(names);
    checked.map_err(|(place, error)| of_segments(error, &format!("segments[{place}]")))
}

fn distinct(names: &[String], path: impl Fn(usize) -> String) -> Result<(), ServiceError> {
    let mut seen = BTreeSet::new();
    match names.iter().position(|name| !seen.insert(name)) {
        Some(place) => Err(ServiceError::invalid(path(place), "the segment is named twice")),
        None => Ok(()),
    }
}
