"""Operations in a shard's log, described: kind, points, filter, clock, and changes of the schema.

A log is followed without this; what cannot be read here is named unknown and stops nothing.
Source: lib/shard/src/operations/mod.rs, Qdrant 1.18.3
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cbor2

from cleancut.core.primitives.ids import PeerId
from cleancut.core.wal.kinds import KINDS, SCHEMA_KINDS, UNKNOWN

NOTHING = cbor2.dumps({"upsert_points": {"points": []}})
"""An entry that changes nothing: the first one of every log."""
_BY_STATE = frozenset(
    {
        "upsert_points_conditional",
        "delete_points_by_filter",
        "delete_vectors_by_filter",
        "clear_payload_by_filter",
    }
)
_PERHAPS_BY_STATE = frozenset(
    {"set_payload", "overwrite_payload", "delete_payload", "update_vectors"}
)
WRITES_IDS = (1, 19)
"""From this version on filters are resolved to ids before they are logged (upstream #9678)."""
_CLOCK = "clock_tag"
_UUID_BYTES = 16

PointId = int | str


@dataclass(frozen=True, slots=True)
class ClockTag:
    """Which clock of which peer stamped a write, and its tick."""

    peer_id: PeerId
    clock_id: int
    clock_tick: int


@dataclass(frozen=True, slots=True)
class Operation:
    """`kind`: as Qdrant names it, or `unknown`. `points`: how many; None: chosen by `filter`, or
    none at all. `ids`: of these points, uuids as text. `keys`: payload keys, vectors or the field
    that it touches. `schema`: the definition of an index or of a vector. `detail`: of an unknown
    one, what was found instead."""

    kind: str
    points: int | None = None
    ids: tuple[PointId, ...] = ()
    filter: Mapping[str, Any] | None = None
    keys: tuple[str, ...] = ()
    schema: Any = None
    clock: ClockTag | None = None
    detail: str = ""

    @property
    def changes_schema(self) -> bool:
        return self.kind in SCHEMA_KINDS


def decode_operation(data: bytes) -> Operation:
    """The operation in an entry; one of kind `unknown` if this is not one that is known."""
    try:
        found = cbor2.loads(data)
    except (cbor2.CBORDecodeError, ValueError, TypeError, RecursionError, OverflowError) as error:
        return Operation(UNKNOWN, detail=f"cannot be decoded: {error}")
    if not isinstance(found, Mapping):
        return Operation(UNKNOWN, detail=f"a {type(found).__name__} instead of an operation")
    kinds = [key for key in found if key != _CLOCK]
    if len(kinds) != 1 or kinds[0] not in KINDS:
        return Operation(UNKNOWN, clock=_clock(found), detail=f"keys {kinds}")
    kind = str(kinds[0])
    try:
        return _described(kind, found[kind], _clock(found))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        return Operation(UNKNOWN, clock=_clock(found), detail=f"{kind} of another form: {error!r}")


def reads_state(data: bytes) -> bool:
    """True if the points that the operation changes depend on their state, by a filter or a
    condition; also if it is unknown. Vectors are decoded only where its kind leaves that open."""
    kind = _first_key(data)
    if kind in _BY_STATE:
        return True
    if kind in KINDS - _PERHAPS_BY_STATE:
        return False
    found = decode_operation(data)
    return found.kind in _BY_STATE | {UNKNOWN} or found.filter is not None


def _first_key(data: bytes) -> str:
    """The first key of a map in CBOR, if it is text of at most 23 bytes or has one length byte."""
    head, key, size = data[:1], data[1:2], data[2:3]
    if not (b"\xa1" <= head <= b"\xb7" or head == b"\xbf"):
        return ""
    if b"\x60" <= key <= b"\x77":
        start, length = 2, key[0] - 0x60
    elif key == b"\x78" and size:
        start, length = 3, size[0]
    else:
        return ""
    return data[start : start + length].decode(errors="replace")


def _clock(found: Mapping[Any, Any]) -> ClockTag | None:
    tag = found.get(_CLOCK)
    if not isinstance(tag, Mapping):
        return None
    values = [tag.get(name) for name in ("peer_id", "clock_id", "clock_tick")]
    numbers = [value for value in values if isinstance(value, int)]
    return ClockTag(PeerId(numbers[0]), numbers[1], numbers[2]) if len(numbers) == 3 else None


def _described(kind: str, body: Any, clock: ClockTag | None) -> Operation:
    if kind in SCHEMA_KINDS:
        name, schema = _schema(kind, body)
        return Operation(kind, keys=(name,), schema=_plain(schema), clock=clock)
    ids, condition = _points(kind, body)
    return Operation(
        kind,
        points=None if ids is None else len(ids),
        ids=tuple(map(_id, ids or ())),
        filter=None if condition is None else _plain(dict(condition)),
        keys=_keys(kind, body),
        clock=clock,
    )


def _points(kind: str, body: Any) -> tuple[list[Any] | None, Any]:
    """The ids that an operation names, and its filter."""
    match kind:
        case "upsert_points":
            return _inserted(body), None
        case "upsert_points_conditional":
            return _inserted(body["points_op"]), body["condition"]
        case "delete_points":
            return list(body["ids"]), None
        case "delete_points_by_filter" | "clear_payload_by_filter":
            return None, body
        case "delete_vectors":
            return list(body[0]["points"]), None
        case "delete_vectors_by_filter":
            return None, body[0]
        case "sync_points" | "update_vectors":
            return [point["id"] for point in body["points"]], body.get("update_filter")
        case _:  # payloads: by id, by filter, or both
            points = body.get("points")
            return None if points is None else list(points), body.get("filter")


def _inserted(body: Any) -> list[Any]:
    """The ids in the row or the column form of an upsert."""
    if "batch" in body:
        return list(body["batch"]["ids"])
    return [point["id"] for point in body["points"]]


def _id(given: Any) -> PointId:
    if isinstance(given, bytes) and len(given) == _UUID_BYTES:
        return str(uuid.UUID(bytes=given))
    if isinstance(given, int | str):
        return given
    raise ValueError(f"point id {given!r}")


def _keys(kind: str, body: Any) -> tuple[str, ...]:
    """Payload keys, or names of vectors, that an operation touches."""
    match kind:
        case "delete_vectors" | "delete_vectors_by_filter":
            return tuple(map(str, body[1]))
        case "set_payload" | "overwrite_payload":
            return tuple(map(str, body["payload"]))
        case "delete_payload":
            return tuple(map(str, body["keys"]))
        case _:
            return ()


def _schema(kind: str, body: Any) -> tuple[str, Any]:
    """The field or vector that is created or removed, and its definition."""
    match kind:
        case "create_index":
            return str(body["field_name"]), body.get("field_schema")
        case "delete_index":
            return str(body), None
        case _:
            return str(body["vector_name"]), body.get("config")


def _plain(value: Any) -> Any:
    """Decoded CBOR with uuids as text, as JSON could hold it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return str(uuid.UUID(bytes=value)) if len(value) == _UUID_BYTES else value.hex()
    return value
