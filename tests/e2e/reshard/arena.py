"""A collection under writes whose number of shards changes, and what must hold afterwards."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from qdrant_client import AsyncQdrantClient, models

from cleancut.api.reshards import Reshard, ReshardOptions
from cleancut.client.client import Client
from cleancut.core.protocol.states import FINAL_STATES, State
from cleancut_devcluster.launch.qdrant import wait_until
from tests.e2e.conftest import Launch
from tests.e2e.world import World
from tests.support.versioned_writers import DIMS, VersionedWriter, compare_replicas

DOCS = "docs"
CAUGHT_S, WHOLE_S = 60.0, 60.0
_LOOK_S = 0.02


@dataclass(slots=True)
class Arena:
    """`points`: ids that no client changes; `key`: the shard key that they lie under."""

    world: World
    points: int
    key: str | None = None
    writers: Sequence[VersionedWriter] = ()
    seen: list[State] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.world.setup.peers[0].url

    async def fill(self, shards: int, replicas: int) -> None:
        client = AsyncQdrantClient(url=self.url, timeout=60, check_compatibility=False)
        custom = models.ShardingMethod.CUSTOM if self.key else None
        await client.create_collection(
            DOCS,
            vectors_config=models.VectorParams(size=DIMS, distance=models.Distance.DOT),
            shard_number=shards,
            replication_factor=replicas,
            sharding_method=custom,
        )
        for key in (self.key, "other") if self.key else ():
            await client.create_shard_key(
                DOCS, str(key), shards_number=shards, replication_factor=replicas
            )
        for start in range(0, self.points, 500):
            ids = range(start, min(start + 500, self.points))
            points = [
                models.PointStruct(id=one, vector=[float(one % 7 + 1)] * DIMS, payload={"n": one})
                for one in ids
            ]
            await client.upsert(DOCS, points, wait=True, shard_key_selector=self.key)
        await client.close()

    async def reshard(self, shards: int, *flags: str) -> Any:
        """What `reshard start` says in its end."""
        key = ("--shard-key", self.key) if self.key else ()
        answer = await self.world.setup.cleancut(
            "reshard", "start", DOCS, "--shards", str(shards), "--yes", *key, *flags
        )
        return answer.value("reshard")

    def client(self) -> Client:
        return Client(self.world.setup.addresses.split(","))

    async def begin(self, shards: int, state: State) -> Reshard:
        """A reshard that has just come to `state`. Raises: TimeoutError; AssertionError, if that
        went by unseen."""
        options = ReshardOptions(collection=DOCS, shards=shards, shard_key=self.key)
        async with self.client() as client, asyncio.timeout(CAUGHT_S):
            begun = await client.start_reshard(str(uuid.uuid4()), options)
            while True:
                found = await client.get_reshard(begun.id)
                if found.state is state:
                    return found
                assert found.state not in FINAL_STATES, f"{state} went by"
                await asyncio.sleep(_LOOK_S)

    async def ended(self, name: str) -> Any:
        """What `reshard watch` says in its end, whatever that is."""
        answer = await self.world.setup.cleancut("reshard", "watch", name)
        shown = await self.world.setup.cleancut("reshard", "show", name)
        del answer
        return shown.value("reshard")

    async def wrong(self, shards: int) -> list[str]:
        """What is not as it must be: the number of shards, a replica, or a point in any of them."""

        async def whole() -> bool:
            async with self.world.setup.peers[0].client() as peer:
                placement = await peer.placement(DOCS)
            states = {one.state for one in placement.shards}
            return states == {"Active"} and not placement.transfers and not placement.resharding

        await wait_until(whole, WHOLE_S, "every replica Active, nothing under way")
        peers = [one.client() for one in self.world.setup.peers]
        try:
            placement = await peers[0].placement(DOCS)
            mine = {one.shard_id for one in placement.shards if one.shard_key == self.key}
            found = await compare_replicas(peers, DOCS, self.writers, self.key)
            counted = await self._count()
        finally:
            for peer in peers:
                await peer.close()
        live = sum(at is not None for one in self.writers for at in one.versions.values())
        wrong = [f"{len(mine)} shards, not {shards}"] if len(mine) != shards else []
        wrong += [f"lost {one}" for one in found.lost] + [f"stale {one}" for one in found.stale]
        wrong += [f"doubled {one}" for one in found.doubled]
        wrong += [f"back again {one}" for one in found.undead]
        if counted != (self.points + live, self.points + live):
            wrong.append(f"{counted} points counted and scrolled, not {self.points + live}")
        return wrong

    async def _count(self) -> tuple[int, int]:
        """The exact count, and the ids of a full scroll."""
        client = AsyncQdrantClient(url=self.url, timeout=60, check_compatibility=False)
        count = (await client.count(DOCS, exact=True, shard_key_selector=self.key)).count
        ids: set[Any] = set()
        offset = None
        while True:
            points, offset = await client.scroll(
                DOCS, limit=1000, offset=offset, with_payload=False, shard_key_selector=self.key
            )
            ids |= {point.id for point in points}
            if offset is None:
                break
        await client.close()
        return count, len(ids)


def open_arena(
    launch: Launch, *, points: int, shards: int, replicas: int, coordinators: int = 2
) -> Arena:
    """Three peers with a filled collection."""
    arena = Arena(launch(peers=3, coordinators=coordinators), points)
    arena.world.run(arena.fill(shards, replicas))
    return arena
