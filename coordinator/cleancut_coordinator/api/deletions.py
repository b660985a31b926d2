"""Backups that are deleted, and gc runs, as the API sees them."""

from __future__ import annotations

from cleancut.api.backups import Backup
from cleancut.api.garbage import GarbageCollection
from cleancut.api.operations import is_over
from cleancut.core.primitives.errors import NotFound, Refused
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.states import State
from cleancut.repository.garbage import read_holds
from cleancut.repository.holds import drop_label, put_label
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader.cluster_id import check_store_owner
from cleancut_coordinator.maintenance.expiry import epochs_in_restores, put_tombstone
from cleancut_coordinator.maintenance.garbage_collector import GarbageCollector


class Deletions:
    """The part of `cleancut_coordinator.api.interface.Operations` that lets go of backups."""

    def __init__(self, context: CoordinatorContext) -> None:
        self._context = context

    def garbage_collector(self) -> GarbageCollector:
        """That of this leader. Raises: Unavailable on a standby."""
        raise AssertionError("known by the whole class")

    async def get_backup(self, name: str) -> Backup:
        raise AssertionError("known by the whole class")

    async def delete_backup(self, name: str) -> Backup:
        self.garbage_collector()
        await check_store_owner(self._context)
        backup = await self._committed(name)
        await self._check_unused(backup)
        await put_tombstone(self._context, Epoch(backup.epoch), "asked for")
        return backup

    async def hold_backup(self, name: str, label: str, for_s: float) -> Backup:
        self.garbage_collector()
        epoch, context = Epoch((await self._committed(name)).epoch), self._context
        now_s = context.clock.wall_s()
        await put_label(context.store, context.paths, epoch, label, now_s=now_s, for_s=for_s)
        return await self.get_backup(name)

    async def release_backup(self, name: str, label: str) -> Backup:
        self.garbage_collector()
        epoch = Epoch((await self._committed(name)).epoch)
        await drop_label(self._context.store, self._context.paths, epoch, label)
        return await self.get_backup(name)

    async def _committed(self, name: str) -> Backup:
        """Raises: NotFound or Refused, unless it is one."""
        backup = await self.get_backup(name)
        if backup.state is State.DELETED:
            raise NotFound(f"backup {name} was deleted", "see `cleancut backup list`")
        if backup.state is not State.COMMITTED:
            raise Refused(f"backup {name} is {backup.state}, not committed", hint_for(backup))
        return backup

    async def collect_garbage(self, *, dry_run: bool) -> GarbageCollection:
        return await self.garbage_collector().collect(dry_run=dry_run)

    async def _check_unused(self, backup: Backup) -> None:
        """Raises: Refused, while somebody is known to read the group, or holds it."""
        context, epoch = self._context, Epoch(backup.epoch)
        restore = (await epochs_in_restores(context)).get(epoch)
        if restore is not None:
            raise Refused(
                f"restore {restore} needs backup {epoch}",
                f"wait for its end: `cleancut restore watch {restore}`",
            )
        if backup.holds:
            raise Refused(
                f"backup {epoch} is held as {', '.join(backup.holds)}",
                f"`cleancut backup release {epoch} --label {backup.holds[0]}` gives it free",
            )
        now_s = context.clock.wall_s()
        _, held = await read_holds(context.store, context.paths, now_s, epoch)
        if held:
            raise Refused(
                f"another cluster holds backup {epoch}, to restore it",
                "wait for that restore's end; a hold ends by itself after 48 h",
            )


def hint_for(backup: Backup) -> str:
    """What to do about one that is not committed."""
    if backup.seed is not None:
        return "a seed makes no backup; run `cleancut backup create`"
    if is_over(backup):
        return "see `cleancut backup list`"
    return "`cleancut backup cancel` ends one that is under way"
