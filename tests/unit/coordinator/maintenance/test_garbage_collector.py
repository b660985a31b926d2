"""The period of garbage collection: from start to start, however long a collection takes."""

from __future__ import annotations

import asyncio

import pytest

from cleancut.api.garbage import GarbageCollection
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.ids import ClusterName, FencingToken
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.log import configure_logging
from cleancut.testing.memory_etcd import MemoryEtcd
from cleancut.testing.memory_store import MemoryStore
from cleancut_coordinator.context import CoordinatorContext, GcSettings
from cleancut_coordinator.maintenance.garbage_collector import GarbageCollector
from cleancut_coordinator.metrics.registry import CoordinatorMetrics

EVERY_S = 600.0


class HandClock(SystemClock):
    """Sleeping sets it forward at once."""

    now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class LastingCollector(GarbageCollector):
    """Every collection takes `took_s`; the fifth one ends the test."""

    clock: HandClock
    took_s: float
    started_s: list[float]

    async def collect(self, *, dry_run: bool = False, confirmed: bool = False) -> GarbageCollection:
        self.started_s.append(self.clock.now_s)
        if len(self.started_s) == 5:
            raise asyncio.CancelledError
        self.clock.now_s += self.took_s
        return GarbageCollection(dry_run=dry_run)


class Alive:
    id = 1

    def remaining_s(self) -> float:
        return 1.0

    def alive(self) -> bool:
        return True

    async def wait_lost(self) -> str:
        return ""


def starts_s(took_s: float) -> list[float]:
    clock, cluster = HandClock(), ClusterName("prod")
    context = CoordinatorContext(
        name="c0",
        store_url="memory",
        keys=Keys(cluster),
        paths=Paths(cluster),
        etcd=MemoryEtcd(clock),
        store=MemoryStore(),
        peers=(),
        clock=clock,
        gc=GcSettings(every_s=EVERY_S),
    )
    collector = LastingCollector(
        context,
        Alive(),
        FencingToken(1),
        metrics=CoordinatorMetrics("prod"),
        log=configure_logging("error", "test"),
    )
    collector.clock, collector.took_s, collector.started_s = clock, took_s, []
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(collector.run())
    return collector.started_s


def test_the_period_does_not_grow_by_the_duration() -> None:
    assert starts_s(90.0) == [60.0, 660.0, 1260.0, 1860.0, 2460.0]


def test_one_that_takes_longer_than_the_period_is_followed_at_once() -> None:
    assert starts_s(1000.0) == [60.0, 1060.0, 2060.0, 3060.0, 4060.0]
