"""A store whose calls are bounded: one that hangs is named within seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

from cleancut.core.primitives.errors import TimedOut
from cleancut.ports.clock import Clock
from cleancut.ports.store import ObjectInfo, Store

T = TypeVar("T")
HUNG_S = 5.0
"""How long after a call that hung the next ones fail at once: a request makes many of them."""


class BoundedStore:
    """Each call, and each part of a listing, within `bound_s`. Raises also: TimedOut.

    Limits: a call that hangs in a thread goes on there; its result is dropped.
    """

    def __init__(self, store: Store, clock: Clock, *, url: str, bound_s: float) -> None:
        self._store, self._clock, self._url, self._bound_s = store, clock, url, bound_s
        self._hung_until_s = float("-inf")

    async def put(self, path: str, data: bytes) -> None:
        await self._within(self._store.put(path, data), f"put {path}")

    async def replace(self, path: str, data: bytes) -> None:
        await self._within(self._store.replace(path, data), f"put {path}")

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        return await self._within(self._store.get(path, offset, length), f"get {path}")

    async def stat(self, path: str) -> ObjectInfo | None:
        return await self._within(self._store.stat(path), f"look for {path}")

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        found = aiter(self._store.list(prefix))
        while (info := await self._within(anext(found, None), f"list {prefix}")) is not None:
            yield info

    async def delete(self, path: str) -> None:
        await self._within(self._store.delete(path), f"delete {path}")

    async def folders(self) -> tuple[str, ...]:
        return await self._within(self._store.folders(), "list its clusters")

    async def clock_s(self) -> float | None:
        return await self._within(self._store.clock_s(), "read its clock")

    async def remove_unfinished(self, age_s: float) -> int:
        return await self._within(self._store.remove_unfinished(age_s), "remove unfinished objects")

    async def close(self) -> None:
        await self._store.close()

    async def _within(self, call: Awaitable[T], what: str) -> T:
        short = self._clock.monotonic_s() < self._hung_until_s
        try:
            async with asyncio.timeout(min(0.5, self._bound_s) if short else self._bound_s):
                return await call
        except TimeoutError as error:
            self._hung_until_s = self._clock.monotonic_s() + HUNG_S
            raise TimedOut(
                f"store {self._url} does not answer within {self._bound_s:g} s ({what})",
                "check the mount or the endpoint of the store",
            ) from error
