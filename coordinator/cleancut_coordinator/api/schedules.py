"""Schedules as the API sees them."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import asdict

from cleancut.api.backups import Backup
from cleancut.api.schedules import RetentionRules, Schedule, ScheduleList
from cleancut.core.maintenance.schedule import ScheduleState, max_age_s
from cleancut.core.primitives.timestamps import format_second, to_second
from cleancut_coordinator.api.backups import BackupService
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader import requests
from cleancut_coordinator.leadership import Leadership
from cleancut_coordinator.maintenance.scheduler import next_start_s, read_state


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
        shown = [await self._shown_schedule(name) for name in sorted(self._context.schedules)]
        return ScheduleList(schedules=tuple(shown))

    async def trigger_schedule(self, name: str, request_id: str) -> Backup:
        operation = await self._leading().scheduler.trigger(name, request_id)
        return await self._backups.get_backup(operation.id)

    async def pause_schedule(self, name: str, *, paused: bool) -> Schedule:
        await self._leading().scheduler.pause(name, paused=paused)
        return await self._shown_schedule(name)

    async def _shown_schedule(self, name: str) -> Schedule:
        context, configured = self._context, self._context.schedules[name]
        state = await read_state(context, name) or ScheduleState(timing="", seen="")
        started = state.operation
        operation = await requests.find(context, started) if started else None
        rules = configured.retention
        fields = asdict(configured) | {"retention": rules and RetentionRules(**asdict(rules))}
        limit_s = max_age_s(configured)
        del fields["max_age_s"]
        return Schedule(
            **fields,
            name=name,
            max_age_s=limit_s if limit_s < float("inf") else 0.0,
            paused=state.paused,
            next_at=self._next_at(name, state),
            last_id=state.operation,
            last_due_at=to_second(state.due),
            last_state=operation.state if operation else None,
            skipped_at=to_second(state.skipped),
            skipped_why=state.why,
            last_outcome=state.outcome,
        )

    def _next_at(self, name: str, state: ScheduleState) -> str | None:
        next_s = next_start_s(self._context, name, state)
        return format_second(next_s) if next_s is not None else None
