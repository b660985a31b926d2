"""Canaries: exact searches whose answers are read inside the cut, and asked again after a restore.

Counts show that all points came back; canaries show that some vectors are unchanged, under their
ids, among all others. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cleancut.core.cluster.collection_config import (
    hides_unoptimized,
    named_vectors,
    replication_factor,
    vector_names,
)
from cleancut.core.format.manifest import ShardEntry
from cleancut.core.protocol.documents import Canary, Question

LIMIT = 10
POINTS = 3
VECTORS = 16
TARGET_NUMBERS = 100_000
"""Of all questions of a backup together: the manifest carries them."""
_DIGITS = 3
_RELATIVE = {"float32": 1e-5, "float16": 2e-3, "uint8": 2e-3}
"""What other processors and engines round otherwise, by the datatype of the stored vector.

Source: measured; 5e-5 for float16 between Qdrant 1.18.3 and qdrant-edge 0.9.0.
"""
_RELATIVE_ELSE = 1e-2
_NOISE = 0.1
"""Of the largest score, in parts of the relative tolerance: scores near zero cancel out."""

Sample = tuple[str | int, str | int | None, Any]
"""A point's id, its shard key, and its vector."""
Hit = tuple[str | int, float]
"""A point's id and its score."""


def askable(info: Mapping[str, Any]) -> tuple[str, ...]:
    """The vectors that may be asked for, at most `VECTORS`.

    Left out is what changes its answers without a write: scores by inverse document frequency
    count deleted points until the optimizer drops them, and points may stay hidden until then.
    Source: lib/segment/src/index/sparse_index/sparse_vector_index/vector_index_impl.rs
        (fill_idf_statistics), lib/collection/src/tests/deferred_points_tests.rs, Qdrant 1.18.3
    """
    config = info["config"]
    if hides_unoptimized(info):
        return ()
    sparse: Mapping[str, Mapping[str, Any]] = config["params"].get("sparse_vectors") or {}
    names = [n for n in vector_names(info) if (sparse.get(n) or {}).get("modifier") != "idf"]
    return tuple(names[:VECTORS])


def questions(
    info: Mapping[str, Any], collection: str, points: Mapping[str, Sequence[Sample]]
) -> tuple[Question, ...]:
    """What is to be asked about a collection; `points`: vector to points that have it."""
    several = replication_factor(info) > 1
    return tuple(
        Question(
            collection=collection,
            vector=vector,
            query=point,
            target=_short(target),
            shard_key=key,
            replicated=several,
        )
        for vector, samples in points.items()
        for point, key, target in samples[:POINTS]
    )


def _short(target: Any) -> Any:
    """The vector with few digits: any one near it asks as well, and takes less room."""
    match target:
        case float():
            return float(f"{target:.{_DIGITS}g}")
        case list():
            return [_short(one) for one in target]
        case dict():
            return {key: _short(one) for key, one in target.items()}
        case _:
            return target


def _numbers(target: Any) -> int:
    match target:
        case list():
            return sum(map(_numbers, target))
        case dict():
            return sum(map(_numbers, target.values()))
        case _:
            return 1


def in_turn(asked: Iterable[Question]) -> tuple[Question, ...]:
    """One of each collection and vector first, then the second ones: time may not be enough, and
    neither may be the room for their vectors."""
    turns: dict[tuple[str, str], int] = {}
    placed = []
    for question in asked:
        key = (question.collection, question.vector)
        turns[key] = turns.get(key, -1) + 1
        placed.append((turns[key], question))
    chosen, room = [], TARGET_NUMBERS
    for _, question in sorted(placed, key=lambda one: one[0]):
        room -= _numbers(question.target)
        if room >= 0:
            chosen.append(question)
    return tuple(chosen)


def canary_of(question: Question, hits: Sequence[Hit]) -> Canary | None:
    """The canary of an answer; None, if replicas may answer differently.

    Where a shard has several replicas, Qdrant returns only points that all of them found: an
    answer that is not full may lack others.
    """
    if question.replicated and len(hits) < LIMIT:
        return None
    return Canary(
        collection=question.collection,
        vector=question.vector,
        query=question.query,
        ids=tuple(point for point, _ in hits),
        scores=tuple(score for _, score in hits),
        target=question.target,
        shard_key=question.shard_key,
    )


def proven(canaries: Iterable[Canary], shards: Iterable[ShardEntry]) -> tuple[Canary, ...]:
    """The canaries of collections whose shards all were quiet: they match what was captured."""
    moved = {shard.collection for shard in shards if not shard.quiet}
    kept = (canary for canary in canaries if canary.collection not in moved)
    return tuple(sorted(kept, key=lambda c: (c.collection, c.vector, str(c.query))))


def tolerance_of(info: Mapping[str, Any], vector: str) -> float:
    """How far scores of this vector may be apart, relatively, and still be equal."""
    params = info["config"]["params"]
    dense = named_vectors(params.get("vectors")).get(vector)
    sparse = (params.get("sparse_vectors") or {}).get(vector) or {}
    datatype = (dense or sparse.get("index") or {}).get("datatype") or "float32"
    return _RELATIVE.get(datatype, _RELATIVE_ELSE)


def is_equal(canary: Canary, hits: Sequence[Hit], tolerance: float = 1e-5) -> bool:
    """True if `hits` is the recorded answer. `tolerance`: of `tolerance_of`.

    Scores are equal, in order, but for what another processor rounds otherwise. Points of equal
    score may change places; at the end of a full answer they may be others of the same score, since
    points with equal vectors are common and their order is undefined.
    """
    if len(hits) != len(canary.ids):
        return False
    largest = max((abs(score) for score in (*canary.scores, *(s for _, s in hits))), default=0.0)
    noise = _NOISE * tolerance * largest
    if not all(
        _near(a, b, tolerance, noise) for a, (_, b) in zip(canary.scores, hits, strict=True)
    ):
        return False
    found = [point for point, _ in hits]
    for start, end in _ties(canary.scores, tolerance, noise):
        cut_off = end == len(found) == LIMIT  # the next one, unseen, may have this score too
        if not cut_off and not _same(canary.ids[start:end], found[start:end]):
            return False
    return True


def _near(one: float, other: float, tolerance: float, noise: float) -> bool:
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=noise)


def _ties(scores: Sequence[float], tolerance: float, noise: float) -> Iterable[tuple[int, int]]:
    """Start and end of each run of equal scores."""
    start = 0
    for end in range(1, len(scores) + 1):
        if end == len(scores) or not _near(scores[end - 1], scores[end], tolerance, noise):
            yield start, end
            start = end


def _same(some: Iterable[str | int], others: Iterable[str | int]) -> bool:
    return set(some) == set(others)
