"""The calls of the Python client that are about backups and their schedules; see `client`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from cleancut.api.backups import Backup, BackupPage
from cleancut.api.garbage import GarbageCollection
from cleancut.api.operations import is_over
from cleancut.api.schedules import Schedule, ScheduleList
from cleancut.api.wire import from_message
from cleancut.client.connection import Link
from cleancut.core.protocol.requests import BackupRequest, SeedRequest
from cleancut.v1 import backup_pb2 as backups
from cleancut.v1 import schedule_pb2 as schedules
from cleancut.v1.backup_pb2_grpc import BackupServiceStub
from cleancut.v1.schedule_pb2_grpc import ScheduleServiceStub

CARE_S = 50.0
"""Bound of calls that look at every peer, some of which hang, or wait for an operation's end."""
GC_S = 3600.0
"""Bound of a gc run, which goes over all of a store."""


class BackupCalls:
    """Part of `Client`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def create_backup(self, request: BackupRequest, request_id: str) -> Backup:
        """The backup that was started. Order: repeatable with the same `request_id`."""
        message = backups.CreateBackupRequest(
            request_id=request_id,
            collections=request.collections,
            allow_empty=request.allow_empty,
            require_point_in_time=request.require_point_in_time,
            attempts=request.attempts,
            fence=request.fence,
            fence_budget_s=request.fence_budget_s,
        )
        answer = await self._link.call(lambda c: BackupServiceStub(c).CreateBackup, message)
        return from_message(answer.backup, Backup)

    async def seed_backup(self, request: SeedRequest, request_id: str) -> Backup:
        """The seed that was started. Order: as `create_backup`."""
        message = backups.SeedBackupRequest(
            request_id=request_id,
            collections=request.collections,
            streams=request.streams,
            attempts=request.attempts,
        )
        answer = await self._link.call(lambda c: BackupServiceStub(c).SeedBackup, message)
        return from_message(answer.backup, Backup)

    async def get_backup(self, name: str) -> Backup:
        message = backups.GetBackupRequest(id=name)
        answer = await self._link.call(lambda c: BackupServiceStub(c).GetBackup, message)
        return from_message(answer.backup, Backup)

    async def list_backups(self, page_size: int = 0, page_token: str = "") -> BackupPage:
        message = backups.ListBackupsRequest(page_size=page_size, page_token=page_token)
        answer = await self._link.call(lambda c: BackupServiceStub(c).ListBackups, message)
        return from_message(answer, BackupPage)

    async def watch_backup(self, name: str) -> AsyncGenerator[Backup, None]:
        """The backup now, then after each change; ends after a final state."""
        message = backups.WatchBackupRequest(id=name)
        stream = self._link.watch(lambda c: BackupServiceStub(c).WatchBackup, message)
        async with aclosing(stream):
            async for answer in stream:
                backup = from_message(answer.backup, Backup)
                yield backup
                if is_over(backup):
                    return

    async def cancel_backup(self, name: str) -> Backup:
        message = backups.CancelBackupRequest(id=name)
        answer = await self._link.call(
            lambda c: BackupServiceStub(c).CancelBackup, message, timeout_s=CARE_S
        )
        return from_message(answer.backup, Backup)

    async def delete_backup(self, name: str) -> Backup:
        """The group is gone from the catalog: the caller means it. As it was."""
        message = backups.DeleteBackupRequest(id=name, confirmed=True)
        answer = await self._link.call(lambda c: BackupServiceStub(c).DeleteBackup, message)
        return from_message(answer.backup, Backup)

    async def hold_backup(self, name: str, label: str, for_s: float = 0.0) -> Backup:
        """Kept from retention and deletion; for ever, if `for_s` is 0. Order: repeatable."""
        message = backups.HoldBackupRequest(id=name, label=label, for_s=for_s)
        answer = await self._link.call(lambda c: BackupServiceStub(c).HoldBackup, message)
        return from_message(answer.backup, Backup)

    async def release_backup(self, name: str, label: str) -> Backup:
        message = backups.ReleaseBackupRequest(id=name, label=label)
        answer = await self._link.call(lambda c: BackupServiceStub(c).ReleaseBackup, message)
        return from_message(answer.backup, Backup)

    async def collect_garbage(self, *, dry_run: bool = False) -> GarbageCollection:
        """What retention and garbage came to, or would with `dry_run`. Limits: an hour."""
        message = backups.CollectGarbageRequest(dry_run=dry_run)
        answer = await self._link.call(
            lambda c: BackupServiceStub(c).CollectGarbage, message, timeout_s=GC_S
        )
        return from_message(answer.gc, GarbageCollection)

    async def list_schedules(self) -> ScheduleList:
        """As the coordinator that answers is configured."""
        message = schedules.ListSchedulesRequest()
        answer = await self._link.call(lambda c: ScheduleServiceStub(c).ListSchedules, message)
        return from_message(answer, ScheduleList)

    async def trigger_schedule(self, name: str, request_id: str) -> Backup:
        """The backup that was started. Order: repeatable with the same `request_id`."""
        message = schedules.TriggerScheduleRequest(name=name, request_id=request_id)
        answer = await self._link.call(lambda c: ScheduleServiceStub(c).TriggerSchedule, message)
        return from_message(answer.backup, Backup)

    async def pause_schedule(self, name: str) -> Schedule:
        message = schedules.PauseScheduleRequest(name=name)
        answer = await self._link.call(lambda c: ScheduleServiceStub(c).PauseSchedule, message)
        return from_message(answer.schedule, Schedule)

    async def resume_schedule(self, name: str) -> Schedule:
        """Its times count from now on; what has passed meanwhile is not caught up with."""
        message = schedules.ResumeScheduleRequest(name=name)
        answer = await self._link.call(lambda c: ScheduleServiceStub(c).ResumeSchedule, message)
        return from_message(answer.schedule, Schedule)
