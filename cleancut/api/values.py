"""Values of the API: what all of them have in common, and how core records become them.

They are the shapes of `-o json` as well as of the Python client. Field names equal those of
proto/cleancut/v1 (a test proves it), so `wire` translates both ways without a list of fields.
What is unknown is None, and always present. Nothing here does I/O.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

SCHEMA = 1
"""Version of the JSON shapes; grows when a field changes its meaning or goes away."""


Time = Annotated[
    str,
    msgspec.Meta(
        extra_json_schema={"format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}
    ),
]
"""RFC 3339 in UTC, whole seconds: `format_second`."""


class ApiValue(msgspec.Struct, frozen=True, kw_only=True):
    """Base: immutable, keyword-only; every field is written out, defaults too."""


V = TypeVar("V", bound=ApiValue)


def to_value(kind: type[V], record: msgspec.Struct, **other: object) -> V:
    """The value of `kind` with the fields that `record` has too, and with `other`, which wins.

    Raises: TypeError, if a field without a default is in neither.
    """
    same = set(kind.__struct_fields__) & set(record.__struct_fields__)
    return kind(**{name: getattr(record, name) for name in same} | other)


class OperationError(ApiValue, frozen=True):
    """`reason` is UPPER_SNAKE and stable: what scripts match."""

    reason: str
    message: str
    hint: str = ""


class CommandError(ApiValue, frozen=True):
    """Why a command line failed; one line of JSON on stderr where JSON was asked for. `code`: the
    exit code. `reason` as in `OperationError`, or INTERRUPTED."""

    code: int
    message: str
    hint: str
    reason: str


class AgentProgress(ApiValue, frozen=True):
    """How far one agent is; `bytes_total` is 0 while it is not known, and of a backup that of the
    one before. `bytes_stored`: what the store has taken of a backup; `bytes_to_store`: what it is
    to take in all, 0 until all shards are read."""

    agent: str
    phase: str = ""
    bytes_done: int = 0
    bytes_total: int = 0
    bytes_per_s: float = 0.0
    bytes_stored: int = 0
    bytes_to_store: int = 0


class PhaseTime(ApiValue, frozen=True):
    """One phase of an attempt, on the leader's clock."""

    phase: str
    start_ms: int = 0
    duration_ms: int = 0


class Attempt(ApiValue, frozen=True):
    """One attempt of an operation; see Attempt in common.proto. `error`: None, unless it failed."""

    epoch: int = 0
    began_at: Time | None = None
    duration_ms: int | None = None
    phases: tuple[PhaseTime, ...] = ()
    error: OperationError | None = None
