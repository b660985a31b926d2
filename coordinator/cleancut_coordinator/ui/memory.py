"""Memory of the status page: what was read last, read again while there are readers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from cleancut.core.primitives.errors import CleancutError
from cleancut.page.seen import Seen
from cleancut.ports.clock import Clock
from cleancut.runtime.concurrency import run_all
from cleancut.runtime.log import Logger
from cleancut_coordinator.ui.source import Source

RUNNING_S = 1.0
REST_S = 10.0
IDLE_S = 300.0
"""How old what moves, the rest, and all of it without a reader may become."""
_WATCHED_S = 20.0
_WAIT_S = 4.0
_PART_S = 15.0
_AT_ONCE = 8


class PageMemory:
    """One a process. Pages are made of it alone, so that they are there at once, and also while
    the cluster is not."""

    def __init__(self, source: Source, cluster: str, clock: Clock, log: Logger) -> None:
        self._source, self._clock, self._log = source, clock, log
        self.seen = Seen(cluster)
        self._looked_s = clock.monotonic_s()
        self._rest_s = float("-inf")
        self._changed = asyncio.Event()
        self._running_due, self._rest_due = asyncio.Event(), asyncio.Event()
        self._failed: dict[str, str] = {}

    async def run(self) -> None:
        """Never returns."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(self._read_running, RUNNING_S, self._running_due))
            group.create_task(self._repeat(self._read_rest, REST_S, self._rest_due))

    async def read(self) -> None:
        """All of it, once. Order: repeatable."""
        await self._read_running()
        await self._read_rest()

    async def fresh(self) -> Seen:
        """What is known; if that is old, after another reading, for which a reader waits a few
        seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WAIT_S):
                while self._is_old():
                    await self._next()
        self._look()
        return self.seen

    async def next(self, wait_s: float) -> Seen:
        """After the next reading, or as it is once `wait_s` are over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._next()
        return self.seen

    async def _next(self) -> None:
        self._look()
        await self._changed.wait()

    def _look(self) -> None:
        """There is a reader: what has idled begins at once."""
        if not self._is_watched():
            self._running_due.set()
            self._rest_due.set()
        self._looked_s = self._clock.monotonic_s()

    def _is_watched(self) -> bool:
        return self._clock.monotonic_s() - self._looked_s <= _WATCHED_S

    def _is_old(self) -> bool:
        rest_old = self._clock.monotonic_s() - self._rest_s > 3 * REST_S
        return rest_old or self._clock.wall_s() - self.seen.at_s > REST_S

    async def _repeat(
        self, read: Callable[[], Awaitable[None]], every_s: float, due: asyncio.Event
    ) -> None:
        while True:
            due.clear()
            await read()
            wait_s = every_s if self._is_watched() else IDLE_S
            if not self.seen.complete:
                wait_s = RUNNING_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await due.wait()

    async def _read_running(self) -> None:
        known = self.seen
        before = (known.running, known.timelines)
        running, timelines = await self._part("running operations", self._source.running, before)
        if {one.id for one in known.running} != {one.id for one in running}:
            self._rest_due.set()  # one has begun or ended: lists show it
        self._show(running=running, timelines=timelines)

    async def _read_rest(self) -> None:
        source, known = self._source, self.seen
        parts: dict[str, tuple[Callable[[], Awaitable[Any]], Any]] = {
            "backups": (source.backups, (known.backups, known.complete)),
            "cluster": (source.status, known.status),
            "protection": (source.protection, known.protection),
            "schedules": (source.schedules, known.schedules),
            "due times": (source.due, known.due),
            "restores": (source.restores, known.restores),
            "rebalances": (source.rebalances, known.rebalances),
            "reshards": (source.reshards, known.reshards),
            "undeletes": (source.undeletes, known.undeletes),
            "work": (source.work, known.work),
            "findings": (source.findings, known.findings),
        }
        reads = [partial(self._part, what, *part) for what, part in parts.items()]
        found = dict(zip(parts, await run_all(reads, _AT_ONCE), strict=True))
        backups, complete = found.pop("backups")
        self._rest_s = self._clock.monotonic_s()
        self._show(
            backups=backups,
            complete=complete,
            checks=source.checks(),
            status=found.pop("cluster"),
            due=found.pop("due times"),
            **found,
        )

    def _show(self, **found: Any) -> None:
        unread = tuple(f"{what}: {cause}" for what, cause in self._failed.items())
        self.seen = replace(self.seen, at_s=self._clock.wall_s(), unread=unread, **found)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

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
