"""Searches in a backup: which vector is meant, whether a target fits it, and hits of shards merged.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cleancut.core.points.columns import Kind, VectorColumn, dense_vectors, vector_columns
from cleancut.core.points.selection import PointId, order_of
from cleancut.core.primitives.errors import Invalid

_RISING = {"euclid", "manhattan"}
_LARGEST = 3.4028234663852886e38
"""The largest number of 32 bits."""
_TOO_LARGE = f"its numbers have 32 bits, up to {_LARGEST:.8g}"


class FoundPoint(NamedTuple):
    """A hit of one shard."""

    id: PointId
    score: float
    payload: Mapping[str, Any]
    shard_key: str | int | None


def column_of(info: Mapping[str, Any], using: str | None) -> VectorColumn:
    """The vector that is searched: `using`, else the unnamed one, or the only one.

    Raises: Invalid, with the names that there are.
    """
    columns = {column.name: column for column in vector_columns(info)}
    if using is None and len(columns) == 1:
        return next(iter(columns.values()))
    found = columns.get(using or "")
    if found is None:
        what = "names no vector" if using is None else f"has no vector {using!r}"
        names = ", ".join(repr(name) for name in columns) or "none"
        raise Invalid(
            f"the query {what}" if using is None else f"the collection {what}",
            f"name one with --using; its vectors are {names}",
        )
    return found


def check_target(column: VectorColumn, target: Any) -> None:
    """Raises: Invalid, unless `target`, as JSON has it, is a vector for this column."""
    wrong = _wrong(column, target)
    if wrong:
        raise Invalid(
            f"the vector does not fit {repr(column.name) if column.name else 'the collection'}:"
            f" {wrong}",
            'dense: [0.1, 0.2]; sparse: {"indices": [3], "values": [0.5]}; multi: [[0.1], [0.2]]',
        )


def _wrong(column: VectorColumn, target: Any) -> str:
    if column.kind is Kind.SPARSE:
        return _wrong_sparse(target)
    rows = target if column.kind is Kind.MULTI and _is_rows(target) else [target]
    for row in rows:
        if not _is_numbers(row):
            return "it is not a list of numbers"
        if len(row) != column.size:
            return f"it has {len(row)} numbers, {column.size} are needed"
        if not _is_finite(row):
            return _TOO_LARGE
    return ""


def _wrong_sparse(target: Any) -> str:
    if not isinstance(target, dict) or set(target) != {"indices", "values"}:
        return "a sparse vector is an object of indices and values"
    indices, values = target["indices"], target["values"]
    if not _is_numbers(indices) or not _is_numbers(values) or len(indices) != len(values):
        return "indices and values are lists of the same length"
    if any(not isinstance(one, int) or not 0 <= one < 1 << 32 for one in indices):
        return "an index is a number from 0 to 4294967295"
    if not _is_finite(values):
        return _TOO_LARGE
    return "an index occurs twice" if len(set(indices)) != len(indices) else ""


def _is_rows(target: Any) -> bool:
    return isinstance(target, list) and bool(target) and isinstance(target[0], list)


def _is_numbers(row: Any) -> bool:
    return isinstance(row, list) and all(
        isinstance(one, (int, float)) and not isinstance(one, bool) for one in row
    )


def _is_finite(row: Sequence[float]) -> bool:
    """False if Qdrant would take one of these numbers for an infinite one, which finds nothing."""
    return all(-_LARGEST <= one <= _LARGEST for one in row)


def is_rising(info: Mapping[str, Any], column: VectorColumn) -> bool:
    """True if the nearest points have the lowest scores."""
    if column.kind is Kind.SPARSE:
        return False
    return str(dense_vectors(info)[column.name].get("distance", "")).lower() in _RISING


def merged(
    hits: Sequence[Sequence[FoundPoint]], limit: int, *, rising: bool
) -> tuple[FoundPoint, ...]:
    """The best of all shards, best first; equally near ones by id."""
    every = [hit for shard in hits for hit in shard]
    every.sort(key=lambda hit: (hit.score if rising else -hit.score, order_of(hit.id)))
    return tuple(every[:limit])
