"""A shard's tar as it is recovered at a moment: the entries of an archive in place of its log.

Its length is known before any entry is read, and nothing is held: the tar and the entries go
through as they come.
"""

from __future__ import annotations

import tarfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence

from cleancut.core.format.recipe import Recipe
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.wal.segments import SegmentPlan, SegmentWriter
from cleancut.repository.rolled_tar import LOG, is_log
from cleancut.repository.tar_scanner import UNIT, MemberData, MemberEnd, MemberStart, TarScan


def replayed_bytes(recipe: Recipe, plans: Iterable[SegmentPlan]) -> int:
    """The length of the tar of `recipe` with these files in place of its log."""
    gone = sum(member.tar_bytes() for member in recipe.members if is_log(member.path))
    files = sum(UNIT + plan.size_bytes + -plan.size_bytes % UNIT for plan in plans)
    return recipe.tar_bytes - gone + files


async def replayed_tar(
    chunks: AsyncIterator[bytes | memoryview],
    plans: Sequence[SegmentPlan],
    entries: AsyncIterator[bytes],
) -> AsyncGenerator[bytes, None]:
    """The tar of `chunks` with the planned files, filled from `entries`, in place of its log.

    Raises: Corrupt, if the entries are not as planned; what `chunks` and `entries` raise.
    """
    exchange = _Exchange()
    async for chunk in chunks:
        before, after = exchange.feed(chunk)
        if before:
            yield before
        if after is None:
            continue
        async for piece in _files(plans, entries):
            yield piece
        if after:
            yield after
    if not exchange.written:
        raise Corrupt("the tar of a shard ended before its log", "verify the backup")


class _Exchange:
    """Drops the log's files from a tar, and finds the place where others go: behind the log."""

    def __init__(self) -> None:
        self._scan = TarScan()
        self._drop = self._in_log = self.written = False
        self._size = 0

    def feed(self, chunk: bytes | memoryview) -> tuple[bytes, bytes | None]:
        """What goes through of this chunk: before that place, and behind it; None: not here."""
        before, after = list[bytes](), list[bytes]()
        here = False
        for event in self._scan.feed(bytes(chunk)):
            here = self._is_here(event) or here
            (after if here else before).extend(self._kept(event))
        return b"".join(before), b"".join(after) if here else None

    def _is_here(self, event: object) -> bool:
        if not isinstance(event, MemberStart) or self.written:
            return False
        inside = event.path.rstrip("/") == LOG or is_log(event.path)
        self.written = not inside and (self._in_log or event.stored_bytes is None)
        self._in_log = self._in_log or inside
        return self.written

    def _kept(self, event: object) -> Iterator[bytes]:
        match event:
            case MemberStart():
                self._drop, self._size = is_log(event.path), event.stored_bytes or 0
                if not self._drop:
                    yield event.header
            case MemberData() if not self._drop:
                yield bytes(event.piece)
            case MemberEnd() if not self._drop:
                yield event.padding or bytes(-self._size % UNIT)


async def _files(
    plans: Sequence[SegmentPlan], entries: AsyncIterator[bytes]
) -> AsyncGenerator[bytes, None]:
    for plan in plans:
        info = tarfile.TarInfo(f"{LOG}/{plan.name}")
        info.size, info.mode = plan.size_bytes, 0o644
        writer = SegmentWriter(plan)
        yield info.tobuf(tarfile.GNU_FORMAT) + writer.begin()
        while not writer.full:
            data = await anext(entries, None)
            if data is None:
                break
            yield writer.add(data)
        yield writer.end() + bytes(-plan.size_bytes % UNIT)
