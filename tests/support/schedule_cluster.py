"""Coordinators in memory that lead one after the other, with schedules and a clock set by hand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from cleancut.core.format.paths import Paths
from cleancut.core.maintenance.schedule import ScheduleRule
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import ClusterName, FencingToken
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.states import OperationKind, State
from cleancut.ports.coordination import Created, Delete, Put
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.log import configure_logging
from cleancut.testing.memory_etcd import MemoryEtcd
from cleancut.testing.memory_store import MemoryStore
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader import requests
from cleancut_coordinator.maintenance.scheduler import Scheduler

HOUR_S = 3600.0
NOON_S = datetime(2026, 6, 15, 12, tzinfo=UTC).timestamp()
HOURLY = ScheduleRule(cron="0 * * * *", collections=("docs",), attempts=7)
LOG = configure_logging("error", "test")


class HandClock(SystemClock):
    """A wall clock that is set by hand; a sleep sets it, unless it is `real`."""

    def __init__(self) -> None:
        self.now_s = NOON_S
        self.ends_s = float("inf")
        self.real = False

    def wall_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0.05 if self.real else 0)
        if self.real:
            return
        self.now_s += seconds
        if self.now_s > self.ends_s:
            raise asyncio.CancelledError


class Cluster:
    """Coordinators that lead one after the other."""

    def __init__(self, schedule: ScheduleRule = HOURLY, store: str = "memory") -> None:
        self.clock, self.poked = HandClock(), 0
        self.context = CoordinatorContext(
            name="c0",
            store_url=store,
            keys=Keys(ClusterName("prod")),
            paths=Paths(ClusterName("prod")),
            etcd=MemoryEtcd(self.clock),
            store=MemoryStore(),
            peers=(),
            clock=self.clock,
            file_schedules={"hourly": schedule},
        )

    async def lead(self) -> Scheduler:
        key, etcd = self.context.keys.leader, self.context.etcd
        await etcd.txn([], [Delete(key)])
        result = await etcd.txn([Created(key, 0)], [Put(key, b"{}")])
        return Scheduler(self.context, FencingToken(result.revision), poke=self._poke, log=LOG)

    def _poke(self) -> None:
        self.poked += 1

    async def run_until(self, scheduler: Scheduler, until_s: float) -> None:
        """Lets a leader lead until its clock has passed `until_s`."""
        self.clock.ends_s = until_s
        with pytest.raises(asyncio.CancelledError):
            await scheduler.run()
        self.clock.now_s = until_s

    async def started(self) -> list[Operation]:
        """All operations, oldest first."""
        return list(reversed(await requests.load_all(self.context, OperationKind.BACKUP)))

    async def end(self, operation: Operation) -> None:
        ended = replace(operation, state=State.COMMITTED)
        put = Put(self.context.keys.operation(operation.id), encode(ended))
        await self.context.etcd.txn([], [put])
