"""A shard's tar with its log exchanged: the stored entries in place of the empty log that Qdrant
writes into a snapshot, so that a recovery replays them.

The log stands behind all segments, so what precedes it goes through as it comes, and the rest is
held until it is known what is to be stored.
"""

from __future__ import annotations

import tarfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

import zstandard

from cleancut.core.format.recipe import Recipe
from cleancut.core.primitives.errors import Invalid
from cleancut.repository.shards.tar_scanner import (
    UNIT,
    KeptMember,
    MemberData,
    MemberEnd,
    MemberStart,
    TarScan,
)

LOG = "wal"
_PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class LogFile:
    """One segment of a log: its name in the log's directory, its length, and its bytes in order."""

    name: str
    size_bytes: int
    read: Callable[[], Iterator[bytes]]


Log = Sequence[LogFile] | None
"""What replaces the log of a tar; None: nothing does."""


async def with_log(
    chunks: AsyncIterator[bytes | KeptMember], log: Callable[[], Awaitable[Log]]
) -> AsyncGenerator[bytes | KeptMember, None]:
    """The tar of `chunks`, with the files of `log` in the place of those of its own log.

    Order: `log` is awaited once all chunks are there. A tar that ends early is given back as it is.
        Kept members precede the log.
    Limits: what follows the segments is held compressed: Qdrant writes an empty log, of zeros.
    Raises: Corrupt, Refused, for anything but a tar. Invalid, for a kept member out of place.
    """
    scan, held, rest = TarScan(), b"", HeldBytes()
    async for chunk in chunks:
        if isinstance(chunk, KeptMember):
            if held or rest:
                raise Invalid(f"{chunk.path} is to be kept inside a member, or behind the log")
            yield chunk
            continue
        starts = [one for one in scan.feed(chunk) if isinstance(one, MemberStart)]
        if rest:
            rest.add(chunk)
            continue
        whole = held + chunk
        at = next((one.offset for one in starts if is_log(one.path)), None)
        end = len(whole) - scan.unfinished_bytes if at is None else at + len(whole) - scan.offset
        if end:
            yield whole[:end]
        held = whole[end:]
        if at is not None:
            rest.add(held)
            held = b""
    if held:
        yield held
    if not rest:
        return
    found = await log() if scan.ended else None
    for piece in rest.pieces() if found is None else _exchanged(rest.pieces(), found):
        yield piece


async def kept_with_log(
    parent: Recipe, log: Callable[[], Awaitable[Log]]
) -> AsyncGenerator[bytes | KeptMember, None]:
    """The tar of `parent` without a look at it: all its members are kept, but for its log, which is
    exchanged for `log`. Order: all members can be kept."""
    found = await log()
    in_log = written = False
    for member in parent.members:
        inside = member.path.rstrip("/") == LOG or is_log(member.path)
        if found is not None and not written and not inside and (in_log or not member.path):
            written = True
            for piece in _files(found):
                yield piece
        in_log = in_log or inside
        if not member.path:
            yield bytes(member.stored_bytes)
        elif found is None or not is_log(member.path):
            yield KeptMember(member.path)


def is_log(path: str) -> bool:
    """A file of the log. Its directory goes through: it proves the cut of an empty shard."""
    return path.startswith(f"{LOG}/") and path != f"{LOG}/"


class HeldBytes:
    """Bytes that are held compressed, as they were added."""

    def __init__(self) -> None:
        self._packer = zstandard.ZstdCompressor(level=1).compressobj()
        self._held: list[bytes] = []
        self._any = False

    def __bool__(self) -> bool:
        return self._any

    def add(self, data: bytes) -> None:
        self._any = True
        self._held.append(self._packer.compress(data))

    def pieces(self) -> Iterator[bytes]:
        """Once only."""
        self._held.append(self._packer.flush())
        unpacker = zstandard.ZstdDecompressor().decompressobj()
        for packed in self._held:
            if packed and (piece := unpacker.decompress(packed)):
                yield piece


def _exchanged(pieces: Iterator[bytes], log: Sequence[LogFile]) -> Iterator[bytes]:
    """What starts with a log and runs to the end of a tar, with that log's files exchanged."""
    exchange = LogExchange()
    for piece in pieces:
        before, after = exchange.feed(piece)
        if before:
            yield before
        if after is not None:
            yield from _files(log)
            if after:
                yield after


class LogExchange:
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


def _files(log: Sequence[LogFile]) -> Iterator[bytes]:
    for one in log:
        yield log_header(one.name, one.size_bytes)
        yield from one.read()
        yield bytes(-one.size_bytes % UNIT)


def log_header(name: str, size_bytes: int) -> bytes:
    """What precedes a file of the log in a tar."""
    info = tarfile.TarInfo(f"{LOG}/{name}")
    info.size, info.mode = size_bytes, 0o644
    return info.tobuf(tarfile.GNU_FORMAT)
