"""Gc runs that stop before anything is deleted: wrong clocks, and too large a share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from cleancut.api.garbage import GarbageCollection
from cleancut.core.format.manifest import FORMAT, ClusterEntry, CollectionEntry, Manifest
from cleancut.core.format.paths import Paths
from cleancut.core.maintenance.garbage import LastGc
from cleancut.core.maintenance.retention import Policy, Retention
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import (
    AgentName,
    ClusterName,
    Epoch,
    FencingToken,
    OperationId,
)
from cleancut.core.primitives.timestamps import format_time
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Session
from cleancut.ports.coordination import Put
from cleancut.repository.holds import put_reason
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.log import configure_logging
from cleancut.testing.memory_etcd import MemoryEtcd
from cleancut.testing.memory_store import MemoryStore
from cleancut_coordinator.context import CoordinatorContext, GcSettings
from cleancut_coordinator.leader.cluster_id import establish
from cleancut_coordinator.maintenance.garbage_collector import GarbageCollector
from cleancut_coordinator.metrics.registry import CoordinatorMetrics
from tests.unit.coordinator.maintenance.test_garbage_collector import Alive

DAY_S = 86400.0
NOW_S = 1_800_000_000.0
CLUSTER = ClusterName("prod")
PATHS, KEYS = Paths(CLUSTER), Keys(CLUSTER)


class WallClock(SystemClock):
    """Shows what it is set to."""

    shown_s = NOW_S

    def wall_s(self) -> float:
        return self.shown_s


class World:
    """A store with a backup a day, newest last, and a collector over it."""

    def __init__(self, policy: Policy, days: int, schedule: str = "") -> None:
        self.clock, self.store = WallClock(), MemoryStore()
        self.store.time_s = NOW_S
        self.etcd = MemoryEtcd(self.clock)
        for day in range(days):
            manifest = replace(_manifest(day + 1, NOW_S - (days - day) * DAY_S), schedule=schedule)
            self.store.objects[PATHS.group(manifest.epoch)] = encode(manifest)
        self.context = CoordinatorContext(
            name="c0",
            store_url="memory",
            keys=KEYS,
            paths=PATHS,
            etcd=self.etcd,
            store=self.store,
            peers=(),
            clock=self.clock,
            gc=GcSettings(policy, grace_s=0.0),
        )

    def gc(self, *, dry_run: bool = False, confirmed: bool = False) -> GarbageCollection:
        async def run() -> GarbageCollection:
            token = await self.etcd_token()
            await establish(self.context, token)
            collector = GarbageCollector(
                self.context,
                Alive(),
                token,
                metrics=CoordinatorMetrics("prod"),
                log=configure_logging("error", "test"),
            )
            return await collector.collect(dry_run=dry_run, confirmed=confirmed)

        return asyncio.run(run())

    async def etcd_token(self) -> FencingToken:
        found = await self.etcd.get(KEYS.leader)
        if found is None:
            await self.etcd.txn([], [Put(KEYS.leader, b"{}")])
            found = await self.etcd.get(KEYS.leader)
        assert found is not None
        return FencingToken(found.create_revision)

    def stopped(self) -> str:
        found = asyncio.run(self.etcd.get(KEYS.last_gc))
        return decode(LastGc, found.value, "last-gc").stopped if found else ""

    def deleted(self) -> list[str]:
        return [path for path in self.store.objects if path.endswith(".deleted")]

    def say_time(self, agent: str, time_s: float) -> None:
        session = Session(name=AgentName(agent), version="1", clock=format_time(time_s))
        asyncio.run(self.etcd.txn([], [Put(KEYS.session(AgentName(agent)), encode(session))]))


def _manifest(epoch: int, cut_s: float) -> Manifest:
    return Manifest(
        format=FORMAT,
        cluster="prod",
        cluster_id="x",
        epoch=Epoch(epoch),
        operation=OperationId(f"b-{epoch}"),
        created_by="test",
        cut_at=format_time(cut_s),
        skew_ms=0,
        collections=(
            CollectionEntry(name="books", uuid="u", info={"config": {"params": {}}}, shard_ids=()),
        ),
        shards=(),
        source=ClusterEntry(qdrant_version="1.18.3", peers={}, metadata={}),
        view="",
    )


MONTH = Policy(Retention(max_age_days=30), max_expire_share=1.0)


class HeldMeanwhile(MemoryStore):
    """A hold arrives once gc has chosen what expires."""

    async def put(self, path: str, data: bytes) -> None:
        if path == PATHS.tombstone(Epoch(2)):
            await put_reason(self, PATHS, Epoch(2), "audit", now_s=NOW_S, for_s=0.0)
        await super().put(path, data)


def test_a_hold_that_comes_while_backups_expire_keeps_its_backup() -> None:
    """Whoever was told that it is held finds it."""
    world = World(Policy(Retention(keep_last=1), max_expire_share=1.0), days=4)
    world.store.__class__ = HeldMeanwhile
    assert [one.epoch for one in world.gc().expired] == [1, 3]
    assert world.deleted() == [PATHS.tombstone(Epoch(epoch)) for epoch in (1, 3)]
    assert [one.why for one in world.gc().kept if one.epoch == 2] == ["held"]


def _ahead(world: World) -> None:
    world.clock.shown_s += 400 * DAY_S


def _store_ahead(world: World) -> None:
    world.store.time_s = NOW_S + 2 * 3600.0


def _store_behind(world: World) -> None:
    world.store.time_s = NOW_S - 2 * 3600.0


def _agent_behind(world: World) -> None:
    world.store.time_s = None
    world.say_time("a1", NOW_S)
    _ahead(world)


@pytest.mark.parametrize("disturb", [_ahead, _store_ahead, _store_behind, _agent_behind])
def test_a_clock_that_disagrees_deletes_nothing(disturb: Callable[[World], None]) -> None:
    """Not even if it is confirmed; a dry run names the reason."""
    world = World(MONTH, 60)
    disturb(world)
    before = dict(world.store.objects)
    for confirmed in (False, True):
        with pytest.raises(Refused, match="clock"):
            world.gc(confirmed=confirmed)
    assert world.deleted() == []
    assert before.keys() <= world.store.objects.keys()
    assert "clock" in world.stopped()
    assert any("clock" in warning for warning in world.gc(dry_run=True).warnings)


def test_a_right_clock_expires() -> None:
    world = World(MONTH, 60)
    world.say_time("a1", NOW_S - 600.0)
    assert len(world.gc().expired) == 30
    assert len(world.deleted()) == 30
    assert world.stopped() == ""


def test_too_large_a_share_asks() -> None:
    """And what stopped it is forgotten once a run went through."""
    world = World(Policy(Retention(keep_last=5)), 12)
    with pytest.raises(Refused, match="7 of 12 backups") as refusal:
        world.gc()
    assert "--yes" in refusal.value.hint
    assert world.deleted() == []
    assert "7 of 12" in world.stopped()
    plan = world.gc(dry_run=True)
    assert [one.epoch for one in plan.expired] == [1, 2, 3, 4, 5, 6, 7]
    assert {one.epoch: one.why for one in plan.kept}[12] == "keep-last"
    assert len(world.gc(confirmed=True).expired) == 7
    assert len(world.deleted()) == 7
    assert world.stopped() == ""


def test_backups_of_an_unknown_schedule_are_kept_with_a_warning() -> None:
    world = World(Policy(Retention(keep_last=1)), 5, schedule="monthly")
    done = world.gc()
    assert done.expired == ()
    assert len(done.warnings) == 1
    assert "'monthly'" in done.warnings[0]
