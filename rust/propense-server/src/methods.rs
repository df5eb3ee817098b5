//! Every method that the server answers: what it takes to be let in, and how it counts against the limits.

use crate::auth::Scope;

/// How a call counts against the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Health and reflection: never shed, so that a full server still answers its orchestrator.
    Free,
    /// Short calls about one thing: each takes a core for a fraction of a millisecond.
    Quick,
    /// Calls that are answered once something is on disk: they wait, mostly.
    Write,
    /// Calls that score thousands of rows: each takes a core for as long as it lasts.
    Batch,
    /// Streams, and what else takes its time.
    Bulk,
    /// Streams without an end, which mostly wait.
    Watch,
}

/// One method of a service.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// As in the request line: `/package.Service/Method`.
    pub path: &'static str,
    /// The scope a token needs; `None`: no token at all.
    pub scope: Option<Scope>,
    /// How it counts.
    pub class: Class,
    /// Whether its requests hold many rows, and may be as large as that takes.
    pub batch: bool,
}

const fn method(path: &'static str, scope: Scope, class: Class) -> Method {
    Method { path, scope: Some(scope), class, batch: false }
}

const fn batch(path: &'static str, scope: Scope, class: Class) -> Method {
    Method { path, scope: Some(scope), class, batch: true }
}

const fn open(path: &'static str) -> Method {
    Method { path, scope: None, class: Class::Free, batch: false }
}

/// All of them. What is not here is refused, whatever the router knows.
pub const METHODS: &[Method] = &[
    method("/propense.v1.ScoringService/ScoreUser", Scope::Read, Class::Quick),
    batch("/propense.v1.ScoringService/BatchScoreUsers", Scope::Read, Class::Batch),
    batch("/propense.v1.ScoringService/ScoreEvents", Scope::Read, Class::Batch),
    method("/propense.v1.ScoringService/ExplainUser", Scope::Read, Class::Quick),
    method("/propense.v1.ScoringService/StreamScores", Scope::Read, Class::Bulk),
    batch("/propense.v1.EventService/IngestEvents", Scope::Write, Class::Write),
    batch("/propense.v1.EventService/StreamEvents", Scope::Write, Class::Bulk),
    method("/propense.v1.UserService/GetUser", Scope::Read, Class::Quick),
    batch("/propense.v1.UserService/PutProfiles", Scope::Write, Class::Write),
    method("/propense.v1.UserService/ExportUser", Scope::Admin, Class::Bulk),
    method("/propense.v1.UserService/EraseUser", Scope::Admin, Class::Write),
    method("/propense.v1.ModelService/ListModels", Scope::Read, Class::Quick),
    method("/propense.v1.ModelService/GetModel", Scope::Read, Class::Quick),
    method("/propense.v1.ModelService/ReloadModels", Scope::Admin, Class::Bulk),
    method("/propense.v1.SegmentService/ListSegments", Scope::Read, Class::Quick),
    method("/propense.v1.SegmentService/GetSegment", Scope::Read, Class::Quick),
    method("/propense.v1.SegmentService/ListMembers", Scope::Read, Class::Bulk),
    method("/propense.v1.SegmentService/GetUserSegments", Scope::Read, Class::Quick),
    method("/propense.v1.SegmentService/WatchTransitions", Scope::Read, Class::Watch),
    method("/propense.v1.SegmentService/PutSegment", Scope::Admin, Class::Write),
    method("/propense.v1.SegmentService/DeleteSegment", Scope::Admin, Class::Write),
    method("/propense.v1.SegmentService/GetClock", Scope::Read, Class::Quick),
    method("/propense.v1.SegmentService/AdvanceClock", Scope::Admin, Class::Bulk),
    open("/grpc.health.v1.Health/Check"),
    open("/grpc.health.v1.Health/Watch"),
    method("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Scope::Read, Class::Free),
    method("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Scope::Read, Class::Free),
];

/// The place of a method in [`METHODS`].
pub(crate) fn find(path: &str) -> Option<usize> {
    METHODS.iter().position(|method| method.path == path)
}
