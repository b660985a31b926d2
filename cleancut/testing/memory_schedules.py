"""Schedules of a coordinator in memory: one of its file, and those that calls define."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from cleancut.api.backups import Backup
from cleancut.api.schedules import RetentionRules, Schedule, ScheduleList
from cleancut.core.primitives.errors import NotFound, Refused
from cleancut.core.protocol.requests import BackupRequest

NIGHTLY = Schedule(
    name="nightly",
    do="backup",
    cron="30 2 * * *",
    time_zone="Europe/Berlin",
    jitter_s=600.0,
    overlap="skip",
    attempts=5,
    retention=RetentionRules(keep_daily=7, max_age_days=30.5, min_count=1),
    origin="file",
)
NEXT = "2026-01-03T01:31:04Z"


class MemorySchedules:
    """`start` makes the backup of one that is triggered; the newest of `backups` counts as the last
    of each. `all`: by name, without what follows from their state."""

    def __init__(
        self,
        backups: dict[str, Backup],
        start: Callable[[BackupRequest, str], Awaitable[Backup]],
    ) -> None:
        self._backups, self._start = backups, start
        self.all = {NIGHTLY.name: NIGHTLY}
        self.puts = 0

    async def list_schedules(self) -> ScheduleList:
        return ScheduleList(schedules=tuple(map(self._shown, sorted(self.all))))

    async def trigger_schedule(self, name: str, request_id: str) -> Backup:
        self._known(name)
        return await self._start(BackupRequest(schedule=name), request_id)

    async def pause_schedule(self, name: str, *, paused: bool) -> Schedule:
        self.all[name] = replace(self._known(name), paused=paused)
        return self._shown(name)

    async def put_schedule(self, schedule: Schedule) -> Schedule:
        before = self.all.get(schedule.name)
        self._check(before, schedule.name, schedule.owner, schedule.revision)
        self.puts += 1
        paused = before.paused if before else False
        self.all[schedule.name] = replace(
            schedule, do=schedule.do or "backup", origin="api", revision=self.puts, paused=paused
        )
        return self._shown(schedule.name)

    async def delete_schedule(self, name: str, *, revision: int, owner: str) -> None:
        before = self.all.get(name)
        if before is not None:
            self._check(before, name, owner or before.owner, revision)
            del self.all[name]
        elif not revision:
            self._known(name)

    def _check(self, before: Schedule | None, name: str, owner: str, revision: int) -> None:
        found = (before.owner, before.revision) if before else (owner, 0)
        if before is not None and before.origin == "file":
            raise Refused(f"schedule {name} is in the settings file", "change it there")
        if found != (owner, revision):
            raise Refused(f"schedule {name} is not as it was seen", "look at it again")

    def _known(self, name: str) -> Schedule:
        if name not in self.all:
            raise NotFound(f"there is no schedule {name!r}", "see `cleancut schedule list`")
        return self.all[name]

    def _shown(self, name: str) -> Schedule:
        one, newest = self._known(name), next(reversed(self._backups.values()), None)
        return replace(
            one,
            next_at=None if one.paused else NEXT,
            last_id=newest.id if newest else "",
            last_state=newest.state if newest else None,
        )
