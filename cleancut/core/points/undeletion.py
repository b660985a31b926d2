"""Undeletion: which points of a backup are missing in a live collection, or differ there. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from cleancut.core.points.columns import dense_vectors, vector_columns
from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import parse_version

BATCH_BYTES = 4 << 20
INSERT_ONLY_SINCE = (1, 17)
_SAME = 1e-6
"""Cosine vectors are normalized again when they are put back."""
_VECTOR_PARAMS = ("size", "distance", "datatype", "multivector_config")

Point = Mapping[str, Any]


def check_version(version: str) -> None:
    """Raises: Refused, if a server of that version does not know `insert_only`."""
    if parse_version(version)[:2] < INSERT_ONLY_SINCE:
        raise Refused(
            f"Qdrant {version} cannot insert without replacing what is there",
            "it needs Qdrant 1.17 or newer; with --overwrite the backup's points replace others",
        )


def check_target(
    source: Mapping[str, Any],
    target: Mapping[str, Any],
    keys: Iterable[str | int],
    target_keys: Iterable[str | int],
) -> None:
    """Raises: Refused, unless points of a collection `source`, as Qdrant describes it, fit into
    `target`. `keys`: those of the points' shards; `target_keys`: those that are there."""
    ours, theirs = _vectors_of(source), _vectors_of(target)
    for name in sorted({*ours, *theirs}):
        if ours.get(name) != theirs.get(name):
            raise Refused(
                f"vector {name!r} is {_words(theirs.get(name))} in the live collection, and"
                f" {_words(ours.get(name))} in the backup",
                "restore the collection under another name, with `cleancut restore start --rename`",
            )
    wanted, there = set(keys), set(target_keys)
    if bool(wanted) != bool(there):
        raise Refused(
            f"the live collection has {'no ' if wanted else ''}shard keys, unlike the backup",
            "a point is found under its shard key; choose another collection with --into",
        )
    if missing := sorted(map(str, wanted - there)):
        raise Refused(
            f"the live collection has no shard key {missing[0]!r}",
            "create it, or choose others with --shard-key",
        )


def _vectors_of(info: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    dense = dense_vectors(info)
    return {
        column.name: {
            key: value
            for key in _VECTOR_PARAMS
            if (value := dense.get(column.name, {}).get(key)) not in (None, "float32")
        }
        | {"kind": column.kind.value}
        for column in vector_columns(info)
    }


def _words(vector: Mapping[str, Any] | None) -> str:
    if vector is None:
        return "missing"
    return ", ".join(str(value) for key, value in vector.items())


def batches(lines: Iterable[bytes], points: int) -> Iterator[list[bytes]]:
    """The lines in lists of at most `points` and about `BATCH_BYTES`."""
    batch: list[bytes] = []
    size = 0
    for line in lines:
        if batch and (len(batch) >= points or size + len(line) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield batch


def differs(ours: Point, theirs: Point) -> bool:
    """Whether payload or vectors of two points with one id differ; true is not 1, nor is 1.0."""
    if _payload(ours) != _payload(theirs):
        return True
    return not _close(ours.get("vector") or {}, theirs.get("vector") or {})


def _payload(point: Point) -> bytes:
    return msgspec.json.encode(point.get("payload") or {}, order="sorted")


def _close(one: Any, other: Any) -> bool:
    """Equal but for the rounding of a vector, measured by its largest number. Integers, as the
    indices of sparse vectors are, are not rounded."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return set(one) == set(other) and all(_close(one[key], other[key]) for key in one)
    if not (isinstance(one, list) and isinstance(other, list)):
        return bool(one == other)
    if len(one) != len(other):
        return False
    pairs = list(zip(one, other, strict=True))
    if any(isinstance(each, list) for each in (*one, *other)):
        return all(_close(a, b) for a, b in pairs)
    rounding = _SAME * max(map(abs, one), default=0.0)
    whole = all(isinstance(number, int) for number in (*one, *other))
    return all(a == b if whole else abs(a - b) <= rounding for a, b in pairs)
