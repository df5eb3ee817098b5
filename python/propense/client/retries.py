"""Which calls gRPC tries again by itself, and how often."""

from __future__ import annotations

# Five attempts, the most that gRPC allows, within about 5 s: a restart takes less.
_BACKOFF = {
    "maxAttempts": 5,
    "initialBackoff": "0.2s",
    "maxBackoff": "4s",
    "backoffMultiplier": 2.5,
}
_BUSY, _GONE = "RESOURCE_EXHAUSTED", "UNAVAILABLE"


def _methods(*names: str) -> list[dict[str, str]]:
    """Give ``Service/Method`` as the service config writes it."""
    parts = (name.split("/") for name in names)
    return [{"service": f"propense.v1.{service}", "method": method} for service, method in parts]


# What changes nothing, or the same thing however often it is sent, is retried wherever it failed.
# The rest is retried only where nothing was taken: a second write of attributes could undo someone
# else's, a segment deleted twice is not found, and a clock advanced twice is too far.
SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [
                {"service": "propense.v1.ScoringService"},
                {"service": "propense.v1.ModelService"},
                *_methods(
                    "EventService/IngestEvents",
                    "UserService/GetUser",
                    "UserService/ExportUser",
                    "UserService/EraseUser",
                    "SegmentService/ListSegments",
                    "SegmentService/GetSegment",
                    "SegmentService/ListMembers",
                    "SegmentService/GetUserSegments",
                    "SegmentService/WatchTransitions",
                    "SegmentService/PutSegment",
                    "SegmentService/GetClock",
                ),
            ],
            "retryPolicy": _BACKOFF | {"retryableStatusCodes": [_GONE, _BUSY]},
        },
        {
            "name": _methods(
                "UserService/PutProfiles",
                "SegmentService/DeleteSegment",
                "SegmentService/AdvanceClock",
            ),
            "retryPolicy": _BACKOFF | {"retryableStatusCodes": [_BUSY]},
        },
    ],
    # Where more attempts fail than succeed, for long, retries stop, so that they do not keep a server
    # down. gRPC counts over all of a process's connections to a server: a restart that takes a while
    # must not use that up.
    "retryThrottling": {"maxTokens": 1000, "tokenRatio": 1.0},
}
