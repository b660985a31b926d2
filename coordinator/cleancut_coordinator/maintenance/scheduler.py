"""The leader's schedules: backups that start by themselves.

What is due is decided in `cleancut.core.maintenance.schedule`. A start and how far the schedule is
are written in one transaction, so that the next leader starts nothing twice and forgets nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context

from msgspec.structs import replace

from cleancut.core.format.story import StoryKind
from cleancut.core.maintenance.due_times import with_missed
from cleancut.core.maintenance.schedule import (
    CronTimes,
    DefinedSchedule,
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
    defined,
    moved,
    request_of,
)
from cleancut.core.maintenance.stores import check_targets
from cleancut.core.maintenance.stories import GOOD
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import CleancutError, Fenced, LeaseLost, NotFound, Refused
from cleancut.core.primitives.ids import FencingToken
from cleancut.core.primitives.timestamps import format_time, parse_time
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.states import FINAL_STATES, OperationKind
from cleancut.ports.coordination import Delete, Modified, Op, Put
from cleancut.repository.catalog import LATEST
from cleancut.runtime.log import Logger
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_record
from cleancut_coordinator.leader import requests
from cleancut_coordinator.leader.state import LeaderState, format_now
from cleancut_coordinator.maintenance.protection import read_live
from cleancut_coordinator.maintenance.scheduled_checks import run_check
from cleancut_coordinator.maintenance.story_keeper import record_work
from cleancut_coordinator.schedules import (
    check_change,
    check_not_in_file,
    check_room,
    read_defined,
    read_known,
    read_schedules,
)

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
        self._looking = False
        self._run_again: Callable[[], object] = lambda: None

    def begin(self, group: asyncio.TaskGroup) -> None:
        """Runs in `group`, again once a call defines the first schedule."""
        term = copy_context()  # the caller of a later call is not who asks for what is due
        self._run_again = lambda: group.create_task(self.run(), context=term)
        self._run_again()

    async def run(self) -> None:
        """Starts what is due, as long as there are schedules; a failure is logged and tried
        again."""
        async with asyncio.TaskGroup() as group:
            self._looking = True
            try:
                while (wait_s := await self._look_at_all(group)) is not None:
                    await self._context.clock.sleep(wait_s)
            except (Fenced, LeaseLost):  # the term ends by itself
                for task in self._proving.values():
                    task.cancel()
            finally:
                self._looking = False

    async def _look_at_all(self, group: asyncio.TaskGroup) -> float | None:
        """Deals with all that is due by now; gives the seconds until there may be more, None if
        there are no schedules. One that fails keeps no other from its turn."""
        wait_s = _LOOK_S
        async with self._turn:
            try:
                schedules = await read_schedules(self._context)
            except CleancutError as error:
                self._log.warning("schedules not read", cause=error.message)
                return _LOOK_S
            if not schedules:
                return None
            for name, schedule in schedules.items():
                try:
                    wait_s = min(wait_s, await self._look(name, schedule, group))
                except (Fenced, LeaseLost):
                    raise
                except CleancutError as error:
                    self._log.warning("not looked at", schedule=name, cause=error.message)
        return wait_s

    async def _look(self, name: str, schedule: ScheduleRule, group: asyncio.TaskGroup) -> float:
        context = self._context
        clockwork = CronTimes(context.keys.cluster, name, schedule)
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
                operation = await self._start(name, schedule, after, request_id=request_id)
                self._log.info("due", schedule=name, time=after.due, operation=operation.id)
            elif isinstance(verdict, Start):
                await self._write(name, replace(after, outcome=_UNDER_WAY))
                task = group.create_task(self._prove(name, schedule, after.due))
                self._proving[name] = task
            else:
                await self._write(name, after)
            if isinstance(verdict, Skip):
                due = format_time(verdict.due_s)
                self._log.warning("skipped", schedule=name, time=due, cause=verdict.why)

    async def _prove(self, name: str, schedule: ScheduleRule, due: str) -> None:
        """One verification or drill, once: who leads next does not begin it again. Its outcome is
        not that of a schedule which was defined again meanwhile."""
        began_s = self._context.clock.wall_s()
        try:
            outcome, recorded = await run_check(self._context, name, schedule)
            told = self._log.info if outcome == GOOD else self._log.error
            told("proved", schedule=name, do=schedule.do, outcome=outcome)
            async with self._turn:
                state = await read_state(self._context, name)
                if state is not None and (state.due, state.outcome) == (due, _UNDER_WAY):
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
        schedule = await self._known(name)
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
            return await self._start(name, schedule, replace(state, due=""), request_id=request_id)

    async def back_up(self, collection: str) -> str:
        """Starts the backup of a schedule that covers the collection, for the archive; what was
        started, or that no schedule covers it. Raises: as `trigger`."""
        live = await read_live(self._context)
        aliases = live.aliases if live else {}
        for name, schedule in (await read_schedules(self._context)).items():
            if schedule.do is Do.BACKUP and covers(schedule, collection, aliases):
                request_id = f"archive/{name}/{self._context.token_hex(8)}"
                operation = await self.trigger(name, request_id)
                return f"schedule {name}: {operation.id}"
        return "no schedule covers it: take a backup"

    async def pause(self, name: str, *, paused: bool) -> None:
        """Holds its times back, or lets them count from now on. Repeatable. Raises: NotFound."""
        schedule = await self._known(name)
        async with self._turn:
            state = await self._state(name, schedule)
            if state.paused and not paused:
                state = replace(state, seen=format_now(self._context.clock))
            await self._write(name, replace(state, paused=paused))

    async def define(self, name: str, wanted: DefinedSchedule, revision: int) -> None:
        """Creates the schedule (`revision` 0), or replaces the one that was defined at `revision`.

        Order: repeatable; one that is as `wanted` stays as it is. Raises: Refused (it is in the
            file, another owner's, or was changed meanwhile; there are too many); Fenced.
        """
        context, key = self._context, self._context.keys.schedule_rule(name)
        check_not_in_file(context, name)
        check_targets({name: wanted.rule}, context.stores)
        async with self._turn:
            known, found = await read_known(context), await context.etcd.get(key)
            before = known.get(name)
            if before is not None and wanted == DefinedSchedule(
                rule=before.rule, owner=before.owner
            ):
                return
            check_change(name, before, wanted.owner, revision)
            check_room(known, name, wanted)
            now_s = context.clock.wall_s()
            old = before.rule if before else None
            state = defined(await read_state(context, name), old, wanted.rule, now_s)
            puts = [Put(key, encode(wanted))]
            if state is not None:
                puts.append(Put(context.keys.schedule(name), encode(state)))
            await self._change(puts, Modified(key, found.mod_revision if found else 0))
        if not self._looking:
            with suppress(RuntimeError):  # the term is ending: the next leader looks at it
                self._run_again()

    async def forget(self, name: str, owner: str, revision: int) -> None:
        """Deletes the schedule that was defined at `revision`; backups that it has started stay.

        Order: repeatable, with a `revision`. Raises: NotFound; Refused (it is in the file, another
            owner's, or was changed meanwhile); Fenced.
        """
        context, key = self._context, self._context.keys.schedule_rule(name)
        async with self._turn:
            found = await context.etcd.get(key)
            if found is None:
                check_not_in_file(context, name)
                if not revision:
                    raise _not_found(name)
                return
            before = read_defined(context, name, found)
            if before is not None:
                check_change(name, before, owner or before.owner, revision)
            in_file = name in context.file_schedules
            state = [] if in_file else [Delete(context.keys.schedule(name))]
            await self._change([Delete(key), *state], Modified(key, found.mod_revision))

    async def _change(self, ops: Sequence[Op], unchanged: Modified) -> None:
        if not (await LeaderState(self._context, self._token).txn(ops, unchanged)).applied:
            raise Fenced("another coordinator leads now", "repeat the request")

    async def _known(self, name: str) -> ScheduleRule:
        schedule = (await read_schedules(self._context)).get(name)
        if schedule is None:
            raise _not_found(name)
        return schedule

    async def _state(self, name: str, schedule: ScheduleRule) -> ScheduleState:
        now_s = self._context.clock.wall_s()
        state = await read_state(self._context, name)
        return state or moved(None, schedule, Reset(now_s))

    async def _start(
        self, name: str, schedule: ScheduleRule, after: ScheduleState, *, request_id: str
    ) -> Operation:
        key, request = self._context.keys.schedule(name), request_of(name, schedule)
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


def _not_found(name: str) -> NotFound:
    return NotFound(f"there is no schedule {name!r}", "see `cleancut schedule list`")


def next_start_s(
    context: CoordinatorContext, name: str, schedule: ScheduleRule, state: ScheduleState
) -> float | None:
    """When the next one starts, if nothing keeps it; None if it is paused, or there is no next."""
    if state.paused:
        return None
    now_s = context.clock.wall_s()
    clockwork = CronTimes(context.keys.cluster, name, schedule)
    seen_s = parse_time(state.seen) if state.timing == schedule.timing else now_s
    next_s = clockwork.next_start(now_s, seen_s)
    return next_s if next_s < float("inf") else None
