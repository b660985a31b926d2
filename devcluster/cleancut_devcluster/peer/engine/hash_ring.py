"""The hash ring that says which shard a point lives in, equal to Qdrant's. Pure.

Source: lib/collection/src/hash_ring.rs, Qdrant 1.18.3; SipHash-2-4, key 0
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

PointId = int | uuid.UUID
Words = npt.NDArray[np.uint64]

_POINTS_A_SHARD = 100


class Ring:
    """The ring over the absolute ids of all shards with one shard key."""

    def __init__(self, shard_ids: Iterable[int]) -> None:
        ids = sorted(shard_ids)
        owners = np.repeat(np.array(ids, np.uint64), _POINTS_A_SHARD)
        numbers = np.tile(np.arange(_POINTS_A_SHARD, dtype=np.uint64), len(ids))
        hashes = _siphash([owners | (numbers << np.uint64(32))])
        order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[order]
        self._owners = owners[order].astype(np.int64)

    def shards_of(self, ids: Sequence[PointId]) -> list[int]:
        """The shard of each id, in their order."""
        if not ids:
            return []
        hashes = np.empty(len(ids), np.uint64)
        is_uuid = np.array([isinstance(point, uuid.UUID) for point in ids])
        numbers = [point for point in ids if isinstance(point, int)]
        uuids = [point.bytes for point in ids if isinstance(point, uuid.UUID)]
        if numbers:
            hashes[~is_uuid] = _siphash(_number_words(numbers))
        if uuids:
            hashes[is_uuid] = _siphash(_uuid_words(uuids))
        at = np.searchsorted(self._hashes, hashes) % len(self._hashes)
        owners: list[int] = self._owners[at].tolist()
        return owners


def _number_words(numbers: list[int]) -> list[Words]:
    return [np.zeros(len(numbers), np.uint64), np.array(numbers, np.uint64)]


def _uuid_words(uuids: list[bytes]) -> list[Words]:
    halves = np.frombuffer(b"".join(uuids), "<u8").reshape(-1, 2).astype(np.uint64)
    tag = np.ones(len(uuids), np.uint64)
    return [tag, tag * np.uint64(16), halves[:, 0], halves[:, 1]]


def _rotate(x: Words, bits: int) -> Words:
    rotated: Words = (x << np.uint64(bits)) | (x >> np.uint64(64 - bits))
    return rotated


def _siphash(words: list[Words]) -> Words:
    """SipHash-2-4, key 0, of messages of 8 * len(words) bytes, many at once."""
    size = len(words[0])
    v0, v1, v2, v3 = (
        np.full(size, start, np.uint64)
        for start in (
            0x736F6D6570736575,
            0x646F72616E646F6D,
            0x6C7967656E657261,
            0x7465646279746573,
        )
    )
    last = np.full(size, (8 * len(words)) << 56, np.uint64)
    for word, rounds in [*((word, 2) for word in words), (last, 2), (None, 4)]:
        if word is None:
            v2 = v2 ^ np.uint64(0xFF)
        else:
            v3 = v3 ^ word
        for _ in range(rounds):
            v0, v2 = v0 + v1, v2 + v3
            v1, v3 = _rotate(v1, 13) ^ v0, _rotate(v3, 16) ^ v2
            v0 = _rotate(v0, 32)
            v2, v0 = v2 + v1, v0 + v3
            v1, v3 = _rotate(v1, 17) ^ v2, _rotate(v3, 21) ^ v0
            v2 = _rotate(v2, 32)
        if word is not None:
            v0 = v0 ^ word
    result: Words = v0 ^ v1 ^ v2 ^ v3
    return result
