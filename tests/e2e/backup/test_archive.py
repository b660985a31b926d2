"""Archive of logs, on whole set-ups: what was acknowledged is in it, under its number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cleancut.core.archive.bases import bases_of
from cleancut.core.archive.records import Chain, ChainEnd, Mark
from cleancut.core.format.manifest import Manifest
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.ids import ClusterName, Epoch
from cleancut.core.wal.operations import decode_operation
from cleancut.ports.store import Store
from cleancut.repository.archive.reader import ArchiveIndex, read_chains, read_ends, read_marks
from cleancut.repository.catalog import load_group
from cleancut.store.file import FileStore
from cleancut_devcluster.launch.process import wait_for
from cleancut_devcluster.launch.setup import Secured
from tests.e2e.conftest import Launch
from tests.e2e.world import World

COLLECTION = "log"
FILE = """
[archive]
collections = ["*"]
chunk = "1s"
mark-every = "1s"
"""
FOR_EVER_MS = 10**14
WAIT_S = 60.0


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "archive.toml"
    path.write_text(FILE)
    return path


@dataclass
class Writer:
    """Upserts one point after the other, and notes the number of each acknowledged operation."""

    url: str
    acknowledged: dict[int, int] = field(default_factory=dict)
    next_id: int = 0
    replicas: int = 1

    async def create(self) -> None:
        async with aiohttp.ClientSession() as http:
            body = {
                "vectors": {"size": 4, "distance": "Dot"},
                "shard_number": 1,
                "replication_factor": self.replicas,
            }
            async with http.put(f"{self.url}/collections/{COLLECTION}", json=body) as answer:
                assert answer.status == 200, await answer.text()

    async def drop(self) -> None:
        url = f"{self.url}/collections/{COLLECTION}"
        async with aiohttp.ClientSession() as http, http.delete(url) as answer:
            assert answer.status == 200, await answer.text()

    async def write(self, http: aiohttp.ClientSession) -> bool | None:
        """None: it was not acknowledged."""
        point: dict[str, Any] = {"id": self.next_id, "vector": [1, 2, 3, 4]}
        self.next_id += 1
        url = f"{self.url}/collections/{COLLECTION}/points?wait=true"
        async with http.put(url, json={"points": [point]}) as answer:
            if answer.status != 200:
                return None
            number = (await answer.json())["result"]["operation_id"]
            self.acknowledged[number] = int(point["id"])
            return True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Writes for the length of the block, also while the peer is down."""

        async def body(http: aiohttp.ClientSession) -> None:
            async def written() -> bool | None:
                try:
                    return await self.write(http)
                except (aiohttp.ClientError, TimeoutError):
                    return None

            while True:
                await wait_for(written, "a write", WAIT_S, 0.05)

        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
            task = group.create_task(body(http))
            yield
            task.cancel()

    async def wait(self, more: int) -> None:
        """Until so many more operations are acknowledged."""
        wanted = len(self.acknowledged) + more

        async def found() -> bool | None:
            return len(self.acknowledged) >= wanted or None

        await wait_for(found, f"{wanted} writes", WAIT_S, 0.05)


@dataclass
class Stored:
    """All of the archive of one cluster."""

    chains: dict[str, Chain]
    ends: dict[str, ChainEnd]
    marks: list[Mark]
    index: ArchiveIndex

    @classmethod
    async def read(cls, world: World) -> Stored:
        store: Store = FileStore(world.store)
        paths = Paths(ClusterName(world.setup.cluster))
        chains = await read_chains(store, paths)
        return cls(
            chains,
            await read_ends(store, paths),
            await read_marks(store, paths, 0, FOR_EVER_MS),
            await ArchiveIndex.load(store, paths, chains=chains, since_ms=0, until_ms=FOR_EVER_MS),
        )

    def mine(self) -> list[Chain]:
        """The chains of the writer's shard."""
        return [one for one in self.chains.values() if one.collection == COLLECTION]

    def last(self) -> int:
        """The newest entry that is stored of the writer's shard."""
        return max((self.index.coverage(one.id)[1] for one in self.mine()), default=-1)

    async def points(self) -> dict[int, tuple[Any, ...]]:
        """The ids of the points of each entry, by index, of all chains of the writer's shard."""
        found: dict[int, tuple[Any, ...]] = {}
        for chain in self.mine():
            found |= await self.points_of(chain)
        return found

    async def points_of(self, chain: Chain) -> dict[int, tuple[Any, ...]]:
        found: dict[int, tuple[Any, ...]] = {}
        for first, last in self.index.ranges(chain.id):
            async for entry in self.index.entries(chain.id, first, last):
                found[entry.index] = decode_operation(entry.data).ids
        return found


async def wait_stored(world: World, writer: Writer) -> Stored:
    """The archive, once it has all that was acknowledged, and a mark."""

    async def found() -> Stored | None:
        stored = await Stored.read(world)
        return stored if stored.last() >= max(writer.acknowledged) and stored.marks else None

    return await wait_for(found, "the archive", WAIT_S, 0.5)


async def wait_chains(world: World, count: int) -> Stored:
    """The archive, once so many chains of the collection have begun."""

    async def found() -> Stored | None:
        stored = await Stored.read(world)
        return stored if len(stored.mine()) >= count else None

    return await wait_for(found, f"{count} chains", WAIT_S, 0.5)


async def wait_followed(world: World) -> None:
    """Until the coordinator shows the collection as archived: an agent that ends from then on goes
    on with its chain."""

    async def found() -> bool | None:
        shown = (await world.setup.cleancut("archive", "status")).value("archive")["shards"]
        return any(one["collection"] == COLLECTION and one["chain"] for one in shown) or None

    await wait_for(found, f"the archive of {COLLECTION}", WAIT_S, 0.5)


async def compare(stored: Stored, writer: Writer) -> tuple[list[int], list[int]]:
    """Acknowledged operations that the archive lacks, and those that stand under other numbers."""
    points = await stored.points()
    missing = [index for index in writer.acknowledged if index not in points]
    wrong = [
        index
        for index, point in writer.acknowledged.items()
        if index in points and points[index] != (point,)
    ]
    return missing, wrong


def test_acknowledged_operations_are_archived_under_their_numbers(
    launch: Launch, config: Path
) -> None:
    """One chain, over an agent that ends, one that is killed, and a peer that is killed; a backup
    is its base. A collection that is made again begins another one."""
    secured = Secured(coordinator=("--config", str(config)))
    world = launch(peers=1, coordinators=1, secured=secured)
    setup, writer = world.setup, Writer(world.setup.peers[0].url)

    async def body() -> Stored:
        await writer.create()
        await wait_followed(world)
        async with writer.running():
            await writer.wait(50)
            await setup.agents[0].stop()
            await writer.wait(50)
            await setup.agents[0].start_again()
            await writer.wait(50)
            await setup.agents[0].kill()
            await setup.peers[0].kill()
            await setup.peers[0].start()
            await setup.agents[0].start_again()
            await writer.wait(50)
        stored = await wait_stored(world, writer)
        assert await compare(stored, writer) == ([], [])
        return stored

    stored = world.run(body())
    (chain,) = stored.mine()
    assert not stored.index.damaged
    assert stored.marks
    assert not any(mark.doubt for mark in stored.marks)

    made = world.back_up("--collection", COLLECTION)
    manifest = world.run(manifest_of(world, made["epoch"]))
    assert [one.chain for one in bases_of(manifest)] == [chain.id]
    assert bases_of(manifest)[0].first >= chain.first

    async def made_again() -> Stored:
        await writer.drop()
        await writer.create()
        return await wait_chains(world, 2)

    stored = world.run(made_again())
    (new,) = (one for one in stored.mine() if one.id != chain.id)
    assert new.collection_uuid != chain.collection_uuid
    assert new.after == chain.id
    assert chain.id in stored.ends


@pytest.mark.chaos
def test_a_lost_source_is_replaced_by_another_replica(launch: Launch, config: Path) -> None:
    """Its peer and its agent are gone for good; a mark and a backup of the new chain follow."""
    secured = Secured(coordinator=("--config", str(config)))
    world = launch(peers=3, coordinators=1, secured=secured)
    setup = world.setup

    async def body() -> tuple[Chain, Chain]:
        first = Writer(setup.peers[0].url, replicas=2)
        await first.create()
        (lost,) = (await wait_chains(world, 1)).mine()
        gone = next(n for n, agent in enumerate(setup.agents) if agent.name == lost.agent)
        writer = Writer(setup.peers[(gone + 1) % 3].url)
        async with writer.running():
            await writer.wait(50)
            await setup.agents[gone].kill()
            await setup.peers[gone].kill()
            await writer.wait(50)
            stored = await wait_chains(world, 2)
            (new,) = (one for one in stored.mine() if one.id != lost.id)
            await writer.wait(50)
        points = await (await wait_taken(world, new, writer)).points_of(new)
        newest = sorted(writer.acknowledged.values())[-40:]
        assert set(newest) <= {point for ids in points.values() for point in ids}
        return lost, new

    lost, new = world.run(body())
    assert new.peer != lost.peer
    mark = world.ok("mark", "mark", "before-deploy")
    assert mark["shards"] == 1
    (taken,) = [one for one in world.run(Stored.read(world)).marks if one.name == "before-deploy"]
    assert not taken.doubt
    assert taken.ends[0].chain == new.id
    shard = world.ok("archive", "archive", "status")["shards"][0]
    assert (shard["chain"], shard["agent"], shard["lag_s"]) == (new.id, new.agent, 0.0)
    assert shard["stored_entry"] == taken.ends[0].last
    made = world.back_up("--collection", COLLECTION)
    manifest = world.run(manifest_of(world, made["epoch"]))
    based = {base.chain for base in bases_of(manifest)}
    assert based <= {new.id}


async def wait_taken(world: World, chain: Chain, writer: Writer) -> Stored:
    """The archive, once it has the newest acknowledged operation of the chain."""
    newest = max(writer.acknowledged.values())

    async def found() -> Stored | None:
        stored = await Stored.read(world)
        points = await stored.points_of(chain)
        return stored if any(newest in ids for ids in points.values()) else None

    return await wait_for(found, "the archive", WAIT_S, 0.5)


async def manifest_of(world: World, epoch: int) -> Manifest:
    paths = Paths(ClusterName(world.setup.cluster))
    return await load_group(FileStore(world.store), paths, Epoch(epoch))
