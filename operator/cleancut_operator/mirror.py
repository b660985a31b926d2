"""Mirror of operations in objects: one task for each object in which something may change.

A task makes one short call, writes what it learned, and waits: no call lasts as long as a backup.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from cleancut.client.client import Client
from cleancut.core.primitives.errors import CleancutError, NotFound
from cleancut.ports.clock import Clock
from cleancut.runtime.log import Logger
from cleancut_operator import decisions
from cleancut_operator.decisions import Call, Step, Told
from cleancut_operator.effects import ask, delete_schedule, look_at_schedule
from cleancut_operator.resources import Fields, Kind, Seen

AT_ONCE = 4
"""Calls to coordinators."""
FIRST_RETRY_S, LAST_RETRY_S = 2.0, 60.0


class Objects(Protocol):
    """What is written into objects; each call gives the object as it is afterwards."""

    async def set_status(self, seen: Seen, fields: Fields) -> Seen: ...

    async def set_finalizers(self, seen: Seen, finalizers: tuple[str, ...]) -> Seen: ...


@dataclass(slots=True)
class _Followed:
    """One object as it was last seen. `failures`: calls in a row."""

    seen: Seen
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0
    task: asyncio.Task[None] | None = None

    @property
    def retry_s(self) -> float:
        return float(min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** min(self.failures, 10)))


class Mirror:
    """All objects of a namespace. `tell` writes an event of Kubernetes."""

    def __init__(
        self,
        client: Client,
        objects: Objects,
        clock: Clock,
        *,
        tell: Callable[[Seen, Told], None],
        log: Logger,
    ) -> None:
        self._client, self._objects, self._clock = client, objects, clock
        self._tell, self._log = tell, log
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._all: dict[str, _Followed] = {}

    def see(self, seen: Seen, group: asyncio.TaskGroup) -> None:
        """Takes an object as a watch shows it. Its own writes wake nothing; a change of its spec
        does, and its deletion."""
        found = self._all.get(seen.uid)
        if found is None:
            found = self._all[seen.uid] = _Followed(seen)
        before, found.seen = found.seen, seen
        if found.task is None or found.task.done():
            found.task = group.create_task(self._follow(found))
        elif (before.generation, before.is_leaving) != (seen.generation, seen.is_leaving):
            found.changed.set()

    def forget(self, uid: str) -> None:
        """The object is gone."""
        found = self._all.pop(uid, None)
        if found is not None and found.task is not None:
            found.task.cancel()

    def close(self) -> None:
        """Order: before the group that its tasks are in is left."""
        for uid in list(self._all):
            self.forget(uid)

    async def _follow(self, one: _Followed) -> None:
        """Until nothing more can change in the object by itself."""
        while True:
            one.changed.clear()
            wait_s = await self._turn(one)
            if wait_s is None and not one.changed.is_set():
                return
            try:
                async with asyncio.timeout(wait_s):
                    await one.changed.wait()
            except TimeoutError:
                pass

    async def _turn(self, one: _Followed) -> float | None:
        """One call and what follows from it; gives the seconds until the next."""
        seen, now_s = one.seen, self._clock.wall_s()
        call = decisions.next_call(seen, now_s)
        if call is Call.NONE:
            return None
        try:
            step = await self._step(one, seen, call)
            await self._write(one, seen, step)
        except NotFound:
            return None  # gone; its watch says so, too
        except CleancutError as error:
            one.failures += 1
            self._log.warning("not written", object=seen.path, cause=error.message)
            return one.retry_s
        return step.wait_s

    async def _step(self, one: _Followed, seen: Seen, call: Call) -> Step:
        now_s = self._clock.wall_s()
        match call:
            case Call.HOLD | Call.LET_GO:
                return decisions.held(seen, hold=call is Call.HOLD)
            case Call.CLAIM:
                return decisions.claimed(seen, now_s)
            case Call.GIVE_UP:
                return decisions.given_up(seen, now_s)
        try:
            async with self._gate:
                step = await self._asked(seen, call)
        except CleancutError as error:
            one.failures += 1
            self._log.warning(
                "not answered", object=seen.path, call=call.value, cause=error.message
            )
            wait_s = one.retry_s
            return decisions.failed(seen, call, error, now_s=now_s, wait_s=wait_s)
        one.failures = 0
        return step

    async def _asked(self, seen: Seen, call: Call) -> Step:
        """Raises: as the client does."""
        if seen.kind is Kind.SCHEDULE:
            if call is Call.DELETE:
                await delete_schedule(self._client, seen)
                return decisions.held(seen, hold=False)
            schedule = await look_at_schedule(self._client, seen)
            return decisions.scheduled(seen, schedule, self._clock.wall_s())
        operation = await ask(self._client, seen, call)
        now_s = self._clock.wall_s()
        if operation is None:
            return decisions.deleted(seen, now_s)
        return decisions.answered(seen, operation, now_s)

    async def _write(self, one: _Followed, seen: Seen, step: Step) -> None:
        """The object as it is afterwards replaces the one that was seen. Raises: as `Objects`."""
        if step.finalizers is not None:
            one.seen = await self._objects.set_finalizers(seen, step.finalizers)
        if step.status:
            one.seen = await self._objects.set_status(seen, step.status)
            self._log.info(
                "mirrored",
                object=seen.path,
                state=step.status.get("state"),
                id=one.seen.status.get("id"),
            )
        if step.told is not None:
            self._tell(seen, step.told)
