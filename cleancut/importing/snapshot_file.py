"""File of a snapshot as Qdrant's API makes it: read once to its end and checked, then by shard.

Qdrant packs each segment of a snapshot into a tar of its own, and none of those that it streams;
here both become what it streams, so an imported shard is stored like any other.
Source: lib/segment/src/segment/snapshot.rs (Regular, Streamable), Qdrant 1.18.3
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cleancut.core.capture.member_header import renamed
from cleancut.core.format.recipe import END_BYTES, Completeness
from cleancut.core.format.snapshot_choice import ALONE, CONFIG, INDEXES, KEYS, Contents
from cleancut.core.primitives.errors import CleancutError, Corrupt, Refused
from cleancut.core.primitives.numbers import whole_number
from cleancut.repository.shards.tar_scanner import (
    UNIT,
    Event,
    MemberData,
    MemberEnd,
    MemberStart,
    TarScan,
)

_CHUNK_BYTES = 1024 * 1024
_MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
_DOCUMENTS = frozenset({CONFIG, INDEXES, KEYS})
_INSIDE = "snapshot/"
_NO_MEMBER = MemberStart("", b"", None)
_AGAIN = "take the snapshot again, or copy it again from where it was taken"


class Stretch(NamedTuple):
    """A member: its new header, and where in the file its bytes are."""

    header: bytes
    offset: int
    stored_bytes: int
    padding: bytes


@dataclass(slots=True)
class SnapshotFile:
    """`contents`: what it holds; `shards`: the members of each."""

    path: Path
    contents: Contents
    shards: dict[int, list[Stretch]]
    state: tuple[int, int, int]
    """Its inode, size and time of change, before it was read."""

    def size_bytes(self, shard: int) -> int:
        """Of the tar that `read_shard` gives."""
        sizes = (
            len(one.header) + one.stored_bytes + len(one.padding) for one in self.shards[shard]
        )
        return sum(sizes) + END_BYTES


@dataclass(slots=True)
class _Shard:
    members: list[Stretch] = field(default_factory=list)
    complete: Completeness = field(default_factory=Completeness)
    has_data: bool = False


@dataclass(slots=True)
class SnapshotScan:
    """Turns the bytes of a file into its members by shard. Raises: Corrupt, Refused."""

    shards: dict[int, _Shard] = field(default_factory=dict)
    documents: dict[str, bytes] = field(default_factory=dict)
    _scan: TarScan = field(default_factory=TarScan)
    _member: MemberStart = _NO_MEMBER
    _inner: TarScan | None = None
    _inner_member: MemberStart = _NO_MEMBER
    _inner_base: int = 0
    _document: bytearray = field(default_factory=bytearray)

    def feed(self, chunk: bytes) -> None:
        for event in self._scan.feed(chunk):
            self._see(event)

    def end(self) -> None:
        """Raises: Corrupt, if it ends before its end, or a shard in it does."""
        if not self._scan.ended:
            raise Corrupt(f"it ends early, at byte {self._scan.offset}")
        for number, shard in self.shards.items():
            if not shard.has_data:
                continue
            try:
                shard.complete.check(bytes(END_BYTES))
            except Corrupt as error:
                name = "its shard" if number == ALONE else f"shard {number}"
                lacks = error.message.partition(": ")[2]
                raise Corrupt(f"{name} is not whole: {lacks}") from error

    def _see(self, event: Event) -> None:
        match event:
            case MemberStart():
                self._start(event)
            case MemberData(piece):
                if self._inner is not None:
                    for inner in self._inner.feed(piece):
                        self._see_inner(inner)
                elif self._is_document():
                    self._document += piece
            case MemberEnd(padding):
                self._end(padding)

    def _start(self, event: MemberStart) -> None:
        self._member, self._inner = event, None
        self._document.clear()
        path = event.path
        if path.endswith(".tar") and "segments/" in path:
            self._inner, self._inner_base = TarScan(), event.offset + len(event.header)
        if self._is_document() and (event.stored_bytes or 0) > _MAX_DOCUMENT_BYTES:
            raise Corrupt(f"{path} has {event.stored_bytes} bytes")

    def _is_document(self) -> bool:
        """Whether the member describes the collection."""
        return self._member.path in _DOCUMENTS

    def _end(self, padding: bytes) -> None:
        path = self._member.path
        if self._inner is not None:
            if not (self._inner.ended or self._inner.between_members):  # Qdrant ends it bare
                raise Corrupt(f"{path} in it ends early")
            self._inner = None
            return
        if self._is_document():
            self.documents[path] = bytes(self._document)
        self._keep(_place(path), self._member, self._member.offset, padding)

    def _see_inner(self, event: Event) -> None:
        match event:
            case MemberStart():
                self._inner_member = event
            case MemberEnd(padding):
                number, below = _place(self._member.path.removesuffix(".tar"))
                inside = self._inner_member.path.removeprefix(_INSIDE)
                if inside:
                    offset = self._inner_base + self._inner_member.offset
                    self._keep((number, f"{below}/{inside}"), self._inner_member, offset, padding)

    def _keep(
        self, place: tuple[int, str], member: MemberStart, offset: int, padding: bytes
    ) -> None:
        number, path = place
        if not path.rstrip("/"):
            return
        shard = self.shards.setdefault(number, _Shard())
        shard.complete.see(path)
        shard.has_data = shard.has_data or path.startswith("segments/")
        stored = member.stored_bytes or 0
        header = renamed(member.header, path) if path != member.path else member.header
        filled = padding or bytes(-stored % UNIT)
        shard.members.append(Stretch(header, offset + len(member.header), stored, filled))


def _place(path: str) -> tuple[int, str]:
    """The shard that a member is of, and its path in it."""
    first, _, rest = path.partition("/")
    number = whole_number(first)
    own = rest and str(number) == first  # not 00, which would be another folder than 0
    return (number, rest) if number is not None and own else (ALONE, path)


def read_snapshot(path: Path, name: str) -> SnapshotFile:
    """All of the file's structure; `name`: as it was given.

    Raises: Corrupt or Refused, if it is not a snapshot of a collection or of a shard, or not whole.
    """
    scan = SnapshotScan()
    try:
        state = _state(path)
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                scan.feed(chunk)
        scan.end()
    except OSError as error:
        raise Refused(f"cannot read {name}: {error.strerror}", "check the file") from error
    except CleancutError as error:
        raise Corrupt(f"{name} is not a whole snapshot: {error.message}", _AGAIN) from error
    whole = CONFIG in scan.documents
    alone = scan.shards.pop(ALONE, _Shard())
    if not whole and alone.has_data:
        scan.shards = {ALONE: alone}
    shards = {number: one.members for number, one in scan.shards.items() if one.has_data}
    if not whole and not shards:
        raise Corrupt(
            f"{name} is a tar, but not a snapshot of Qdrant",
            "give files that POST /collections/NAME/snapshots, or the same of a shard, has made",
        )
    contents = Contents(name, frozenset(shards), scan.documents if whole else {})
    return SnapshotFile(path, contents, shards, state)


async def read_shard(file: SnapshotFile, shard: int) -> AsyncGenerator[bytes, None]:
    """The tar of one shard, as Qdrant would stream it. Raises: Refused, if the file changed."""
    opened = await asyncio.to_thread(file.path.open, "rb")
    try:
        for one in file.shards[shard]:
            yield one.header
            async for piece in _stretch(opened, one.offset, one.stored_bytes):
                yield piece
            if one.padding:
                yield one.padding
        if _state(file.path) != file.state:
            raise Refused(f"{file.contents.file} changed while it was read", "run it again")
        yield bytes(END_BYTES)
    finally:
        opened.close()


async def _stretch(file: BinaryIO, offset: int, size_bytes: int) -> AsyncGenerator[bytes, None]:
    left = size_bytes
    file.seek(offset)
    while left:
        piece = await asyncio.to_thread(file.read, min(left, _CHUNK_BYTES))
        if not piece:
            raise Refused("the file became shorter while it was read", "run it again")
        left -= len(piece)
        yield piece


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
