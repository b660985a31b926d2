"""Reads packs for several tars at once: one that they need most of is fetched whole, and only once.

The blocks of all shards of a peer lie mixed in its packs, and a restore pulls these shards side by
side. To a store a whole pack costs about what two parts of it do.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from cleancut.core.format.pack_uses import PackUse
from cleancut.core.format.page import PACK_BYTES
from cleancut.core.format.paths import Paths
from cleancut.ports.store import Store

KEPT_PACKS = 8
WHOLE_BYTES = PACK_BYTES // 2


READS = 8
"""As many reads of packs are under way for one tar, and as many of whole packs for all tars."""


class PackCache:
    """Keeps packs that open tars still need. Limits: 64 MiB are kept, the latest used ones, and
    64 MiB are being read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wanted: Counter[str] = Counter()
        self._kept: dict[str, bytes] = {}
        self._fetching: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._whole_reads = asyncio.Semaphore(READS)

    @contextmanager
    def open(self, paths: Paths, uses: Iterable[PackUse]) -> Iterator[TarPacks]:
        """Inside the block, `uses` count as what one tar needs; what it has read, no more."""
        packs = TarPacks(self, {paths.pack(use.pack): use.live_bytes for use in uses})
        self._wanted.update(packs.left)
        try:
            yield packs
        finally:
            for path in packs.left:
                self.used(path, packs.left[path])

    async def read(self, path: str, start: int, end: int) -> bytes | memoryview:
        """The bytes from `start` to `end`, fewer at the pack's end. Raises: what the store does."""
        whole_pays = self._wanted[path] >= WHOLE_BYTES and end <= PACK_BYTES
        if path not in self._kept and not whole_pays:
            return await self._store.get(path, start, end - start)
        async with self._fetching[path]:
            whole = self._kept.pop(path, None)
            if whole is None:
                async with self._whole_reads:
                    whole = await self._store.get(path, 0, PACK_BYTES)
            if path in self._wanted:
                self._kept[path] = whole
            if len(self._kept) > KEPT_PACKS:
                del self._kept[next(iter(self._kept))]
        return memoryview(whole)[start:end]

    def used(self, path: str, size_bytes: int) -> None:
        """Bytes of a pack that are no longer needed; a pack without needed bytes is dropped."""
        self._wanted[path] -= size_bytes
        if self._wanted[path] <= 0:
            del self._wanted[path]
            self._kept.pop(path, None)
            self._fetching.pop(path, None)


class TarPacks:
    """The packs of one tar; `left` has the bytes of each that it did not read yet."""

    def __init__(self, cache: PackCache, left: dict[str, int]) -> None:
        self._cache = cache
        self._reads = asyncio.Semaphore(READS)
        self.left = left

    async def read(self, path: str, start: int, end: int) -> bytes | memoryview:
        """See `PackCache.read`."""
        async with self._reads:
            data = await self._cache.read(path, start, end)
        used = min(end - start, self.left.get(path, 0))
        if used:
            self.left[path] -= used
            self._cache.used(path, used)
        return data
