"""Bases of the archive in a store: each manifest is read once, since it never changes."""

from __future__ import annotations

from functools import partial

from cleancut.core.archive.bases import ShardBase, bases_of
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import Corrupt, NotFound, Refused
from cleancut.core.primitives.ids import Epoch
from cleancut.ports.store import Store
from cleancut.repository.catalog import list_epochs, load_group
from cleancut.runtime.concurrency import run_all

_AT_ONCE = 8


class BaseReader:
    """The bases that the groups of a store are, as they were when `read` was called last."""

    def __init__(self, store: Store, paths: Paths) -> None:
        self._store, self._paths = store, paths
        self._known: dict[Epoch, tuple[ShardBase, ...]] = {}

    async def read(self) -> tuple[ShardBase, ...]:
        """Of all groups without a tombstone that can be read, oldest first. Raises: what the store
        does."""
        epochs = await list_epochs(self._store, self._paths)
        self._known = {epoch: self._known[epoch] for epoch in epochs if epoch in self._known}
        new = [epoch for epoch in epochs if epoch not in self._known]
        await run_all([partial(self._read, epoch) for epoch in new], _AT_ONCE)
        return tuple(base for _, bases in sorted(self._known.items()) for base in bases)

    async def _read(self, epoch: Epoch) -> None:
        try:
            self._known[epoch] = bases_of(await load_group(self._store, self._paths, epoch))
        except (NotFound, Refused):
            return  # deleted meanwhile, or of a newer release
        except Corrupt:
            self._known[epoch] = ()
