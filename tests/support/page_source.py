"""A source of the status page over the API in memory, and a page served from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

from cleancut.api.backups import Backup
from cleancut.api.cluster import ClusterStatus, DoctorFinding
from cleancut.api.ended_work import EndedWork
from cleancut.api.from_story import shown_stories, work_of
from cleancut.api.interface import PageRequest
from cleancut.api.operations import Operation, is_over
from cleancut.api.protection import Protection
from cleancut.api.rebalances import Rebalance
from cleancut.api.reshards import Reshard
from cleancut.api.restores import Restore
from cleancut.api.schedules import Schedule
from cleancut.api.undeletes import Undelete
from cleancut.core.format.story import Story
from cleancut.core.format.timeline import Timeline
from cleancut.core.maintenance.due_times import DueTimes
from cleancut.core.primitives.ids import Epoch
from cleancut.core.verification.damage import LogEntry
from cleancut.page.views import Placement
from cleancut.runtime.clock import SystemClock
from cleancut.testing.memory_api import MemoryApi
from cleancut_coordinator.ui.listen import PageListen
from cleancut_coordinator.ui.memory import PageMemory
from cleancut_coordinator.ui.server import PageServer, serve_page
from cleancut_coordinator.ui.site import Site

ALL = PageRequest(size=1000)

MANIFEST = b'{"epoch": 1,  "as": "it was stored"}'


@dataclass
class MemorySource:
    """What `operations` hold, and the verification log."""

    operations: MemoryApi = field(default_factory=MemoryApi)
    log: Sequence[LogEntry] = ()
    catalog: Sequence[Backup] = ()
    timelines: dict[str, Timeline] = field(default_factory=dict)
    audit_lines: list[dict[str, Any]] | None = None
    stories: Sequence[Story] = ()
    due_times: dict[str, DueTimes] = field(default_factory=dict)
    moving: Sequence[Rebalance] = ()

    async def running(self) -> tuple[tuple[Operation, ...], dict[str, Timeline]]:
        known: list[Operation] = [
            *self.operations.backups.values(),
            *self.operations.restores.values(),
        ]
        return tuple(one for one in known if not is_over(one)), self.timelines

    async def status(self) -> ClusterStatus:
        return await self.operations.cluster_status()

    async def findings(self) -> tuple[DoctorFinding, ...]:
        return (await self.operations.diagnose()).findings

    async def protection(self) -> Protection:
        return await self.operations.protection()

    async def schedules(self) -> tuple[Schedule, ...]:
        return (await self.operations.schedules.list_schedules()).schedules

    async def due(self) -> dict[str, DueTimes]:
        return self.due_times

    async def backups(self) -> tuple[tuple[Backup, ...], bool]:
        page = await self.operations.list_backups(ALL)
        return (*page.backups, *self.catalog), True

    async def restores(self) -> tuple[Restore, ...]:
        return (await self.operations.list_restores(ALL)).restores

    async def rebalances(self) -> tuple[Rebalance, ...]:
        listed = await self.operations.rebalances.list_rebalances(ALL)
        return (*self.moving, *listed.rebalances)

    async def reshards(self) -> tuple[Reshard, ...]:
        return (await self.operations.reshards.list_reshards(ALL)).reshards

    async def work(self) -> tuple[EndedWork, ...]:
        return tuple(shown_stories(self.stories, work_of))

    async def undeletes(self) -> tuple[Undelete, ...]:
        return (await self.operations.undeletes.list_undeletes(ALL)).undeletes

    def checks(self) -> tuple[LogEntry, ...]:
        return tuple(self.log)

    async def backup(self, name: str) -> Backup:
        return await self.operations.get_backup(name)

    async def manifest(self, name: str) -> tuple[Epoch, bytes]:
        """What the API in memory holds, which has no store."""
        return Epoch((await self.backup(name)).epoch), MANIFEST

    async def timeline(self, backup: Backup) -> Timeline:
        return self.timelines.get(backup.id, Timeline())

    async def placement(self) -> Placement:
        return Placement((7,), {"books": {7: [0, 1]}}, {7: 2}, {7: 0})

    async def audit(self) -> list[dict[str, Any]] | None:
        return self.audit_lines


@asynccontextmanager
async def served_page(
    source: MemorySource, listen: PageListen, *, reads: bool = False
) -> AsyncIterator[str]:
    """The page's address. It is read once; with `reads`, again and again, as in a coordinator."""
    memory = PageMemory(source, "main", SystemClock(), structlog.get_logger("test"))
    await memory.read()
    server = PageServer(Site(source, memory), memory, listen, "co-0")
    async with serve_page(server, listen) as address, asyncio.TaskGroup() as group:
        reading = group.create_task(memory.run()) if reads else None
        try:
            yield address
        finally:
            if reading is not None:
                reading.cancel()
