"""What `backup show` says besides the manifest: checks, the rule that keeps it, what it takes."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from msgspec.structs import replace

from cleancut.api.backups import Backup
from cleancut.api.from_manifest import shown_checks
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.ids import Epoch
from cleancut.repository.garbage import ReferencedNames
from cleancut.repository.verification_log import list_checks
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.maintenance.expiry import plan_expiry

WAIT_S = 2.0
"""So long is read of other backups at most; the next call goes on where that ended."""
MAX_RECIPES = 50_000
"""More are not read to say what a deletion frees."""


class _Space(NamedTuple):
    kept_by: str = ""
    freed_bytes: int | None = None


class BackupDetails:
    """Keeps what it has read of the catalog: groups never change."""

    def __init__(self, context: CoordinatorContext) -> None:
        self._context = context
        self._names = ReferencedNames(context.store, context.paths)
        self._turn = asyncio.Lock()

    async def add(self, shown: Backup) -> Backup:
        """`shown`, with what could be found out in time; the rest stays unknown."""
        epoch, context = Epoch(shown.epoch), self._context
        try:
            checks = shown_checks(await list_checks(context.store, context.paths), epoch)
            space = await self._space_in_time(epoch)
        except CleancutError:
            return shown
        return replace(shown, checks=checks, kept_by=space.kept_by, freed_bytes=space.freed_bytes)

    async def _space_in_time(self, epoch: Epoch) -> _Space:
        """What is read until the time is over is not read again by the next call."""
        try:
            async with asyncio.timeout(WAIT_S), self._turn:
                return await self._space(epoch)
        except TimeoutError:
            return _Space()

    async def _space(self, epoch: Epoch) -> _Space:
        plan = await plan_expiry(self._context, self._names)
        freed = await self._names.freed_by(epoch, MAX_RECIPES)
        why = {one.epoch: f"expires: {one.why}" for one in plan.expired}
        why |= {one.epoch: one.why for one in plan.kept}
        return _Space(why.get(epoch, ""), freed)
