"""Gauges while etcd and the store come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any

from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Unavailable
from cleancut.core.primitives.ids import AgentName, Epoch, PeerId
from cleancut.core.protocol.etcd_records import Ctl, Session
from cleancut.core.protocol.states import Phase
from cleancut.ports.coordination import Put
from cleancut.ports.store import ObjectInfo
from cleancut.testing.memory_store import MemoryStore
from cleancut_coordinator.metrics.registry import CoordinatorMetrics
from cleancut_coordinator.monitoring.collector import MetricsCollector
from cleancut_devcluster.launch.process import wait_for
from tests.support.groups import manifest, shard
from tests.unit.coordinator.maintenance.test_scheduler import Cluster
from tests.unit.coordinator.metrics.test_registry import LOG, told

READ, SUCCESS = "catalog_read_timestamp_seconds", "last_success_timestamp_seconds"


class Leaving(MemoryStore):
    """A store that may be away."""

    def __init__(self) -> None:
        super().__init__()
        self.away, self.asked = True, 0

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        self.asked += 1
        if self.away:
            raise Unavailable("the store is away")
        async for info in super().list(prefix):
            yield info


class World:
    """A coordinator's watcher on an etcd and a store in memory; its pauses are short."""

    def __init__(self) -> None:
        self.store, self.metrics, self.cluster = Leaving(), CoordinatorMetrics("prod"), Cluster()
        self.cluster.clock.real = True
        self.context = replace(self.cluster.context, store=self.store)

    def shows(self, name: str) -> dict[tuple[str, ...], float]:
        return told(self.metrics, f"cleancut_{name}")

    async def attempt(self, epoch: int) -> None:
        """Begins one, so that the store is looked at again; returns when it was."""
        before = self.store.asked
        ctl = Ctl(phase=Phase.PREPARE, epoch=Epoch(epoch))
        await self.context.etcd.txn([], [Put(self.context.keys.ctl, encode(ctl))])
        await self.until(lambda: self.store.asked > before, "a look at the store")

    async def until(self, holds: Callable[[], object], what: str) -> None:
        async def look() -> bool | None:
            return True if holds() else None

        await wait_for(look, what, 30.0, 0.01)


def test_what_the_store_told_stays_and_how_long_ago_is_told() -> None:
    """A coordinator that has never read it tells nothing; one that has goes on telling what it has
    read, so that ages grow, and when that was."""

    async def body(world: World) -> None:
        await world.until(lambda: world.store.asked, "a first look")
        assert world.shows(READ) == world.shows(SUCCESS) == world.shows("catalog_backups") == {}

        made = manifest(1, (shard("docs", 0), shard("docs", 1)))
        await world.store.put(world.context.paths.group(Epoch(1)), encode(made))
        world.store.away = False
        await world.attempt(1)
        await world.until(lambda: world.shows(SUCCESS), "a group")
        assert world.shows("catalog_backups") == {("corrupt",): 0, ("good",): 1}
        await world.until(lambda: world.shows("unprotected_collections"), "the judgement")
        assert world.shows("unprotected_collections") == {(): 1}, "that one is from long ago"
        read_at, success = world.shows(READ), world.shows(SUCCESS)

        world.store.away = True
        world.cluster.clock.now_s += 700.0
        await world.attempt(2)
        assert (world.shows(READ), world.shows(SUCCESS)) == (read_at, success)
        await world.until(lambda: not world.shows("unprotected_collections"), "not known now")

    run(body)


def test_what_etcd_tells_is_unknown_as_soon_as_it_cannot_be_read() -> None:
    """Agents that were there before etcd went away may be gone as well."""

    async def body(world: World) -> None:
        etcd, keys = world.context.etcd, world.context.keys
        key = keys.session(AgentName("a0"))
        session = Session(name=AgentName("a0"), version="1", peer_id=PeerId(1), peers=(PeerId(1),))
        await etcd.txn([], [Put(key, encode(session))])
        await world.until(lambda: world.shows("agents").get(("connected",)) == 1, "the agent")
        await etcd.txn([], [Put(keys.ctl, b"not a record")])
        await world.until(lambda: not world.shows("agents"), "nothing to be known")
        assert world.shows("fence_open") == {}
        await etcd.txn([], [Put(keys.ctl, encode(Ctl()))])
        await world.until(lambda: world.shows("agents").get(("connected",)) == 1, "the agent again")

    run(body)


def run(body: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def both() -> None:
        world = World()
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(MetricsCollector(world.context, world.metrics, LOG).run())
            async with asyncio.timeout(90.0):
                await body(world)
            watching.cancel()

    asyncio.run(both())
