"""The leader's schedules: backups that start by themselves.

What is due is decided in `cleancut.core.maintenance.schedule`. A start and how far the schedule is
are written in one transaction, so that the next leader starts nothing twice and forgets nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec.structs import replace

from cleancut.core.format.story import StoryKind
from cleancut.core.maintenance.due_times import with_missed
from cleancut.core.maintenance.schedule import (
    CronTimes,
    Do,
    Postpone,
    Reset,
    ScheduleRule,
    ScheduleState,
    Skip,
    Start,
    Wait,
    covers,
    decide,
    moved,
    request_of,
)
from cleancut.core.maintenance.stories import GOOD
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import CleancutError, Fenced, LeaseLost, NotFound, Refused
from cleancut.core.primitives.ids import FencingToken
from cleancut.core.primitives.timestamps import format_time, parse_time
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.states import FINAL_STATES, OperationKind
from cleancut.ports.coordination import Put
from cleancut.repository.catalog import LATEST
from cleancut.runtime.log import Logger
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_record
from cleancut_coordinator.leader import requests
from cleancut_coordinator.leader.state import LeaderState, format_now
from cleancut_coordinator.maintenance.protection import read_live
from cleancut_coordinator.maintenance.scheduled_checks import run_check
from cleancut_coordinator.maintenance.story_keeper import record_work

_UNDER_WAY = "under way"
_LOOK_S = 10.0
"""Clocks may be set, and who is waited for may end."""


class Scheduler:
    """One term's schedules. `poke`: there is a new operation."""

    def __init__(
        self,
        context: CoordinatorContext,
        token: FencingToken,
        *,
        poke: Callable[[], None],
        log: Logger,
    ) -> None:
        self._context, self._token, self._poke, self._log = context, token, poke, log
        self._turn = asyncio.Lock()
        self._proving: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Starts what is due, for ever; a failure is logged and tried again."""
        async with asyncio.TaskGroup() as group:
            try:
                while self._context.schedules:
                    await self._context.clock.sleep(await self._look_at_all(group))
            except (Fenced, LeaseLost):
                pass  # the term ends by itself
            for task in self._proving.values():
                task.cancel()

    async def _look_at_all(self, group: asyncio.TaskGroup) -> float:
        """One that fails keeps no other from its turn."""
        wait_s = _LOOK_S
        for name in self._context.schedules:
            try:
                wait_s = min(wait_s, await self._look(name, group))
            except (Fenced, LeaseLost):
                raise
            except CleancutError as error:
                self._log.warning("not looked at", schedule=name, cause=error.message)
        return wait_s

    async def _look(self, name: str, group: asyncio.TaskGroup) -> float:
        """Deals with all that is due by now; gives the seconds until there may be more."""
        context, schedule = self._context, self._context.schedules[name]
        clockwork = CronTimes(context.keys.cluster, name, schedule)
        async with self._turn:
            while True:
                state = await read_state(context, name)
                busy = name in self._proving or await self._is_open(state)
                now_s = context.clock.wall_s()
                verdict = decide(schedule, clockwork, state, now_s=now_s, busy=busy)
                if isinstance(verdict, Wait):
                    return max(0.0, verdict.until_s - now_s)
                if isinstance(verdict, Postpone):
                    return _LOOK_S
                after = moved(state, schedule, verdict)
                after = with_missed(state, after, clockwork, verdict)
                if isinstance(verdict, Start) and schedule.do is Do.BACKUP:
                    seen = state.seen if state else ""  # a clock set back brings times again
                    request_id = f"schedule/{name}/{after.due}/{seen}"
                    operation = await self._start(name, after, request_id)
                    self._log.info("due", schedule=name, time=after.due, operation=operation.id)
                elif isinstance(verdict, Start):
                    await self._write(name, replace(after, outcome=_UNDER_WAY))
                    self._proving[name] = group.create_task(self._prove(name, schedule))
                else:
                    await self._write(name, after)
                if isinstance(verdict, Skip):
                    due = format_time(verdict.due_s)
                    self._log.warning("skipped", schedule=name, time=due, cause=verdict.why)

    async def _prove(self, name: str, schedule: ScheduleRule) -> None:
        """One verification or drill, once: who leads next does not begin it again."""
        began_s = self._context.clock.wall_s()
        try:
            outcome, recorded = await run_check(self._context, name, schedule)
            told = self._log.info if outcome == GOOD else self._log.error
            told("proved", schedule=name, do=schedule.do, outcome=outcome)
            async with self._turn:
                state = await self._state(name, schedule)
                await self._write(name, replace(state, outcome=outcome))
            if not recorded:
                kind, facts = StoryKind(schedule.do.value), {"schedule": name, "outcome": outcome}
                await record_work(self._context, kind, began_s, ok=outcome == GOOD, facts=facts)
        except (Fenced, LeaseLost):
            pass  # as in `run`
        except CleancutError as error:
            self._log.warning("outcome not kept", schedule=name, cause=error.message)
        finally:
            del self._proving[name]

    async def trigger(self, name: str, request_id: str) -> Operation:
        """Starts one now, whatever the time, paused or not. Raises: NotFound; Refused, while the
        one before is under way; as `requests.record`."""
        schedule = self._known(name)
        if schedule.do is not Do.BACKUP:
            what = f"--new --to {schedule.to}'s URL" if schedule.do is Do.COPY else LATEST
            raise Refused(
                f"schedule {name} starts a {schedule.do}, not a backup",
                f"`cleancut backup {schedule.do} {what}` does it now",
            )
        async with self._turn:
            state = await self._state(name, schedule)
            known = await requests.is_recorded(self._context, request_id)
            if not known and await self._is_open(state):
                raise Refused(
                    f"backup {state.operation} of schedule {name} is still under way",
                    f"wait for its end: `cleancut backup watch {state.operation}`",
                )
            return await self._start(name, replace(state, due=""), request_id)

    async def back_up(self, collection: str) -> str:
        """Starts the backup of a schedule that covers the collection, for the archive; what was
        started, or that no schedule covers it. Raises: as `trigger`."""
        live = await read_live(self._context)
        aliases = live.aliases if live else {}
        for name, schedule in sorted(self._context.schedules.items()):
            if schedule.do is Do.BACKUP and covers(schedule, collection, aliases):
                request_id = f"archive/{name}/{self._context.token_hex(8)}"
                operation = await self.trigger(name, request_id)
                return f"schedule {name}: {operation.id}"
        return "no schedule covers it: take a backup"

    async def pause(self, name: str, *, paused: bool) -> None:
        """Holds its times back, or lets them count from now on. Repeatable. Raises: NotFound."""
        schedule = self._known(name)
        async with self._turn:
            state = await self._state(name, schedule)
            if state.paused and not paused:
                state = replace(state, seen=format_now(self._context.clock))
            await self._write(name, replace(state, paused=paused))

    def _known(self, name: str) -> ScheduleRule:
        schedule = self._context.schedules.get(name)
        if schedule is None:
            raise NotFound(f"there is no schedule {name!r}", "see `cleancut schedule list`")
        return schedule

    async def _state(self, name: str, schedule: ScheduleRule) -> ScheduleState:
        now_s = self._context.clock.wall_s()
        state = await read_state(self._context, name)
        return state or moved(None, schedule, Reset(now_s))

    async def _start(self, name: str, after: ScheduleState, request_id: str) -> Operation:
        key, request = self._context.keys.schedule(name), request_of(name, self._known(name))
        operation = await requests.record(
            self._context,
            self._token,
            OperationKind.BACKUP,
            request=request,
            request_id=request_id,
            also=lambda made: [Put(key, encode(replace(after, operation=made.id)))],
        )
        self._poke()
        return operation

    async def _write(self, name: str, state: ScheduleState) -> None:
        await LeaderState(self._context, self._token).put(self._context.keys.schedule(name), state)

    async def _is_open(self, state: ScheduleState | None) -> bool:
        started = state.operation if state else ""
        operation = await requests.find(self._context, started) if started else None
        return operation is not None and operation.state not in FINAL_STATES


async def read_state(context: CoordinatorContext, name: str) -> ScheduleState | None:
    """How far a schedule is; None while no leader has looked at it."""
    return await read_record(context, context.keys.schedule(name), ScheduleState)


def next_start_s(context: CoordinatorContext, name: str, state: ScheduleState) -> float | None:
    """When the next one starts, if nothing keeps it; None if it is paused, or there is no next."""
    if state.paused:
        return None
    configured, now_s = context.schedules[name], context.clock.wall_s()
    clockwork = CronTimes(context.keys.cluster, name, configured)
    seen_s = parse_time(state.seen) if state.timing == configured.timing else now_s
    next_s = clockwork.next_start(now_s, seen_s)
    return next_s if next_s < float("inf") else None
