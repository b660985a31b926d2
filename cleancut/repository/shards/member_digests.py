"""Digests of the files in a shard's tar, with their holes filled: two tars of the same files are
equal by them, wherever each writer saw holes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor

from blake3 import blake3

from cleancut.core.capture.audit import MemberDigest
from cleancut.core.capture.member_header import extents_of
from cleancut.core.primitives.errors import Corrupt
from cleancut.repository.shards.tar_scanner import MemberData, MemberEnd, MemberStart, TarScan

BATCH_BYTES = 1 << 20
_ZEROS = bytes(1 << 20)


async def digest_members(
    chunks: AsyncIterator[bytes | memoryview],
    pool: Executor | None = None,
    on_read: Callable[[int], None] = lambda _bytes: None,
) -> dict[str, MemberDigest]:
    """Of each file of the tar; hashed in `pool`. `on_read` is called with the bytes that have come.

    Raises: Corrupt, if it ends early; what `chunks` raise.
    """
    digests, loop = MemberDigests(), asyncio.get_running_loop()
    held = bytearray()
    async for chunk in chunks:
        held += chunk
        on_read(len(chunk))
        if len(held) >= BATCH_BYTES:
            await loop.run_in_executor(pool, digests.feed, bytes(held))
            held.clear()
    await loop.run_in_executor(pool, digests.feed, bytes(held))
    return digests.finish()


class MemberDigests:
    """Of a tar that comes in pieces. Limits: nothing of it is held."""

    def __init__(self) -> None:
        self._scan = TarScan()
        self._found: dict[str, MemberDigest] = {}
        self._path = ""
        self._hasher = blake3()
        self._size, self._at = 0, 0
        self._extents: list[tuple[int, int]] = []

    def feed(self, chunk: bytes) -> None:
        """Raises: Corrupt, Refused."""
        for event in self._scan.feed(chunk):
            if isinstance(event, MemberStart):
                self._start(event)
            elif isinstance(event, MemberData):
                self._add(event.piece)
            elif isinstance(event, MemberEnd):
                self._end()

    def finish(self) -> dict[str, MemberDigest]:
        """Raises: Corrupt, unless all of the tar has come."""
        if not self._scan.ended:
            raise Corrupt("tar of a shard ended early", "it is read again")
        return self._found

    def _start(self, event: MemberStart) -> None:
        self._path, self._hasher, self._at = event.path, blake3(), 0
        stored = event.stored_bytes or 0
        sparse = extents_of(event.header) if event.header else None
        self._size, extents = sparse or (stored, ((0, stored),))
        self._extents = list(extents)

    def _add(self, piece: memoryview) -> None:
        while self._path and piece and self._extents:
            start, length = self._extents[0]
            self._fill(max(start, self._at))
            part = piece[: start + length - self._at]
            self._hasher.update(part)
            self._at += len(part)
            piece = piece[len(part) :]
            if self._at == start + length:
                del self._extents[0]

    def _end(self) -> None:
        if self._path and not self._path.endswith("/"):
            self._fill(self._size)
            self._found[self._path] = MemberDigest(self._size, self._hasher.hexdigest())

    def _fill(self, end: int) -> None:
        while self._at < end:
            zeros = _ZEROS[: end - self._at]
            self._hasher.update(zeros)
            self._at += len(zeros)
