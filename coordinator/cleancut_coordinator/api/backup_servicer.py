"""The servicer of backups: see `servicers`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from cleancut.api.values import ApiValue
from cleancut.api.wire import to_message
from cleancut.core.primitives.errors import Refused
from cleancut.core.protocol.requests import BackupRequest, SeedRequest
from cleancut.v1 import backup_pb2 as backups
from cleancut_coordinator.api.interface import Operations
from cleancut_coordinator.api.validation import (
    attempts_of,
    collections_of,
    fence_of,
    operation_name,
    page_of,
    request_id_of,
    require_leader,
    streams_of,
)


class Backups:
    """BackupService."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def CreateBackup(self, request: Any, _context: Any) -> Any:
        require_leader(self._operations)
        wanted = BackupRequest(
            collections=collections_of(request.collections),
            allow_empty=request.allow_empty,
            require_point_in_time=request.require_point_in_time,
            attempts=attempts_of(request.attempts),
            fence=fence_of(request.fence),
            fence_budget_s=request.fence_budget_s,
        )
        made = await self._operations.create_backup(wanted, request_id_of(request.request_id))
        return answer_of(made, backups.CreateBackupResponse)

    async def SeedBackup(self, request: Any, _context: Any) -> Any:
        require_leader(self._operations)
        wanted = SeedRequest(
            collections=collections_of(request.collections),
            streams=streams_of(request.streams),
            attempts=attempts_of(request.attempts),
        )
        made = await self._operations.seed_backup(wanted, request_id_of(request.request_id))
        return answer_of(made, backups.SeedBackupResponse)

    async def GetBackup(self, request: Any, _context: Any) -> Any:
        found = await self._operations.get_backup(operation_name(request.id))
        return answer_of(found, backups.GetBackupResponse)

    async def ListBackups(self, request: Any, _context: Any) -> Any:
        page = await self._operations.list_backups(page_of(request))
        return to_message(page, backups.ListBackupsResponse)

    async def WatchBackup(self, request: Any, _context: Any) -> AsyncIterator[Any]:
        async for seen in self._operations.watch_backup(operation_name(request.id)):
            yield answer_of(seen, backups.WatchBackupResponse)

    async def CancelBackup(self, request: Any, _context: Any) -> Any:
        require_leader(self._operations)
        asked = await self._operations.cancel_backup(operation_name(request.id))
        return answer_of(asked, backups.CancelBackupResponse)

    async def DeleteBackup(self, request: Any, _context: Any) -> Any:
        require_leader(self._operations)
        if not request.confirmed:
            raise Refused("deleting was not confirmed", "look at the backup, then set `confirmed`")
        deleted = await self._operations.delete_backup(operation_name(request.id))
        return answer_of(deleted, backups.DeleteBackupResponse)

    async def HoldBackup(self, request: Any, _context: Any) -> Any:
        require_leader(self._operations)
        name = operation_name(request.id)
        held = await self._operations.hold_backup(name, request.label, request.for_s)
        return answer_of(held, backups.HoldBackupResponse)

    async def ReleaseBackup(self, request: Any, _context: Any) -> Any:
        require_leader(self._operations)
        name = operation_name(request.id)
        released = await self._operations.release_backup(name, request.label)
        return answer_of(released, backups.ReleaseBackupResponse)

    async def CollectGarbage(self, request: Any, _context: Any) -> Any:
        require_leader(self._operations)
        done = await self._operations.collect_garbage(dry_run=request.dry_run)
        return backups.CollectGarbageResponse(gc=to_message(done, backups.GarbageCollection))


def answer_of(value: ApiValue, response: Any) -> Any:
    """The message that carries one backup."""
    return response(backup=to_message(value, backups.Backup))
