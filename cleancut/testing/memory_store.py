"""A store in memory: the shipped fake, held to the same contract as the real ones."""

from __future__ import annotations

from collections.abc import AsyncIterator

from cleancut.core.primitives.errors import NotFound, Refused
from cleancut.ports.store import ObjectInfo
from cleancut.store.object_paths import check_path, check_prefix, other_bytes


class MemoryStore:
    """Keeps objects in `objects`, where tests may look and do damage.

    `time_s`: what its clock says; None: it has none.
    Limits: `limit_bytes` in all, beyond which it is full as a disk is.
    """

    def __init__(self, limit_bytes: int | None = None) -> None:
        self.objects: dict[str, bytes] = {}
        self.puts: list[str] = []
        self.time_s: float | None = None
        self._limit = limit_bytes

    async def put(self, path: str, data: bytes) -> None:
        check_path(path)
        self.puts.append(path)
        known = self.objects.get(path)
        if known is not None and known != data:
            raise other_bytes(path)
        if known is None:
            self._write(path, data)

    async def replace(self, path: str, data: bytes) -> None:
        self.puts.append(check_path(path))
        self._write(path, data)

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        data = self.objects.get(check_path(path))
        if data is None:
            raise NotFound(f"the store has no {path}", path=path)
        return data[offset : None if length is None else offset + length]

    async def stat(self, path: str) -> ObjectInfo | None:
        data = self.objects.get(check_path(path))
        return None if data is None else ObjectInfo(path, len(data))

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        check_prefix(prefix)
        for path in sorted(path for path in self.objects if path.startswith(prefix)):
            data = self.objects.get(path)
            if data is not None:
                yield ObjectInfo(path, len(data))

    async def folders(self) -> tuple[str, ...]:
        return tuple(sorted({path.partition("/")[0] for path in self.objects}))

    async def delete(self, path: str) -> None:
        self.objects.pop(check_path(path), None)

    async def clock_s(self) -> float | None:
        return self.time_s

    async def remove_unfinished(self, age_s: float) -> int:
        return 0  # an object is put in one step

    async def close(self) -> None:
        """Keeps what it holds: a store outlives those who open it."""

    def _write(self, path: str, data: bytes) -> None:
        used = sum(map(len, self.objects.values())) if self._limit is not None else 0
        if self._limit is not None and used + len(data) > self._limit:
            raise Refused("no space left in the store", "free some, or raise its limit")
        self.objects[path] = bytes(data)
