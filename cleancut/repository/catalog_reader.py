"""Reads the catalog for its inventory: each manifest once, since groups never change."""

from __future__ import annotations

import asyncio
from functools import partial

from cleancut.core.doctor.protection import ProtectingBackup, RestoreTest
from cleancut.core.format.paths import Paths
from cleancut.core.maintenance.inventory import (
    GroupSummary,
    Inventory,
    sizes_of,
    summary_of,
    take_inventory,
    unverified,
)
from cleancut.core.primitives.errors import CleancutError, Corrupt, NotFound, Refused
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.verification.damage import DRILL, LogEntry
from cleancut.ports.store import Store
from cleancut.repository.catalog import list_epochs, load_group
from cleancut.repository.history import last_restore
from cleancut.repository.verification_log import list_checks, newest_good, read_damage
from cleancut.runtime.concurrency import run_all

_AT_ONCE = 8
_PART = 256
_FOUND_DAMAGED = "a check found it damaged"
_UNREADABLE = "its manifest cannot be read"


class CatalogReader:
    """What a store holds, as it was when `read` was called last."""

    def __init__(self, store: Store, paths: Paths) -> None:
        self._store, self._paths = store, paths
        self._reading = asyncio.Lock()
        self._known: dict[Epoch, GroupSummary] = {}
        self._damaged: set[Epoch] = set()
        self._drill: LogEntry | None = None
        self._restore: RestoreTest | None = None
        self._history_read = False
        self._sizes: dict[str, tuple[Epoch, int]] = {}

    async def read(self) -> tuple[Inventory, dict[str, float]]:
        """The inventory, and by kind when a verification or drill went well last.

        Raises: Unavailable, Denied: then nothing new is known.
        Order: one reading at a time; another waits for it, and then finds most of it known.
        """
        async with self._reading:
            return await self._read_all()

    async def _read_all(self) -> tuple[Inventory, dict[str, float]]:
        epochs = await list_epochs(self._store, self._paths)
        checks = await list_checks(self._store, self._paths)
        self._known = {epoch: self._known[epoch] for epoch in epochs if epoch in self._known}
        new = [epoch for epoch in epochs if epoch not in self._known]
        unreadable: list[Epoch] = []
        for start in range(0, len(new), _PART):
            part = new[start : start + _PART]
            read = await run_all([partial(self._read, epoch) for epoch in part], _AT_ONCE)
            unreadable += [epoch for epoch, whole in zip(part, read, strict=True) if not whole]
        damage = await read_damage(self._store, self._paths, checks)
        self._damaged = {
            one.epoch for one in self._known.values() if damage.affects(one.epoch, one.recipes)
        }
        stock = take_inventory(self._known.values(), len(unreadable), self._damaged)
        why = dict.fromkeys(self._damaged, _FOUND_DAMAGED)
        why |= dict.fromkeys(unreadable, _UNREADABLE)
        sizes = {name: size_bytes for name, (_, size_bytes) in self._sizes.items()}
        good = newest_good(checks)
        verified = {one.epoch for one in checks if one.good and one.level.reads}
        newest_s = max((one.at_s for one in good.values()), default=0.0)
        unread = unverified(self._known.values(), verified, newest_s)
        stock = stock._replace(damaged=why, sizes=sizes, unverified=unread)
        self._drill = good.get(DRILL)
        return stock, {kind: entry.at_s for kind, entry in good.items()}

    def protecting(self) -> list[ProtectingBackup]:
        """The groups that could be read, as the judgement of protection sees them."""
        return [
            ProtectingBackup(
                epoch=one.epoch,
                cut_at_s=one.cut_at_s,
                collections=one.collections,
                schedule=one.schedule,
                damaged=one.epoch in self._damaged,
                imported=one.consistency is Consistency.IMPORTED,
                aliases=one.aliases,
                missing=one.missing,
            )
            for one in self._known.values()
        ]

    def last_drill(self) -> RestoreTest | None:
        """The newest drill that went well."""
        one = self._drill
        return RestoreTest(kind="drill", at_s=one.at_s, epoch=one.epoch) if one else None

    async def last_restore(self, now_s: float) -> RestoreTest | None:
        """The newest restore of the history, which is listed once: later ones are remembered as
        etcd shows them. None while the store cannot be read."""
        if not self._history_read:
            try:
                found = await last_restore(self._store, self._paths, now_s)
            except CleancutError:
                return self._restore
            self._history_read = True
            self._restore = self._restore or found
        return self._restore

    def remember_restore(self, test: RestoreTest) -> RestoreTest:
        """A restore that is younger than the history, or in it by now."""
        self._restore = test
        return test

    async def _read(self, epoch: Epoch) -> bool:
        """False for an unreadable one. One that was deleted meanwhile, or that only a newer
        cleancut can read, says nothing."""
        try:
            manifest = await load_group(self._store, self._paths, epoch)
            self._known[epoch] = summary_of(manifest)
        except (NotFound, Refused):
            return True
        except Corrupt:
            return False
        for name, size_bytes in sizes_of(manifest).items():
            if epoch >= self._sizes.get(name, (epoch, 0))[0]:
                self._sizes[name] = (epoch, size_bytes)
        return True

    async def size_bytes(self) -> int:
        """All objects of the cluster. Limits: lists them all."""
        total = 0
        async for info in self._store.list(self._paths.root):
            total += info.size_bytes
        return total
