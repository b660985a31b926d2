"""A store that hangs is named, and holds nothing up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from cleancut.core.primitives.errors import NotFound, TimedOut
from cleancut.ports.store import ObjectInfo
from cleancut.runtime.clock import SystemClock
from cleancut.store.bounded import BoundedStore
from cleancut.testing.memory_store import MemoryStore

BOUND_S = 0.05


class HungStore(MemoryStore):
    """Answers nothing, as a mount that is gone."""

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError("never set")

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        await asyncio.Event().wait()
        yield ObjectInfo(prefix, 0)


def bounded(store: MemoryStore) -> BoundedStore:
    return BoundedStore(store, SystemClock(), url="file:///mnt/gone", bound_s=BOUND_S)


def test_a_call_that_hangs_names_the_store() -> None:
    async def body() -> None:
        store = bounded(HungStore())
        with pytest.raises(TimedOut, match="file:///mnt/gone"):
            await store.get("c/format.json")
        with pytest.raises(TimedOut, match="list c/groups/"):
            [info async for info in store.list("c/groups/")]

    asyncio.run(body())


def test_what_answers_passes_through() -> None:
    async def body() -> None:
        store = bounded(MemoryStore())
        await store.put("c/a", b"1")
        assert await store.get("c/a") == b"1"
        assert [info.path async for info in store.list("c/")] == ["c/a"]
        await store.delete("c/a")
        assert await store.stat("c/a") is None
        with pytest.raises(NotFound):
            await store.get("c/a")

    asyncio.run(body())
