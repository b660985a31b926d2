"""What `backup show` says besides the manifest: checks, the rule that keeps it, what it takes."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from cleancut.api.backups import Backup
from cleancut.api.from_manifest import shown_checks
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.ids import Epoch
from cleancut.repository.garbage import ReferencedNames
from cleancut.repository.verification_log import list_checks
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.maintenance.expiry import plan_expiry

MAX_GROUPS = 500
"""Unless they were read before, more groups are not read to show one."""


class BackupDetails:
    """Keeps what it has read of the catalog: groups never change."""

    def __init__(self, context: CoordinatorContext) -> None:
        self._context = context
        self._names = ReferencedNames(context.store, context.paths)
        self._turn = asyncio.Lock()

    async def add(self, shown: Backup) -> Backup:
        """`shown`, with what could be found out; what could not be stays unknown."""
        epoch, context = Epoch(shown.epoch), self._context
        try:
            checks = await list_checks(context.store, context.paths)
            shown = replace(shown, checks=shown_checks(checks, epoch))
            async with self._turn:
                if await self._names.count_unread() > MAX_GROUPS:
                    return shown
                plan = await plan_expiry(context, self._names)
                freed = await self._names.freed_by(epoch)
        except CleancutError:
            return shown
        kept = {one.epoch: one.why for one in plan.kept}
        expired = {one.epoch: f"expires: {one.why}" for one in plan.expired}
        return replace(shown, kept_by={**kept, **expired}.get(epoch, ""), freed_bytes=freed)
