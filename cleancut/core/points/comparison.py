"""Comparison of points: two streams of digests, sorted by id, become what was added, removed and
changed.

Shape: the key of a point is 17 bytes, ordered as Qdrant scrolls: 0 and a number, or 1 and a UUID.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from cleancut.core.points.selection import PointId

KEY_BYTES = 17
DIGEST_BYTES = 16
RECORD_BYTES = KEY_BYTES + 2 * DIGEST_BYTES


class Change(Enum):
    """What became of a point."""

    ADDED = "added"
    REMOVED = "removed"
    VECTOR = "vector"
    PAYLOAD = "payload"
    BOTH = "vector and payload"
    NONE = "unchanged"


class PointDigest(NamedTuple):
    """A point's key, and digests of its vectors and its payload."""

    key: bytes
    vector: bytes
    payload: bytes


def key_of(point: PointId) -> bytes:
    if isinstance(point, int):
        return b"\0" + point.to_bytes(16, "big")
    return b"\1" + uuid.UUID(point).bytes


def id_of(key: bytes) -> PointId:
    """The id that has this key."""
    return int.from_bytes(key[1:], "big") if not key[0] else str(uuid.UUID(bytes=key[1:]))


def parse_digests(data: bytes) -> Iterator[PointDigest]:
    """The records in `data`, which holds whole ones."""
    middle = KEY_BYTES + DIGEST_BYTES
    for at in range(0, len(data), RECORD_BYTES):
        record = data[at : at + RECORD_BYTES]
        yield PointDigest(record[:KEY_BYTES], record[KEY_BYTES:middle], record[middle:])


def compare(
    before: Iterable[PointDigest], after: Iterable[PointDigest]
) -> Iterator[tuple[Change, bytes]]:
    """What became of each point, by key. Order: both are sorted."""
    old_ones, new_ones = iter(before), iter(after)
    old, new = next(old_ones, None), next(new_ones, None)
    while old is not None or new is not None:
        if new is None or (old is not None and old.key < new.key):
            assert old is not None
            yield Change.REMOVED, old.key
            old = next(old_ones, None)
        elif old is None or new.key < old.key:
            yield Change.ADDED, new.key
            new = next(new_ones, None)
        else:
            yield _change(old, new), new.key
            old, new = next(old_ones, None), next(new_ones, None)


def _change(old: PointDigest, new: PointDigest) -> Change:
    if old.vector != new.vector:
        return Change.VECTOR if old.payload == new.payload else Change.BOTH
    return Change.NONE if old.payload == new.payload else Change.PAYLOAD
