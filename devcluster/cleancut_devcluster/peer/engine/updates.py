"""Update operations: split over shards as Qdrant routes them, and in the engine's form. Pure.

Shape: an operation is plain JSON, so that peers can send it on: `{"kind": ..., ...}`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import qdrant_edge as edge

from cleancut.core.cluster.hash_ring import HashRing, PointId, hashes_of
from cleancut.engine.config import index_schema, member
from cleancut.engine.filters import to_filter
from cleancut_devcluster.peer.engine.errors import bad_request

Json = dict[str, Any]
Operation = dict[str, Any]


def parse_id(given: object) -> PointId:
    """Raises: Problem 400, unless it is an unsigned 64-bit number or a uuid."""
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given < 1 << 64:
        return given
    try:
        return uuid.UUID(given if isinstance(given, str) else "")
    except ValueError:
        raise bad_request(
            f"value {given} is not a valid point ID, valid values are either an unsigned "
            "integer or a UUID"
        ) from None


def split(
    operation: Operation, rings: Sequence[HashRing], shards: Sequence[int]
) -> dict[int, Operation]:
    """What each of the shards gets: of points, those that lie there by one of the rings; by filter,
    and for indexes, all get the same."""
    field = "points" if "points" in operation else "ids"
    if operation.get(field) is None:
        return dict.fromkeys(shards, operation)
    items = operation[field]
    ids = [parse_id(item["id"] if isinstance(item, dict) else item) for item in items]
    hashes = hashes_of(ids)
    owners = zip(*(ring.owners_of(hashes) for ring in rings), strict=True)
    return _regroup(operation, field, items, owners)


def _regroup(
    operation: Operation, field: str, items: list[Any], owners: Iterable[tuple[int, ...]]
) -> dict[int, Operation]:
    parts: dict[int, list[Any]] = {}
    for item, places in zip(items, owners, strict=True):
        for owner in set(places):
            parts.setdefault(owner, []).append(item)
    return {shard: {**operation, field: part} for shard, part in parts.items()}


def engine_operation(operation: Operation) -> Any:
    """Raises: ValueError, TypeError, KeyError for what the engine could not even be asked."""
    kind = str(operation["kind"])
    if kind in {"create_index", "delete_index"}:
        return _index_operation(operation)
    if kind in {"upsert", "update_vectors"}:
        return _points_operation(operation)
    names = {"delete": "delete_points"}
    arguments = _arguments(operation)
    if operation.get("ids") is not None:
        return getattr(edge.UpdateOperation, names.get(kind, kind))(operation["ids"], *arguments)
    by_filter = f"{names.get(kind, kind)}_by_filter"
    condition = to_filter(operation.get("filter"))
    if condition is None:
        raise ValueError("Either list of ids or filter must be provided")
    return getattr(edge.UpdateOperation, by_filter)(condition, *arguments)


def _arguments(operation: Operation) -> tuple[Any, ...]:
    kind = operation["kind"]
    if kind in {"set_payload", "overwrite_payload"}:
        return (operation["payload"], operation.get("key"))
    if kind == "delete_payload":
        return (operation["keys"],)
    if kind == "delete_vectors":
        return (operation["names"],)
    return ()


def _points_operation(operation: Operation) -> Any:
    condition = to_filter(operation.get("update_filter"))
    if operation["kind"] == "update_vectors":
        vectors = [
            edge.PointVectors(point["id"], to_vector(point["vector"]))
            for point in operation["points"]
        ]
        return edge.UpdateOperation.update_vectors(vectors, condition)
    points = [
        edge.Point(point["id"], to_vector(point.get("vector")), point.get("payload"))
        for point in operation["points"]
    ]
    mode = operation.get("update_mode")
    return edge.UpdateOperation.upsert_points(
        points, condition, member(edge.UpdateMode, mode) if mode else None
    )


def _index_operation(operation: Operation) -> Any:
    if operation["kind"] == "delete_index":
        return edge.UpdateOperation.delete_field_index(operation["field"])
    schema = index_schema(operation["schema"])
    return edge.UpdateOperation.create_field_index(operation["field"], schema)


def to_vector(given: Any) -> Any:
    """Dense, several dense, or named ones with sparse among them."""
    if isinstance(given, Mapping):
        return {name: to_named_vector(vector) for name, vector in given.items()}
    return {} if given is None else given


def to_named_vector(given: Any) -> Any:
    if isinstance(given, Mapping):
        if "indices" not in given:
            raise ValueError("inference is not supported: Expected a vector")
        return edge.SparseVector(given["indices"], given["values"])
    return given


def from_batch(batch: Mapping[str, Any]) -> list[Json]:
    """Points out of the column form of an upsert."""
    ids, payloads = batch["ids"], batch.get("payloads") or [None] * len(batch["ids"])
    vectors = batch["vectors"]
    if isinstance(vectors, Mapping):
        rows: list[Any] = [
            {name: column[at] for name, column in vectors.items() if column[at] is not None}
            for at in range(len(ids))
        ]
    else:
        rows = list(vectors)
    return [
        {"id": point, "vector": vector, "payload": payload}
        for point, vector, payload in zip(ids, rows, payloads, strict=True)
    ]
