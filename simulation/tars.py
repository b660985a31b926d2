"""Shard tars of the simulated Qdrant: small, whole, and each cut unlike every other.

Shape: as Qdrant 1.18.3 writes them: a segment with its version, the WAL, and two JSON files. One
file holds how many points there were and the number of the cut; another, which is the same in every
cut of a shard, is large enough for a pack.
"""

from __future__ import annotations

import functools
import random
import re
from typing import NamedTuple

from cleancut.core.wal.framing import header

UNIT = 512
SEGMENT = "segments/11111111-2222-4333-8444-555555555555"
_BULK_BYTES = 6000
_HELD = re.compile(rb"points=(\d+) cut=(\d+) last=(-?\d+)\n")


class Held(NamedTuple):
    """What a tar says of itself. `last`: the newest entry of the log that its points hold."""

    points: int
    cut: int
    last: int = -1


def make_tar(collection: str, shard_id: int, held: Held) -> bytes:
    """The whole tar of one cut."""
    said = b"points=%d cut=%d last=%d\n" % held
    return b"".join(
        (
            _member(f"{SEGMENT}/files/data", said.ljust(200, b".")),
            _bulk(collection, shard_id),
            _member(f"{SEGMENT}/files/version.info", b"1.18.3"),
            _tail(),
        )
    )


def read_held(tar: bytes) -> Held:
    """Raises: ValueError, if this is not a tar of the simulation."""
    found = _HELD.search(tar)
    if found is None:
        raise ValueError("not a tar of the simulation")
    return Held(int(found[1]), int(found[2]), int(found[3]))


@functools.lru_cache(maxsize=256)
def _bulk(collection: str, shard_id: int) -> bytes:
    random_bytes = random.Random(f"{collection}/{shard_id}").randbytes(_BULK_BYTES)
    return _member(f"{SEGMENT}/files/vectors", random_bytes)


@functools.cache
def _tail() -> bytes:
    return b"".join(
        (
            _member("wal/", kind=b"5"),
            _member("wal/closed-0", header(7) + bytes(92)),
            _member("replica_state.json", b"{}"),
            _member("shard_config.json", b"{}"),
            bytes(2 * UNIT),
        )
    )


def _member(path: str, data: bytes = b"", *, kind: bytes = b"0") -> bytes:
    head, name = bytearray(UNIT), path.encode()
    head[: len(name)] = name
    head[100:108] = b"0000644\0"
    head[124:136] = b"%011o\0" % len(data)
    head[156:157] = kind
    head[257:265] = b"ustar  \0"
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + data + bytes(-len(data) % UNIT)
