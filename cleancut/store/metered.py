"""A store whose requests are counted, whichever store it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from cleancut.core.primitives.errors import CleancutError, NotFound
from cleancut.ports.store import ObjectInfo, Store
from cleancut.runtime.prometheus import Meter

OPERATIONS = ("put", "get", "stat", "list", "delete")
MOVING = ("put", "get")
DONE, FAILED = "done", "failed"
Count = Callable[[str, str, int], None]


class StoreCounters:
    """What a process asks its store for, as metrics."""

    def __init__(self, meter: Meter) -> None:
        self._requests = meter.counter(
            "cleancut_store_requests_total",
            "Requests to the store; several tries of one count once.",
            op=OPERATIONS,
            result=[DONE, FAILED],
        )
        self._moved = meter.counter(
            "cleancut_store_moved_bytes_total",
            "Bytes written to the store (put) and read from it (get).",
            op=MOVING,
        )

    def count(self, operation: str, result: str, size_bytes: int) -> None:
        self._requests.count(op=operation, result=result)
        if operation in MOVING:
            self._moved.count(size_bytes, op=operation)


class InstrumentedStore:
    """`count(operation, result, size_bytes)` after each call; that there is no such object is an
    answer too. Only what was put or got has bytes."""

    def __init__(self, store: Store, count: Count) -> None:
        self._store, self._count = store, count

    @contextmanager
    def _counted(self, operation: str) -> Iterator[list[int]]:
        """Into the list goes how many bytes went."""
        sizes: list[int] = []
        try:
            yield sizes
        except CleancutError as error:
            self._count(operation, DONE if isinstance(error, NotFound) else FAILED, 0)
            raise
        self._count(operation, DONE, sum(sizes))

    async def put(self, path: str, data: bytes) -> None:
        with self._counted("put") as sizes:
            await self._store.put(path, data)
            sizes.append(len(data))

    async def replace(self, path: str, data: bytes) -> None:
        with self._counted("put") as sizes:
            await self._store.replace(path, data)
            sizes.append(len(data))

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        with self._counted("get") as sizes:
            data = await self._store.get(path, offset, length)
            sizes.append(len(data))
        return data

    async def stat(self, path: str) -> ObjectInfo | None:
        with self._counted("stat"):
            return await self._store.stat(path)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        with self._counted("list"):
            async for info in self._store.list(prefix):
                yield info

    async def delete(self, path: str) -> None:
        with self._counted("delete"):
            await self._store.delete(path)

    async def folders(self) -> tuple[str, ...]:
        return await self._store.folders()

    async def clock_s(self) -> float | None:
        return await self._store.clock_s()

    async def remove_unfinished(self, age_s: float) -> int:
        return await self._store.remove_unfinished(age_s)

    async def close(self) -> None:
        await self._store.close()
