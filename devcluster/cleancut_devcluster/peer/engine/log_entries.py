"""Entries of a shard's log: an update operation as Qdrant writes it down. Pure.

Shape: CBOR, a map of one kind to its body, and the clock of the peer that took the write.
Source: lib/shard/src/operations/, Qdrant 1.18.3
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import cbor2

from cleancut_devcluster.peer.engine.updates import Operation

EMPTY = cbor2.dumps({"upsert_points": {"points": []}})
"""The first entry of each log: it does nothing, and takes number 0."""
_NAMES = {"delete": "delete_points"}


def encode_operation(operation: Operation, *, tagged: bool = True) -> bytes:
    """`tagged`: with its clock, if it has one."""
    kind, body = _named(operation)
    entry: dict[str, Any] = {kind: body}
    clock = operation.get("clock")
    if tagged and clock is not None:
        peer_id, tick = clock
        entry["clock_tag"] = {
            "peer_id": peer_id,
            "clock_id": 0,
            "clock_tick": tick,
            "token": peer_id,
            "force": False,
        }
    return cbor2.dumps(entry)


def _named(operation: Operation) -> tuple[str, Any]:
    kind = str(operation["kind"])
    match kind:
        case "upsert":
            return _upsert(operation)
        case "update_vectors":
            points = [
                {"id": _id(one["id"]), "vector": one["vector"]} for one in operation["points"]
            ]
            return kind, {"points": points, **_maybe_filter("update_filter", operation)}
        case "create_index":
            schema = {"field_name": operation["field"], "field_schema": operation["schema"]}
            return kind, schema
        case "delete_index":
            return kind, operation["field"]
        case "set_payload" | "overwrite_payload":
            body = {"payload": operation["payload"], "key": operation.get("key")}
            return kind, {**body, **_selection(operation)}
        case "delete_payload":
            return kind, {"keys": operation["keys"], **_selection(operation)}
    name, ids = _NAMES.get(kind, kind), operation.get("ids")
    if ids is None:
        name, chosen = f"{name}_by_filter", _binary(operation["filter"])
    else:
        chosen = {"ids" if kind == "delete" else "points": [_id(one) for one in ids]}
    return name, [chosen, operation["names"]] if kind == "delete_vectors" else chosen


def _upsert(operation: Operation) -> tuple[str, Any]:
    points = [
        {
            "id": _id(point["id"]),
            "vector": {} if point.get("vector") is None else point["vector"],
            "payload": point.get("payload"),
        }
        for point in operation["points"]
    ]
    mode, condition = operation.get("update_mode"), operation.get("update_filter")
    if mode is None and condition is None:
        return "upsert_points", {"points": points}
    body = {"points_op": {"points": points}, "condition": _binary(condition or {})}
    more = {} if mode is None else {"update_mode": mode}
    return "upsert_points_conditional", {**body, **more}


def _selection(operation: Operation) -> dict[str, Any]:
    ids, condition = operation.get("ids"), operation.get("filter")
    return {
        "points": None if ids is None else [_id(one) for one in ids],
        "filter": None if condition is None else _binary(condition),
    }


def _maybe_filter(name: str, operation: Operation) -> dict[str, Any]:
    condition = operation.get(name)
    return {} if condition is None else {name: _binary(condition)}


def _id(given: Any) -> int | bytes:
    return given if isinstance(given, int) else uuid.UUID(str(given)).bytes


def _binary(condition: Any) -> Any:
    """A filter with its ids as a log has them: uuids of 16 bytes."""
    if isinstance(condition, Mapping):
        return {
            key: [_id(one) for one in value] if key == "has_id" else _binary(value)
            for key, value in condition.items()
        }
    if isinstance(condition, list):
        return [_binary(one) for one in condition]
    return condition
