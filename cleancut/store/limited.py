"""A store of which no object is read whole that is larger than any object of cleancut."""

from __future__ import annotations

from cleancut.core.primitives.errors import Corrupt
from cleancut.ports.store import Store

MAX_BYTES = 65 * 1024 * 1024
"""More than the largest manifest, page or pack, encrypted too."""


class LimitedStore:
    """Passes everything on. Raises also: Corrupt, if an object that is read whole is larger: what
    lies in a store may have been put there by anything."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.put, self.stat, self.delete = store.put, store.stat, store.delete
        self.list, self.close, self.clock_s = store.list, store.close, store.clock_s
        self.folders, self.replace = store.folders, store.replace
        self.remove_unfinished = store.remove_unfinished

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        if length is not None:
            return await self._store.get(path, offset, length)
        data = await self._store.get(path, offset, MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise Corrupt(
                f"{path} is larger than {MAX_BYTES} bytes, the most that an object may have",
                "it was not written by cleancut: look at the object in the store",
                path=path,
            )
        return data
