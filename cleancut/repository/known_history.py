"""History of a store as one process knows it: listed once, and each story read once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from functools import partial

from cleancut.core.format.paths import Paths
from cleancut.core.format.story import Story
from cleancut.core.maintenance.stories import recent_months
from cleancut.ports.clock import Clock
from cleancut.ports.store import Store
from cleancut.repository.history import StoredStory, list_stories, read_story
from cleancut.runtime.concurrency import run_all

RECENT_S = 60.0
"""How old the list of the last months may be. An operation stays in etcd for two days after its
end, so that this hides none."""
WHOLE_S = 3600.0
"""How old the list of all others may be: older stories only leave."""
MAX_BYTES = 64 << 20
"""Stories that are kept in memory, by their sizes in the store."""
_AT_ONCE = 8


class KnownHistory:
    """One a process. Stories never change; those in memory are without their attempts."""

    def __init__(self, store: Store, paths: Paths, clock: Clock) -> None:
        self._store, self._paths, self._clock = store, paths, clock
        self._listing = asyncio.Lock()
        self._names: dict[str, StoredStory] = {}
        self._recent_s = self._whole_s = float("-inf")
        self._kept: OrderedDict[str, tuple[Story, int]] = OrderedDict()
        self._kept_bytes = 0

    async def entries(self, kinds: Collection[str] = ()) -> list[StoredStory]:
        """Those of these kinds, of all if none is given, the newest first. Raises: what the store
        does."""
        async with self._listing:
            await self._list_whole()
            await self._list_recent()
        found = [one for one in self._names.values() if not kinds or one.name.kind in kinds]
        return sorted(found, key=lambda one: one.name.position, reverse=True)

    async def find(self, operation: str, kinds: Collection[str]) -> StoredStory | None:
        """That of the operation with this id; None, if there is none of these kinds. Limits: all
        are listed only if the last months do not have it. Raises: what the store does."""
        async with self._listing:
            await self._list_recent()
        known = _named(operation, kinds, self._names.values())
        return known or _named(operation, kinds, await self.entries(kinds))

    async def read_whole(self, operation: str, kinds: Collection[str]) -> Story | None:
        """The story of `find`, with its attempts. Raises: what the store does."""
        stored = await self.find(operation, kinds)
        return await read_story(self._store, stored.path) if stored else None

    async def read(self, stored: Sequence[StoredStory]) -> list[Story]:
        """Those of `stored` that can be read, in that order, without their attempts. Raises: what
        the store does."""
        return [
            one
            for one in await run_all([partial(self._read, one) for one in stored], _AT_ONCE)
            if one
        ]

    async def _list_whole(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._whole_s > WHOLE_S:
            found = await list_stories(self._store, self._paths)
            self._names = {one.path: one for one in found}
            self._whole_s = self._recent_s = now_s

    async def _list_recent(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._recent_s > RECENT_S:
            for month in recent_months(self._clock.wall_s()):
                for one in await list_stories(self._store, self._paths, month=month):
                    self._names[one.path] = one
            self._recent_s = now_s

    async def _read(self, stored: StoredStory) -> Story | None:
        known = self._kept.get(stored.path)
        if known is not None:
            self._kept.move_to_end(stored.path)
            return known[0]
        story = await read_story(self._store, stored.path)
        if story is not None:
            self._keep(stored, story.without_traces())
        return story.without_traces() if story else None

    def _keep(self, stored: StoredStory, story: Story) -> None:
        """Those that were not asked for the longest go first."""
        if stored.path not in self._kept:
            self._kept_bytes += stored.size_bytes
        self._kept[stored.path] = (story, stored.size_bytes)
        while self._kept_bytes > MAX_BYTES:
            _, (_, size_bytes) = self._kept.popitem(last=False)
            self._kept_bytes -= size_bytes


def _named(
    operation: str, kinds: Collection[str], stories: Iterable[StoredStory]
) -> StoredStory | None:
    return next(
        (one for one in stories if one.name.id == operation and one.name.kind in kinds), None
    )
