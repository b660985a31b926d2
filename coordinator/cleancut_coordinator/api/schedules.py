"""Schedules as the API sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import asdict, fields

from cleancut.api.backups import Backup
from cleancut.api.schedules import RetentionRules, Schedule, ScheduleList
from cleancut.core.maintenance.schedule import (
    DefinedSchedule,
    ScheduleRule,
    ScheduleState,
    max_age_s,
)
from cleancut.core.primitives.errors import NotFound
from cleancut.core.primitives.ids import parse_name
from cleancut.core.primitives.timestamps import format_second, to_second
from cleancut.daemon_settings import read_schedule
from cleancut_coordinator.api.backups import BackupService
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader import requests
from cleancut_coordinator.leadership import Leadership
from cleancut_coordinator.maintenance.scheduler import next_start_s, read_state
from cleancut_coordinator.schedules import KnownSchedule, read_known


class ScheduleService:
    """Implements `ScheduleApi`. `leading` raises Unavailable on a standby."""

    def __init__(
        self,
        context: CoordinatorContext,
        leading: Callable[[], Leadership],
        backups: BackupService,
    ) -> None:
        self._context, self._leading, self._backups = context, leading, backups

    async def list_schedules(self) -> ScheduleList:
        known = await read_known(self._context)
        shown = [await self._shown(name, one) for name, one in known.items()]
        return ScheduleList(schedules=tuple(shown))

    async def trigger_schedule(self, name: str, request_id: str) -> Backup:
        operation = await self._leading().scheduler.trigger(name, request_id)
        return await self._backups.get_backup(operation.id)

    async def pause_schedule(self, name: str, *, paused: bool) -> Schedule:
        await self._leading().scheduler.pause(name, paused=paused)
        return await self._shown_schedule(name)

    async def put_schedule(self, schedule: Schedule) -> Schedule:
        rule = read_schedule(parse_name(schedule.name, "schedule"), table_of(schedule))
        wanted = DefinedSchedule(rule=rule, owner=schedule.owner)
        await self._leading().scheduler.define(schedule.name, wanted, schedule.revision)
        return await self._shown_schedule(schedule.name)

    async def delete_schedule(self, name: str, *, revision: int, owner: str) -> None:
        name = parse_name(name, "schedule")
        await self._leading().scheduler.forget(name, owner, revision)

    async def _shown_schedule(self, name: str) -> Schedule:
        """Raises: NotFound, if another call has deleted it meanwhile."""
        known = (await read_known(self._context)).get(name)
        if known is None:
            raise NotFound(f"there is no schedule {name!r}", "see `cleancut schedule list`")
        return await self._shown(name, known)

    async def _shown(self, name: str, known: KnownSchedule) -> Schedule:
        context, configured = self._context, known.rule
        state = await read_state(context, name) or ScheduleState(timing="", seen="")
        started = state.operation
        operation = await requests.find(context, started) if started else None
        rules = configured.retention
        fields = asdict(configured) | {"retention": rules and RetentionRules(**asdict(rules))}
        limit_s = max_age_s(configured)
        next_s = next_start_s(context, name, configured, state)
        del fields["max_age_s"]
        return Schedule(
            **fields,
            name=name,
            max_age_s=limit_s if limit_s < float("inf") else 0.0,
            paused=state.paused,
            next_at=format_second(next_s) if next_s is not None else None,
            last_id=state.operation,
            last_due_at=to_second(state.due),
            last_state=operation.state if operation else None,
            skipped_at=to_second(state.skipped),
            skipped_why=state.why,
            last_outcome=state.outcome,
            origin="api" if known.revision else "file",
            owner=known.owner,
            revision=known.revision,
        )


def table_of(schedule: Schedule) -> dict[str, Any]:
    """Its definition as a table of the settings file; what is zero or empty has its default."""
    table = {each.encode_name: getattr(schedule, each.name) for each in fields(ScheduleRule)}
    table = {key: value for key, value in table.items() if value}
    if schedule.retention is not None:
        rules = asdict(schedule.retention)
        table["retention"] = {key: value for key, value in rules.items() if value}
    return table
