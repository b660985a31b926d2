"""Logs of a simulated peer as its agent finds them, and what a recovery makes of one in a tar."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import replace
from typing import NamedTuple

from cleancut.core.format.manifest import ShardEntry
from cleancut.core.primitives.errors import NotFound
from cleancut.core.primitives.ids import PeerId
from cleancut.core.wal.framing import HEADER_BYTES, parse_entries, seed_of
from cleancut.core.wal.gate import WalFacts
from cleancut.core.wal.segments import closed_at
from cleancut.repository.shards.tar_assembler import read_tar
from cleancut.testing.memory_store import MemoryStore
from cleancut.testing.memory_wal import MemoryWalDir
from simulation.loop import run_apart
from simulation.network import Surroundings
from simulation.qdrant import SimQdrant
from simulation.tars import read_held
from simulation.trace import FrozenShard


class SimWalStorage:
    """A `WalStorage`: the data directory of one peer."""

    def __init__(self, qdrant: SimQdrant, peer: PeerId) -> None:
        self._qdrant, self._peer = qdrant, peer

    def open(self, collection: str, shard_id: int) -> MemoryWalDir:
        replica = self._qdrant.peers[self._peer].replicas.get((collection, shard_id))
        if replica is None:
            raise NotFound(f"no log of {collection}/{shard_id}", "is the shard on this peer?")
        return replica.log.disk.open()

    def facts(self) -> WalFacts:
        return WalFacts(storage="simulated", file_system="tmpfs", peer_id=self._peer)


class Replayed(NamedTuple):
    """What a recovery of a tar makes of a shard. `last`: the number that it has applied, None for a
    tar without entries. `failed`: writes that had failed when they were logged."""

    points: int
    last: int | None
    failed: int


def replay(tar: bytes) -> Replayed:
    """The tar's points, and its log's writes that are not among them. Stops at the first entry that
    does not fit, as Qdrant does."""
    held = read_held(tar)
    points, failed, last = held.points, 0, None
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            first = closed_at(member.name.rpartition("/")[2])
            file = archive.extractfile(member) if first is not None else None
            if first is None or file is None:
                continue
            data = file.read()
            room = len(data) - HEADER_BYTES
            for entry in parse_entries(data[HEADER_BYTES:], seed_of(data), room).frames:
                last = first if last is None else last + 1
                points += last > held.last and entry.data[:1] in {b"w", b"f"}
                failed += last > held.last and entry.data[:1] == b"f"
    return Replayed(points, last, failed)


def note_rolled(shared: Surroundings, shards: list[ShardEntry]) -> None:
    """Notes what those shards hold that are stored with their log, as if it had been cut so."""
    cuts = list(shared.trace.captures.values())
    for shard in shards:
        if shard.last_entry < 0 or cut_of(shared, shard) is not None:
            continue
        tar = run_apart(_tar(shared, shard.recipe))
        cut = cuts[read_held(tar).cut]
        found = replay(tar)
        noted = replace(cut, content=found.points, failed=found.failed)
        shared.trace.captures[tar_of(shared, shard)] = noted


def cut_of(shared: Surroundings, shard: ShardEntry) -> FrozenShard | None:
    """What was cut into the tar of the shard."""
    return shared.trace.captures.get(tar_of(shared, shard))


def tar_of(shared: Surroundings, shard: ShardEntry) -> str:
    """The sha256 of the shard's tar, also if the backup has none."""
    known = shared.trace.tars
    if not shard.tar_sha256 and shard.recipe not in known:
        tar = run_apart(_tar(shared, shard.recipe))
        known[shard.recipe] = hashlib.sha256(tar).hexdigest()
    return shard.tar_sha256 or known[shard.recipe]


async def _tar(shared: Surroundings, recipe: str) -> bytes:
    store = MemoryStore()
    store.objects = shared.archive
    return b"".join([bytes(chunk) async for chunk in read_tar(store, shared.paths, recipe)])
