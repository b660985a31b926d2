"""What the page keeps in memory: one failing part hides no other, and all of it is read in time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import structlog

from cleancut.api.cluster import ClusterStatus
from cleancut.core.primitives.errors import Unavailable
from cleancut.core.protocol.requests import BackupRequest
from cleancut.runtime.clock import SystemClock
from cleancut.testing.memory_api import MemoryApi
from cleancut_coordinator.ui.memory import PageMemory
from tests.support.page_source import MemorySource


class WithoutQdrant(MemorySource):
    """`status` fails once there was an answer."""

    broken = False

    async def status(self) -> ClusterStatus:
        if self.broken:
            raise Unavailable("Qdrant does not answer", "start it")
        return await super().status()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await scenario()

    asyncio.run(bounded())


def memory_of(source: MemorySource) -> PageMemory:
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    return PageMemory(source, "main", SystemClock(), structlog.get_logger("test"))


def test_what_cannot_be_read_stays_as_it_was_and_is_named() -> None:
    async def scenario() -> None:
        source = WithoutQdrant(MemoryApi())
        memory = memory_of(source)
        await memory.read()
        assert memory.seen.unread == ()
        source.broken = True
        await source.operations.create_backup(BackupRequest(), "r-1")
        await memory.read()
        assert memory.seen.unread == ("cluster: Qdrant does not answer",)
        assert memory.seen.status is not None
        assert [one.id for one in memory.seen.backups] == ["bk-1"]
        source.broken = False
        await memory.read()
        assert memory.seen.unread == ()

    run(scenario)


def test_a_reader_of_old_facts_waits_for_new_ones() -> None:
    async def scenario() -> None:
        memory = memory_of(MemorySource(MemoryApi()))
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(memory.run())
            assert (await memory.fresh()).complete
            reading.cancel()

    run(scenario)


def test_a_reader_is_not_held_up_by_a_reading_that_hangs() -> None:
    """Nothing reads here at all."""

    async def scenario() -> None:
        memory = memory_of(MemorySource(MemoryApi()))
        assert not (await memory.next(0.01)).complete

    run(scenario)
