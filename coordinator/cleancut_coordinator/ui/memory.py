"""Memory of the status page: what was read last, read again while there are readers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from cleancut.core.primitives.errors import CleancutError
from cleancut.page.seen import Seen
from cleancut.ports.clock import Clock
from cleancut.runtime.log import Logger
from cleancut_coordinator.ui.source import Source

RUNNING_S = 1.0
REST_S = 10.0
IDLE_S = 300.0
"""How old what moves, the rest, and all of it without a reader may become."""
_WATCHED_S = 20.0
_WAIT_S = 4.0
_PART_S = 15.0


class PageMemory:
    """One a process. Pages are made of it alone, so that they are there at once, and also while
    the cluster is not."""

    def __init__(self, source: Source, cluster: str, clock: Clock, log: Logger) -> None:
        self._source, self._clock, self._log = source, clock, log
        self.seen = Seen(cluster)
        self._looked_s = clock.monotonic_s()
        self._rest_s = float("-inf")
        self._asked, self._read = asyncio.Event(), asyncio.Event()
        self._failed: dict[str, str] = {}

    async def run(self) -> None:
        """Never returns."""
        while True:
            self._asked.clear()
            await self.read()
            ready, self._read = self._read, asyncio.Event()
            ready.set()
            if self._clock.monotonic_s() - self._looked_s <= _WATCHED_S or not self.seen.complete:
                await self._clock.sleep(RUNNING_S)
                continue
            try:
                async with asyncio.timeout(IDLE_S):
                    await self._asked.wait()
            except TimeoutError:
                self._rest_s = float("-inf")

    async def fresh(self) -> Seen:
        """What is known now; if that is old, after one more reading, for which a reader waits a
        few seconds at most."""
        if self._clock.wall_s() - self.seen.at_s > REST_S:
            await self.next(_WAIT_S)
        self._looked_s = self._clock.monotonic_s()
        return self.seen

    async def next(self, wait_s: float) -> Seen:
        """After the next reading, or as it is once `wait_s` are over."""
        self._looked_s = self._clock.monotonic_s()
        self._asked.set()
        read = self._read
        try:
            async with asyncio.timeout(wait_s):
                await read.wait()
        except TimeoutError:
            pass
        return self.seen

    async def read(self) -> None:
        """Reads what is due. Order: repeatable."""
        source, known = self._source, self.seen
        found: dict[str, Any] = {}
        before = (known.running, known.timelines)
        running, timelines = await self._part("running operations", source.running, before)
        found |= {"running": running, "timelines": timelines}
        ended = {one.id for one in known.running} != {one.id for one in running}
        due = self._clock.monotonic_s() - self._rest_s >= REST_S
        if due or ended or not known.complete:
            self._rest_s = self._clock.monotonic_s()
            found |= await self._rest(known)
        unread = tuple(f"{what}: {cause}" for what, cause in self._failed.items())
        self.seen = replace(known, at_s=self._clock.wall_s(), unread=unread, **found)

    async def _rest(self, known: Seen) -> dict[str, Any]:
        source = self._source
        backups, complete = await self._part(
            "backups", source.backups, (known.backups, known.complete)
        )
        return {
            "backups": backups,
            "complete": complete,
            "checks": source.checks(),
            "status": await self._part("cluster", source.status, known.status),
            "schedules": await self._part("schedules", source.schedules, known.schedules),
            "restores": await self._part("restores", source.restores, known.restores),
            "rebalances": await self._part("rebalances", source.rebalances, known.rebalances),
            "reshards": await self._part("reshards", source.reshards, known.reshards),
            "findings": await self._part("findings", source.findings, known.findings),
        }

    async def _part(self, what: str, read: Callable[[], Awaitable[Any]], known: Any) -> Any:
        """What `read` gives, or what is known while that fails: the page says which."""
        try:
            async with asyncio.timeout(_PART_S):
                found = await read()
        except TimeoutError:
            cause = f"not read within {_PART_S:.0f} s"
        except CleancutError as error:
            cause = error.message
        else:
            self._failed.pop(what, None)
            return found
        if self._failed.get(what) != cause:
            self._log.warning("page: not read", what=what, cause=cause)
        self._failed[what] = cause
        return known
