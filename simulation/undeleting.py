"""Undeletes of the simulated cluster: points of the group from before, and those that are live.

A shard of the backup is read without an engine: its ids follow from its number. A live point is
known by who wrote it last. Lookups and writes get lost, and come late, as all calls of a peer.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cleancut.core.format.manifest import ShardEntry
from cleancut.core.format.paths import Paths
from cleancut.data.job import Line, Part, ShardJob
from cleancut.ports.store import Store

if TYPE_CHECKING:
    from simulation.peer import SimPeer

PER_SHARD = 300
"""Points of a shard: more than one batch."""
BACKUP, CLIENT = "backup", "client"
LIVE = 0.7
SHARE = 0.08


def is_undeleted(seed: int) -> bool:
    """Whether points of the group from before are put back in this history."""
    return random.Random(f"undeleted {seed}").random() < SHARE


def ids_of(shard_id: int) -> range:
    """The points of a shard of the backup."""
    return range(shard_id * 1000, shard_id * 1000 + PER_SHARD)


async def open_shard(
    _store: Store,
    _paths: Paths,
    shard: ShardEntry,
    job: ShardJob,
    *,
    progress: Callable[[int], None],
) -> Line:
    """Writes the points of `shard`, as the process that opens one does."""
    del progress
    lines = [
        msgspec.json.encode({"id": one, "payload": {"by": BACKUP}, "vector": {}}) + b"\n"
        for one in ids_of(shard.shard_id)
    ]
    _write(job.out, b"".join(lines))
    return Line(len(lines), (Part(job.out, len(lines)),))


def _write(path: str, data: bytes) -> None:
    Path(path).write_bytes(data)


@dataclass(slots=True)
class SimUndeletes:
    """`live`: by collection, the points, with who wrote them. `clients`: those that a client has
    written; `inserted`: by collection, how many points came back."""

    live: dict[str, dict[int, str]] = field(default_factory=dict)
    clients: set[tuple[str, int]] = field(default_factory=set)
    inserted: Counter[str] = field(default_factory=Counter)

    def fill(self, name: str, shards: Sequence[int], chance: random.Random) -> None:
        """Most of the points are there from the beginning."""
        points = self.live.setdefault(name, {})
        points |= {one: BACKUP for at in shards for one in ids_of(at) if chance.random() < LIVE}

    def write(self, name: str, point: int) -> None:
        """By a client."""
        self.live.setdefault(name, {})[point] = CLIENT
        self.clients.add((name, point))

    def insert(self, name: str, points: Sequence[dict[str, Any]], *, only_new: bool) -> None:
        there = self.live.setdefault(name, {})
        for point in points:
            self.inserted[name] += point["id"] not in there
            if not only_new or point["id"] not in there:
                there[point["id"]] = point["payload"]["by"]


class SimPoints:
    """The calls of `cleancut.qdrant.points.PointCalls` that an undelete makes."""

    def __init__(self, peer: SimPeer, undeletes: SimUndeletes) -> None:
        self._peer, self._all = peer, undeletes

    async def retrieve(
        self,
        name: str,
        ids: Sequence[int],
        *,
        shard_key: object = None,
        whole: bool = False,
        bound_s: int = 0,
    ) -> list[dict[str, Any]]:
        def look() -> list[dict[str, Any]]:
            there = self._all.live.get(name, {})
            return [{"id": one, "payload": {"by": there[one]}} for one in ids if one in there]

        found: list[dict[str, Any]] = await self._peer.read(look)
        return found

    async def upsert(
        self,
        name: str,
        points: Sequence[dict[str, Any]],
        *,
        shard_key: object = None,
        insert_only: bool = False,
        bound_s: int = 0,
    ) -> None:
        await self._peer.read(partial(self._all.insert, name, points, only_new=insert_only))
