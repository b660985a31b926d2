"""Writers that know what was acknowledged of each of their points, and what a cluster makes of it.

Each writer owns its ids, inserts, overwrites and deletes them one call after the other, and keeps
the version of the last call that was acknowledged.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from qdrant_client import AsyncQdrantClient, models

from cleancut.core.cluster.hash_ring import HashRing
from cleancut.core.primitives.errors import CleancutError
from cleancut.qdrant.client import Qdrant
from cleancut.runtime.concurrency import first_of
from cleancut_devcluster.demo.data import client_errors

_FIRST, _IDS = 1_000_000_000, 1_000_000
_AGAIN_S = 0.05
_PAGE = 1000
DIMS = 8


@dataclass(slots=True)
class VersionedWriter:
    """`versions`: of each id, the last acknowledged one; None: deleted. `refused`: calls that were
    made again, since no answer came or an error did."""

    number: int
    versions: dict[int, int | None] = field(default_factory=dict)
    calls: int = 0
    refused: int = 0

    async def write(self, client: AsyncQdrantClient, collection: str, key: str | None) -> None:
        """One call, made again until it is acknowledged."""
        source = random.Random(self.number * 7_919 + self.calls)
        version = self.calls = self.calls + 1
        known = list(self.versions)
        kind = source.random()
        if kind < 0.6 or not known:
            point = _FIRST + self.number * _IDS + len(known)
        else:
            point = source.choice(known)
        deletes = kind > 0.9 and bool(known)
        while True:
            try:
                with client_errors():
                    if deletes:
                        await client.delete(collection, [point], wait=True, shard_key_selector=key)
                    else:
                        body = models.PointStruct(
                            id=point,
                            vector=[source.random() for _ in range(DIMS)],
                            payload={"writer": self.number, "version": version},
                        )
                        await client.upsert(collection, [body], wait=True, shard_key_selector=key)
            except CleancutError:
                self.refused += 1
                await asyncio.sleep(_AGAIN_S)
                continue
            self.versions[point] = None if deletes else version
            return


@asynccontextmanager
async def versioned_writers(
    url: str, collection: str, number: int, key: str | None = None
) -> AsyncIterator[list[VersionedWriter]]:
    """The writers, while they write; at the block's end the last call of each is acknowledged."""
    writers = [VersionedWriter(at) for at in range(number)]
    stop = asyncio.Event()

    async def run(writer: VersionedWriter, client: AsyncQdrantClient) -> None:
        while not stop.is_set():
            await writer.write(client, collection, key)

    client = AsyncQdrantClient(url=url, timeout=20, check_compatibility=False)
    try:
        async with asyncio.TaskGroup() as group:
            for writer in writers:
                group.create_task(run(writer, client))
            try:
                yield writers
            finally:
                stop.set()
    except BaseExceptionGroup as failures:
        raise first_of(failures) from failures
    finally:
        await client.close()


@dataclass(slots=True)
class Wrong:
    """What replicas hold otherwise than was acknowledged: the first few of each kind."""

    lost: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    undead: list[str] = field(default_factory=list)
    points: int = 0

    def of(self, wanted: int | None, held: int | None, *, mine: bool) -> list[str] | None:
        """The list for a replica that holds a point so; None, if that is right. `mine`: the
        point lies in that shard."""
        if held is None:
            return self.lost if wanted is not None else None
        if not mine:
            return self.doubled
        if wanted is None:
            return self.undead
        return self.stale if held < wanted else None


async def compare_replicas(
    peers: Sequence[Qdrant],
    collection: str,
    writers: Sequence[VersionedWriter],
    key: str | None = None,
) -> Wrong:
    """Every replica of every shard, read at its own peer, against what was acknowledged."""
    acknowledged = {point: at for one in writers for point, at in one.versions.items()}
    placement = await peers[0].placement(collection)
    shards = sorted({one.shard_id for one in placement.shards if one.shard_key == key})
    ids = list(acknowledged)
    owner = dict(zip(ids, HashRing(shards).shards_of(ids), strict=True))
    wrong = Wrong()
    for peer in peers:
        for replica in (await peer.placement(collection)).local():
            if replica.shard_key == key:
                held = await _versions(peer, collection, replica.shard_id)
                where = f"shard {replica.shard_id} at {replica.peer_id}"
                wrong.points += len(held)
                for point, version in acknowledged.items():
                    mine = owner[point] == replica.shard_id
                    found = wrong.of(version if mine else None, held.get(point), mine=mine)
                    if found is not None:
                        found.append(f"{point} in {where}: {held.get(point)}, not {version}")
    return wrong


async def _versions(peer: Qdrant, collection: str, shard_id: int) -> dict[int, int]:
    held: dict[int, int] = {}
    async for page in peer.ids_of_shard(collection, shard_id):
        mine = [one for one in page if isinstance(one, int) and one >= _FIRST]
        for start in range(0, len(mine), _PAGE):
            points = await peer.points_of_shard(collection, shard_id, mine[start : start + _PAGE])
            held |= {point["id"]: point["payload"]["version"] for point in points}
    return held
