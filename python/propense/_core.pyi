from collections.abc import Callable
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "EventLog",
    "OnnxModel",
    "Plan",
    "Profiles",
    "audience",
    "check_audience",
    "check_goal",
    "compute",
    "compute_columns",
    "declare",
    "event_types_named",
    "everyone",
    "fingerprint",
    "initialise_onnxruntime",
    "parse_duration_us",
    "reference",
    "score_users",
]

@final
class EventLog:
    @staticmethod
    def from_arrow(stream: object, user: str, time: str, event: str) -> EventLog: ...
    def with_profiles(self, profiles: Profiles) -> EventLog: ...
    @property
    def n_events(self) -> int: ...
    @property
    def n_users(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def event_types(self) -> list[str]: ...
    @property
    def properties(self) -> list[tuple[str, str]]: ...
    @property
    def attributes(self) -> list[tuple[str, str]]: ...
    @property
    def time_span_us(self) -> tuple[int, int] | None: ...
    def summary(self, before_us: int) -> str: ...
    def user_ids(self, users: NDArray[np.uint32]) -> Any: ...

@final
class Profiles:
    @staticmethod
    def from_arrow(stream: object, user: str) -> Profiles: ...
    def __len__(self) -> int: ...
    @property
    def attributes(self) -> list[tuple[str, str]]: ...

@final
class Plan:
    @staticmethod
    def compile(spec: str, log: EventLog, *, strict: bool, before_us: int) -> Plan: ...
    @property
    def spec(self) -> str: ...
    @property
    def width(self) -> int: ...

@final
class OnnxModel:
    def __new__(cls, model: bytes, width: int) -> OnnxModel: ...
    @property
    def batch_invariant(self) -> bool: ...
    def score(self, rows: NDArray[np.float32]) -> NDArray[np.float32]: ...

def declare(features: list[tuple[str | None, str]], timezone: str) -> str: ...
def fingerprint(spec: str) -> str: ...
def check_goal(text: str, log: EventLog) -> str: ...
def check_audience(text: str, log: EventLog) -> str: ...
def event_types_named(text: str) -> list[str]: ...
def parse_duration_us(text: str) -> int: ...
def compute(
    log: EventLog,
    plan: Plan,
    users: NDArray[np.uint32],
    *,
    start_us: int | None,
    end_us: int,
    report: Callable[[int], object] | None = None,
) -> NDArray[np.float32]: ...
def compute_columns(
    log: EventLog,
    plan: Plan,
    users: NDArray[np.uint32],
    *,
    as_of_us: int,
    report: Callable[[int], object] | None = None,
) -> Any: ...
def everyone(log: EventLog, as_of_us: int) -> NDArray[np.uint32]: ...
def audience(log: EventLog, plan: Plan, as_of_us: int) -> NDArray[np.uint32]: ...
def reference(
    log: EventLog, expression: str, timezone: str, *, start_us: int | None, end_us: int
) -> NDArray[np.float64]: ...
def initialise_onnxruntime(library: str) -> None: ...
def score_users(
    log: EventLog,
    plan: Plan,
    model: OnnxModel,
    users: NDArray[np.uint32],
    *,
    as_of_us: int,
    report: Callable[[int], object] | None = None,
) -> NDArray[np.float32]: ...
