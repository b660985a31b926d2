"""Schema of a collection at a moment: that of its base, changed by what its logs say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cleancut.core.cluster.collection_config import named_vectors
from cleancut.core.wal.operations import Operation

_INDEXES = ("create_index", "delete_index")
_VECTORS = ("create_vector_name", "delete_vector_name")


def schema_changes(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    """Those of the operations of one shard that change the collection's schema, in order."""
    return tuple(one for one in operations if one.changes_schema)


def info_at(info: Mapping[str, Any], shards: Iterable[Sequence[Operation]]) -> dict[str, Any]:
    """A collection's description (GET /collections/NAME) after these changes in each of its shards.

    A change reaches one shard after the other: the shard that has seen most of them is ahead.
    """
    changes = list(shards)
    found = dict(info)
    fields = _final(changes, _INDEXES)
    if fields:
        there = dict(found.get("payload_schema") or {})
        for field, last in fields.items():
            if last.kind == "delete_index":
                there.pop(field, None)
            elif last.schema is not None:
                there[field] = _index(last.schema)
        found["payload_schema"] = there
    vectors = _final(changes, _VECTORS)
    if vectors:
        found["config"] = _with_vectors(found["config"], vectors)
    return found


def _final(shards: Sequence[Sequence[Operation]], kinds: Sequence[str]) -> dict[str, Operation]:
    """The last change of each name, as the shard that is ahead has it."""
    ahead: dict[str, list[Operation]] = {}
    for operations in shards:
        own: dict[str, list[Operation]] = {}
        for one in operations:
            if one.kind in kinds and one.keys:
                own.setdefault(one.keys[0], []).append(one)
        for name, seen in own.items():
            if len(seen) > len(ahead.get(name, ())):
                ahead[name] = seen
    return {name: seen[-1] for name, seen in sorted(ahead.items())}


def _index(schema: Any) -> dict[str, Any]:
    """An index as a collection shows it: Qdrant's log has its type, or its parameters."""
    if isinstance(schema, str):
        return {"data_type": schema}
    return {"data_type": schema.get("type"), "params": dict(schema)}


def _with_vectors(config: Mapping[str, Any], changes: Mapping[str, Operation]) -> dict[str, Any]:
    """Source: lib/collection/src/collection/vector_name_schema.rs, Qdrant 1.18.3"""
    params = dict(config["params"])
    given = params.get("vectors") or {}
    dense, sparse = named_vectors(given), dict(params.get("sparse_vectors") or {})
    for name, last in changes.items():
        dense.pop(name, None)
        sparse.pop(name, None)
        if last.kind == "create_vector_name":
            is_sparse, made = _vector(last.schema)
            (sparse if is_sparse else dense)[name] = made
    kept = {k: v for k, v in params.items() if k not in {"vectors", "sparse_vectors"}}
    vectors = given if dense == named_vectors(given) else dense
    return {
        **config,
        "params": {**kept, "vectors": vectors, **({"sparse_vectors": sparse} if sparse else {})},
    }


def _vector(config: Any) -> tuple[bool, Any]:
    """Whether a vector is sparse, and its parameters."""
    if isinstance(config, Mapping) and len(config) == 1:
        kind, inner = next(iter(config.items()))
        if kind.lower() in {"dense", "sparse"}:
            is_sparse = kind.lower() == "sparse"
            return is_sparse, _sparse(inner) if is_sparse else inner
    return not (isinstance(config, Mapping) and "size" in config), config


def _sparse(config: Mapping[str, Any]) -> dict[str, Any]:
    """A sparse vector's parameters: its datatype is one of its index."""
    made = {name: value for name, value in config.items() if name != "datatype"}
    datatype = config.get("datatype")
    return made if datatype is None else {**made, "index": {"datatype": datatype}}
