"""Transfer of single objects: read once, checked, put as they were stored; in parallel, within a
number of bytes and a rate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from cleancut.copying.object_checks import checked
from cleancut.copying.sides import Sides
from cleancut.core.cluster.agent_settings import RateLimiter
from cleancut.core.primitives.errors import Corrupt
from cleancut.ports.clock import Clock
from cleancut.ports.store import ObjectInfo, Store
from cleancut.runtime.pace import wait_turn
from cleancut.store.limited import MAX_BYTES

IN_FLIGHT_BYTES = 20 * 1024 * 1024
"""Of objects on their way; each is held up to three times while it is checked."""
Check = Callable[[bytes], None]
"""Raises Corrupt, unless these contents are what the object's name promises."""


@dataclass(frozen=True, slots=True)
class CopyLimits:
    """`bytes_per_s` 0: no limit. `at_once`: objects under way."""

    bytes_per_s: int = 0
    at_once: int = 8


NO_LIMITS = CopyLimits()


@dataclass(slots=True)
class Counts:
    """What was put by now."""

    objects: int = 0
    size_bytes: int = 0


class Room:
    """Room for bytes on their way. Limits: `limit` of them, or one object that is larger."""

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def take(self, size_bytes: int) -> AsyncIterator[None]:
        """Waits until there is room, and keeps it inside the block."""
        async with self._freed:
            await self._freed.wait_for(
                lambda: not self._used or self._used + size_bytes <= self._limit
            )
            self._used += size_bytes
        try:
            yield
        finally:
            self._used -= size_bytes
            async with self._freed:
                self._freed.notify_all()


class Listed:
    """Sizes of a store's objects by path, one listing for each prefix that is asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._prefixes: dict[str, asyncio.Lock] = {}
        self._done: set[str] = set()
        self.sizes: dict[str, int] = {}

    async def look(self, prefix: str) -> None:
        """All objects under `prefix` are in `sizes` afterwards."""
        async with self._prefixes.setdefault(prefix, asyncio.Lock()):
            if prefix not in self._done:
                async for info in self._store.list(prefix):
                    self.add(info)
                self._done.add(prefix)

    def add(self, info: ObjectInfo) -> None:
        self.sizes[info.path] = info.size_bytes


@dataclass(slots=True)
class Transfer:
    """Moves objects of one run of a copy. `source` and `target`: what is known to be there."""

    sides: Sides
    clock: Clock
    limits: CopyLimits
    counts: Counts = field(default_factory=Counts)
    source: Listed = field(init=False)
    target: Listed = field(init=False)
    _room: Room = field(default_factory=lambda: Room(IN_FLIGHT_BYTES))
    _pace: RateLimiter = field(default_factory=RateLimiter)

    def __post_init__(self) -> None:
        self.source = Listed(self.sides.source_raw)
        self.target = Listed(self.sides.target_raw)

    async def move(self, path: str, check: Check, *, put: bool = True) -> None:
        """Reads the object, checks its contents, and puts it; without `put` only the former.

        Raises: Corrupt (not what was written), NotFound (it is gone); what the stores do.
        """
        size_bytes = self.source.sizes.get(path, 0)
        if size_bytes > MAX_BYTES:
            raise Corrupt(f"{path} has {size_bytes} bytes, more than any object of a backup")
        async with self._room.take(size_bytes):
            stored = await self.sides.source_raw.get(path)
            contents = await self.sides.contents_of(path, stored)
            await checked(contents, check)
            if not put:
                return
            del contents
            await self._wait_turn(len(stored))
            await self.sides.target_raw.put(path, stored)
        self.target.add(ObjectInfo(path, len(stored)))
        self.counts.objects += 1
        self.counts.size_bytes += len(stored)

    async def _wait_turn(self, size_bytes: int) -> None:
        clock, rate = self.clock, self.limits.bytes_per_s
        await wait_turn(self._pace, lambda: rate, clock.monotonic_s, clock.sleep)
        self._pace.went(size_bytes)


def accept(_contents: bytes) -> None:
    """For objects whose names promise nothing: what stores can authenticate they have."""
