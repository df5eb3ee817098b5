"""The one place where a gRPC status becomes an exception."""

from __future__ import annotations

from typing import cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status as RpcStatus

from propense._proto.types_pb2 import Status
from propense.exceptions import (
    AccessError,
    DeadlineError,
    FailedPreconditionError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    ServiceError,
    UnavailableError,
)

_CLASSES: dict[grpc.StatusCode, type[ServiceError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequestError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPreconditionError,
    grpc.StatusCode.UNAUTHENTICATED: AccessError,
    grpc.StatusCode.PERMISSION_DENIED: AccessError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: OverloadedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
}
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}
_DETAILS = "grpc-status-details-bin"


def from_rpc(error: grpc.RpcError, address: str) -> ServiceError:
    """Give the exception for a call that failed."""
    call = cast("grpc.Call", error)
    code, text = call.code(), _in_python(call.details() or "")
    reason, field, retry_after = _details(call)
    message = f"{text or code.name.lower().replace('_', ' ')} ({address})"
    if code is grpc.StatusCode.UNIMPLEMENTED:
        message = f"{address} does not offer this call; is it a propense server, and as new? {text}"
    return _CLASSES.get(code, ServiceError)(
        message, code=code.name, reason=reason, field=field, retry_after=retry_after
    )


def from_status(status: Status) -> ServiceError:
    """Give the exception for one batch or row that failed where others went on."""
    code = _BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    waits = status.HasField("retry_after")
    return _CLASSES.get(code, ServiceError)(
        status.message or code.name.lower().replace("_", " "),
        code=code.name,
        reason=status.reason or None,
        field=status.field or None,
        retry_after=status.retry_after.ToNanoseconds() / 1e9 if waits else None,
    )


def first_kept(error: ServiceError) -> int | None:
    """Give the number of the first transition that is kept, which an error of gRPC may tell."""
    if not isinstance(error.__cause__, grpc.RpcError):
        return None
    for detail in _status_of(cast("grpc.Call", error.__cause__)).details:
        info = ErrorInfo()
        if detail.Unpack(info) and info.metadata.get("first", "").isdecimal():
            return int(info.metadata["first"])
    return None


def _in_python(text: str) -> str:
    """Name the client's methods where a server names calls."""
    for call, method in (("ListModels", "list_models()"), ("ListSegments", "list_segments()")):
        text = text.replace(f"{call} names", f"{method} names")
    return text


def _details(call: grpc.Call) -> tuple[str | None, str | None, float | None]:
    """Give reason, field and seconds to wait, from the status that rides in the trailers."""
    reason = field = retry_after = None
    for detail in _status_of(call).details:
        info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
        if detail.Unpack(info):
            reason, field = info.reason or None, info.metadata.get("field", field)
        elif detail.Unpack(bad) and bad.field_violations:
            field = bad.field_violations[0].field or None
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    return reason, field, retry_after


def _status_of(call: grpc.Call) -> RpcStatus:
    for key, value in call.trailing_metadata() or ():
        if key == _DETAILS and isinstance(value, bytes):
            try:
                return RpcStatus.FromString(value)
            except DecodeError:
                break
    return RpcStatus()
