"""Catalog of a store as the API shows it, kept in memory: each manifest is read once, since groups
never change."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from sys import intern
from typing import NamedTuple

from msgspec.structs import replace

from cleancut.api.backups import Backup
from cleancut.api.from_manifest import shown_corrupt, shown_group
from cleancut.core.format.manifest import recipes_of
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import Corrupt, NotFound, Refused
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.states import State
from cleancut.core.verification.damage import Damage, LogEntry
from cleancut.ports.store import Store
from cleancut.repository.catalog import list_epochs, load_group
from cleancut.repository.verification_log import list_checks, read_damage
from cleancut.runtime.concurrency import run_all

_AT_ONCE = 8
_PART = 128


class _Kept(NamedTuple):
    backup: Backup
    recipes: frozenset[str]


class ShownCatalog:
    """Backups without their shards, newest first, and the verification log, newest first.

    `complete`: all of the catalog was read once; before, `backups` has the newest ones. `damage`:
    as the last reading found it."""

    def __init__(self, store: Store, paths: Paths) -> None:
        self._store, self._paths = store, paths
        self._known: dict[Epoch, _Kept] = {}
        self.damage = Damage()
        self.checks: tuple[LogEntry, ...] = ()
        self.complete = False

    @property
    def backups(self) -> tuple[Backup, ...]:
        newest = sorted(self._known.items(), reverse=True)
        return tuple(self._shown(epoch, kept) for epoch, kept in newest)

    async def read(self) -> None:
        """Order: repeatable; only what is new is read. Limits: 128 new backups a call: the newest;
        the rest follows in the next calls. Raises: what the store does."""
        epochs = await list_epochs(self._store, self._paths)
        checks = await list_checks(self._store, self._paths)
        self.damage = await read_damage(self._store, self._paths, checks)
        self.checks = tuple(sorted(checks, key=lambda one: one.at_s, reverse=True))
        self._known = {epoch: self._known[epoch] for epoch in epochs if epoch in self._known}
        new = [epoch for epoch in reversed(epochs) if epoch not in self._known]
        await run_all([partial(self._read, epoch) for epoch in new[:_PART]], _AT_ONCE)
        self.complete = self.complete or len(new) <= _PART

    async def _read(self, epoch: Epoch) -> None:
        """One that cannot be read is read again the next time: a newer store may answer."""
        try:
            manifest = await load_group(self._store, self._paths, epoch)
        except NotFound:
            return  # deleted meanwhile
        except (Corrupt, Refused) as error:
            self._known[epoch] = _Kept(shown_corrupt(epoch, error), frozenset())
            return
        recipes = frozenset(map(intern, recipes_of(manifest)))
        self._known[epoch] = _Kept(shown_group(manifest, with_shards=False), recipes)

    def _shown(self, epoch: Epoch, kept: _Kept) -> Backup:
        damaged = self.damage.affects(epoch, kept.recipes)
        if not damaged or kept.backup.state is not State.COMMITTED:
            return kept.backup
        return replace(kept.backup, state=State.DAMAGED)


def newest_first(backups: Sequence[Backup]) -> tuple[Backup, ...]:
    """By the time of the cut, or of the request of one that has none; those without any time by
    their number."""
    return tuple(
        sorted(
            backups, key=lambda one: (one.cut_at or one.created_at or "", one.epoch), reverse=True
        )
    )
