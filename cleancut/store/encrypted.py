"""A store whose objects are encrypted, around any other.

All objects except `format.json` and `keys/` of each cluster are encrypted here, without the
knowledge of any caller. Sizes are those of the contents.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TypeVar

from cleancut.core.format.encryption import (
    HEADER_BYTES,
    Header,
    Span,
    decrypt,
    encrypt,
    parse_header,
    plain_bytes,
)
from cleancut.core.format.paths import ObjectKind, kind_of
from cleancut.core.primitives.errors import CleancutError, Denied, Refused
from cleancut.core.primitives.ids import ClusterName
from cleancut.ports.clock import Clock
from cleancut.ports.store import ObjectInfo, Store
from cleancut.store.object_paths import check_path

REREAD_S = 600.0
"""How long a data key that was made elsewhere may stay unused."""
_HEADERS = 4096
_INLINE_BYTES = 256 * 1024
T = TypeVar("T")
LoadKeys = Callable[[ClusterName], Awaitable[Mapping[int, bytes]]]


class EncryptedStore:
    """Encrypts what is put, and believes nothing that does not authenticate.

    `load`: gives the data keys of a cluster by number, at least one, or raises.
    Limits: what `store` has; an object is held once more while it is encrypted or decrypted.
    Raises: besides, Denied (no key opens the repository) and Corrupt (not what was written).
    """

    def __init__(self, store: Store, load: LoadKeys, clock: Clock) -> None:
        self._store = store
        self._load = load
        self._clock = clock
        self._rings: dict[str, tuple[Mapping[int, bytes], float]] = {}
        self._headers: dict[str, Header] = {}
        self._turn = asyncio.Lock()

    async def put(self, path: str, data: bytes) -> None:
        if _is_plain(check_path(path)):
            await self._store.put(path, data)
            return
        number, key = await self._newest(path)
        stored = await _worked(len(data), lambda: encrypt(key, number, path, data))
        try:
            await self._store.put(path, stored)
        except Refused as refused:
            if not await self._holds(path, data):
                raise refused

    async def replace(self, path: str, data: bytes) -> None:
        if _is_plain(check_path(path)):
            await self._store.replace(path, data)
            return
        number, key = await self._newest(path)
        stored = await _worked(len(data), lambda: encrypt(key, number, path, data))
        await self._store.replace(path, stored)
        self._headers.pop(path, None)

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        if _is_plain(check_path(path)):
            return await self._store.get(path, offset, length)
        await self._ring(path)  # first: without one, nothing here is encrypted
        span = Span.of(offset, length)
        header, stored = await self._read(path, span)
        key = await self._key(path, header.number)
        size = len(stored)
        data = await _worked(size, lambda: decrypt(key, header, path, span=span, stored=stored))
        start = offset - span.offset
        return data[start:] if length is None else data[start : start + length]

    async def contents_of(self, path: str, stored: bytes) -> bytes:
        """The contents of the object at `path`, of which `stored` is all that the store holds."""
        if _is_plain(check_path(path)):
            return stored
        await self._ring(path)
        view = memoryview(stored)
        header = parse_header(bytes(view[:HEADER_BYTES]), path)
        key, body = await self._key(path, header.number), view[HEADER_BYTES:]
        whole = Span.of(0, None)
        return await _worked(
            len(stored), lambda: decrypt(key, header, path, span=whole, stored=body)
        )

    async def stat(self, path: str) -> ObjectInfo | None:
        found = await self._store.stat(path)
        return found and _shown(found)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        async for info in self._store.list(prefix):
            yield _shown(info)

    async def delete(self, path: str) -> None:
        await self._store.delete(path)

    async def folders(self) -> tuple[str, ...]:
        return await self._store.folders()

    async def clock_s(self) -> float | None:
        return await self._store.clock_s()

    async def remove_unfinished(self, age_s: float) -> int:
        return await self._store.remove_unfinished(age_s)

    async def close(self) -> None:
        await self._store.close()

    async def _read(self, path: str, span: Span) -> tuple[Header, memoryview]:
        """Header and segments: in one request from an object's start, else in two at most."""
        if span.first == 0:
            length = None if span.length is None else HEADER_BYTES + span.length
            stored = memoryview(await self._store.get(path, 0, length))
            return self._remember(path, stored[:HEADER_BYTES]), stored[HEADER_BYTES:]
        header = self._headers.get(path)
        if header is None:
            header = self._remember(path, await self._store.get(path, 0, HEADER_BYTES))
        return header, memoryview(await self._store.get(path, span.start, span.length))

    def _remember(self, path: str, start: bytes | memoryview) -> Header:
        header = self._headers[path] = parse_header(bytes(start), path)
        if len(self._headers) > _HEADERS:
            del self._headers[next(iter(self._headers))]
        return header

    async def _holds(self, path: str, data: bytes) -> bool:
        """Whether the same contents are there: put before there was a newer data key."""
        try:
            return await self.get(path) == data
        except CleancutError:
            return False

    async def _key(self, path: str, number: int) -> bytes:
        ring = await self._ring(path)
        if number not in ring:
            ring = await self._ring(path, 0.0)
        if number not in ring:
            raise Denied(
                f"{path} is encrypted with data key {number}, which no store key given here opens",
                "`cleancut key list` shows which store keys do",
            )
        return ring[number]

    async def _ring(self, path: str, newer_than_s: float | None = None) -> Mapping[int, bytes]:
        """The data keys of the cluster that `path` belongs to, read within `newer_than_s`."""
        cluster = path.partition("/")[0]
        async with self._turn:
            known = self._rings.get(cluster)
            now_s = self._clock.monotonic_s()
            if known and (newer_than_s is None or now_s - known[1] < newer_than_s):
                return known[0]
            ring = await self._load(ClusterName(cluster))
            self._rings[cluster] = ring, now_s
            return ring

    async def _newest(self, path: str) -> tuple[int, bytes]:
        """The data key to write with; if it cannot be looked for now, the newest that is known."""
        try:
            ring = await self._ring(path, REREAD_S)
        except CleancutError:
            ring = await self._ring(path)
        number = max(ring)
        return number, ring[number]


def _is_plain(path: str) -> bool:
    """What is needed before there is a key."""
    return kind_of(path.partition("/")[2]) in {ObjectKind.FORMAT, ObjectKind.DATA_KEY}


def _shown(info: ObjectInfo) -> ObjectInfo:
    plain = _is_plain(info.path)
    return info if plain else ObjectInfo(info.path, plain_bytes(info.size_bytes))


async def _worked(size_bytes: int, act: Callable[[], T]) -> T:
    """What takes long is done in a thread."""
    return await asyncio.to_thread(act) if size_bytes > _INLINE_BYTES else act()
