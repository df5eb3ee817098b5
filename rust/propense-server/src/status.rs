//! The one map from what went wrong to gRPC statuses with details.

use std::collections::HashMap;
use std::time::Duration;

use propense_store::{BatchError, BatchProblem};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::backend::ModelError;
use crate::error::ServiceError;
use crate::proto;
use crate::segments::SegmentsError;
use propense_store::WriteError;

/// The domain of every `ErrorInfo`.
const DOMAIN: &str = "propense";
/// Tells gRPC's clients, which try again whatever is exhausted, that there is no use in it: a negative number, by gRPC's
/// proposal A6, "Pushback".
const RETRY_PUSHBACK: &str = "grpc-retry-pushback-ms";

/// What a status says besides its message.
struct Meaning<'a> {
    code: Code,
    reason: &'static str,
    /// The field at fault.
    path: Option<&'a str>,
    /// Where trying again can help: when.
    retry_after: Option<Duration>,
}

impl ServiceError {
    fn meaning(&self) -> Meaning<'_> {
        let plain = |code, reason| Meaning { code, reason, path: None, retry_after: None };
        let field = |code, reason, path| Meaning { path: Some(path), ..plain(code, reason) };
        let later =
            |code, reason, millis| Meaning { retry_after: Some(Duration::from_millis(millis)), ..plain(code, reason) };
        match self {
            Self::Invalid { path, .. } => field(Code::InvalidArgument, "INVALID_FIELD", path),
            Self::UserUnknown { path } => field(Code::NotFound, "USER_UNKNOWN", path),
            Self::ModelUnknown { path } => field(Code::NotFound, "MODEL_UNKNOWN", path),
            Self::KindConflict { path, .. } => field(Code::FailedPrecondition, "KIND_CONFLICT", path),
            Self::ModelUnfit { .. } => plain(Code::FailedPrecondition, "MODEL_UNFIT"),
            Self::NotExplained { .. } => plain(Code::FailedPrecondition, "NOT_EXPLAINED"),
            Self::SegmentUnknown { path, .. } => field(Code::NotFound, "SEGMENT_UNKNOWN", path),
            Self::SegmentInUse { path, .. } => field(Code::FailedPrecondition, "SEGMENT_IN_USE", path),
            Self::SegmentOfModel { path } => field(Code::FailedPrecondition, "SEGMENT_OF_MODEL", path),
            Self::SegmentsOff => plain(Code::FailedPrecondition, "SEGMENTS_OFF"),
            Self::SegmentsFailed { .. } => plain(Code::Internal, "SEGMENTS_FAILED"),
            Self::TransitionsGone { path, .. } => field(Code::OutOfRange, "TRANSITIONS_GONE", path),
            Self::TransitionsAhead { path, .. } => field(Code::OutOfRange, "TRANSITIONS_AHEAD", path),
            Self::ClockNotSimulated => plain(Code::FailedPrecondition, "CLOCK_NOT_SIMULATED"),
            Self::TokenUnknown => plain(Code::Unauthenticated, "TOKEN_UNKNOWN"),
            Self::TokenExpired => plain(Code::Unauthenticated, "TOKEN_EXPIRED"),
            Self::ScopeMissing { .. } => plain(Code::PermissionDenied, "SCOPE_MISSING"),
            Self::Overloaded => later(Code::ResourceExhausted, "OVERLOADED", 100),
            Self::MessageTooLarge { .. } => plain(Code::ResourceExhausted, "MESSAGE_TOO_LARGE"),
            Self::AnswerTooLarge { .. } => plain(Code::ResourceExhausted, "ANSWER_TOO_LARGE"),
            Self::TooManyFields { .. } => plain(Code::InvalidArgument, "TOO_MANY_FIELDS"),
            Self::StoreBusy => later(Code::ResourceExhausted, "STORE_BUSY", 100),
            Self::NoSpace => later(Code::ResourceExhausted, "DISK_FULL", 10_000),
            Self::DiskFailed => later(Code::Unavailable, "DISK_FAILED", 1_000),
            Self::Starting => later(Code::Unavailable, "STARTING", 500),
            Self::Stopping => later(Code::Unavailable, "STOPPING", 500),
            Self::ReaderStalled => plain(Code::Aborted, "READER_STALLED"),
            Self::DeadlineExceeded => plain(Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
            Self::Internal { .. } => plain(Code::Internal, "INTERNAL"),
        }
    }

    /// The same as a row's or a message's status.
    pub(crate) fn to_row(&self) -> proto::Status {
        let Meaning { code, reason, path, retry_after } = self.meaning();
        proto::Status {
            code: code as i32,
            message: self.to_string(),
            reason: reason.to_owned(),
            field: path.unwrap_or_default().to_owned(),
            retry_after: retry_after.and_then(|after| after.try_into().ok()),
        }
    }
}

impl From<ServiceError> for Status {
    fn from(error: ServiceError) -> Self {
        let message = error.to_string();
        let Meaning { code, reason, path, retry_after } = error.meaning();
        let mut metadata = HashMap::new();
        if let Some(path) = path {
            metadata.insert("field".to_owned(), path.to_owned());
        }
        if let ServiceError::TransitionsGone { first, .. } = &error {
            metadata.insert("first".to_owned(), first.to_string());
        }
        if let ServiceError::SegmentUnknown { nearest: Some(nearest), .. } = &error {
            metadata.insert("nearest".to_owned(), nearest.clone());
        }
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, DOMAIN, metadata);
        if let (Code::InvalidArgument, Some(path)) = (code, path) {
            details.add_bad_request_violation(path, message.clone());
        }
        if retry_after.is_some() {
            details.set_retry_info(retry_after);
        }
        let mut status = Status::with_error_details(code, message, details);
        if code == Code::ResourceExhausted && retry_after.is_none() {
            status.metadata_mut().insert(RETRY_PUSHBACK, MetadataValue::from_static("-1"));
        }
        status
    }
}

/// The status of a row that fared well.
pub(crate) fn ok_row() -> proto::Status {
    proto::Status::default()
}

/// What a failed write means to the caller who sent these rows.
pub(crate) fn of_write(error: WriteError, rows: Rows) -> ServiceError {
    match error {
        WriteError::Busy => ServiceError::StoreBusy,
        WriteError::NoSpace { .. } => ServiceError::NoSpace,
        WriteError::Invalid(error) => of_batch(&error, rows),
        WriteError::Failed { .. } => ServiceError::DiskFailed,
        WriteError::Refused(problem) => ServiceError::Invalid { path: String::new(), problem },
        WriteError::Closed => ServiceError::Stopping,
    }
}

/// What went wrong with segments; `path` names the field that the call is about.
pub(crate) fn of_segments(error: SegmentsError, path: &str) -> ServiceError {
    let path = path.to_owned();
    match error {
        SegmentsError::Definition(error) => ServiceError::Invalid { path, problem: error.to_string() },
        SegmentsError::Unknown { nearest, .. } => ServiceError::SegmentUnknown { path, nearest },
        SegmentsError::InUse { by } => ServiceError::SegmentInUse { path, by },
        SegmentsError::OfModel => ServiceError::SegmentOfModel { path },
        SegmentsError::Gone { first } => ServiceError::TransitionsGone { path, first },
        SegmentsError::Ahead { last } => ServiceError::TransitionsAhead { path, last },
        SegmentsError::Unreadable(problem) | SegmentsError::Evaluation(ModelError(problem)) => {
            ServiceError::SegmentsFailed { problem }
        }
        SegmentsError::ClockNotSimulated => ServiceError::ClockNotSimulated,
        SegmentsError::ClockBackwards => ServiceError::Invalid { path, problem: error.to_string() },
        SegmentsError::Write(error) => of_write(error, Rows::Profiles),
    }
}

/// What the rows of a request are, as paths name them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rows {
    Events,
    Profiles,
}

/// What a rule that a batch breaks means to the caller who sent it.
pub(crate) fn of_batch(error: &BatchError, rows: Rows) -> ServiceError {
    let (rows, values) = match rows {
        Rows::Events => ("events", "properties"),
        Rows::Profiles => ("profiles", "attributes"),
    };
    let field = match (error.problem.field(), &error.problem) {
        (
            _,
            BatchProblem::Kind { name, .. }
            | BatchProblem::ReservedName { name }
            | BatchProblem::TextLength { name, .. },
        ) => {
            format!("{values}[{name:?}]")
        }
        ("properties", _) => values.to_owned(),
        (field, _) => field.to_owned(),
    };
    let path = match error.row {
        None => rows.to_owned(),
        Some(row) if field.is_empty() => format!("{rows}[{row}]"),
        Some(row) => format!("{rows}[{row}].{field}"),
    };
    let problem = error.problem.to_string();
    match error.problem {
        BatchProblem::Kind { .. } => ServiceError::KindConflict { path, problem },
        _ => ServiceError::Invalid { path, problem },
    }
}
