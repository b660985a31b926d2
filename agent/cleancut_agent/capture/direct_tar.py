"""A shard's tar put together of what Qdrant streams, of files that are read from the disk, and of
members that are the parent's, unread.

Members of segments go through as they come; then follow those from the disk and of the parent, and
then what Qdrant writes behind the segments. That is read at once and held, since Qdrant locks the
shard's log while it writes it.
Source: D19
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Set
from contextlib import aclosing
from functools import partial
from pathlib import Path

from cleancut.core.capture.proof import SETTLED_NS, SMALL_BYTES, FileState, was_set_back
from cleancut.core.capture.request import (
    SEGMENT_MANIFEST,
    in_words,
    member_path,
    missing,
    read_manifest,
)
from cleancut.core.format.manifest import CaptureSources
from cleancut.core.primitives.errors import Corrupt, Unavailable
from cleancut.repository.shards.rolled_tar import HeldBytes
from cleancut.repository.shards.tar_scanner import (
    UNIT,
    Event,
    KeptMember,
    MemberData,
    MemberEnd,
    MemberStart,
    TarScan,
)
from cleancut.runtime.concurrency import run_in_thread
from cleancut_agent.capture.direct_files import DirectFile
from cleancut_agent.capture.disk_reads import DiskReads
from cleancut_agent.capture.selection import Selection, state_of

_SAMPLES = 64
"""The most streamed files of a shard that are compared with the disk."""
_Batch = tuple[list[bytes | KeptMember], int]
"""Pieces, and how many bytes were read for them."""
_TRY_AGAIN = "the next attempt streams these files"


class UnprovenFiles(Unavailable):
    """Files that may have changed between the request and the cut, or while they were read.
    `files`: paths `<segment>/<relative>`."""

    def __init__(self, what: str, files: frozenset[str]) -> None:
        super().__init__(what, _TRY_AGAIN)
        self.files = files


class UnreadableFile(UnprovenFiles):
    """A file that the disk does not give back. It stays so until it is written again."""


class OtherFiles(Unavailable):
    """The disk does not hold what Qdrant streams: nothing on it proves anything."""


class DirectTar:
    """The tar of one request that leaves out what is in `selection`. Used once.

    `size_of`: how many bytes of the parent's tar the member at a path is. `proven`: the states of
    the files that it holds, once all pieces have been given.
    """

    def __init__(
        self,
        selection: Selection,
        directory: Path,
        size_of: Callable[[str], int],
        *,
        piece_bytes: int,
        reads: DiskReads,
        now_ns: Callable[[], int] = time.time_ns,
        mono_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._mono_ns = mono_ns
        self._selection, self._directory, self._size_of = selection, directory, size_of
        self._piece_bytes, self._reads, self._now_ns = piece_bytes, reads, now_ns
        self._cut_ns, self._cut_mono_ns = 0, 0
        self._changed: dict[str, str] = {}
        self._streamed_bytes = self._direct_bytes = self._kept_bytes = 0
        self.proven: dict[str, FileState] = {}

    @property
    def sources(self) -> CaptureSources:
        """What has come from where so far."""
        return CaptureSources(self._streamed_bytes, self._direct_bytes, self._kept_bytes)

    async def pieces(
        self, chunks: AsyncIterator[bytes]
    ) -> AsyncGenerator[bytes | KeptMember, None]:
        """`chunks`: the answer to the request. A tar that ends early is given back as it is.

        Raises: UnprovenFiles, OtherFiles, Corrupt, Refused, and what `chunks` raise.
        """
        left_out = self._selection.kept.keys() | self._selection.direct.keys()
        parts = _Streamed(frozenset(path.partition("/")[0] for path in left_out))
        async for chunk in chunks:
            if not self._cut_ns:
                self._cut_ns, self._cut_mono_ns = self._now_ns(), self._mono_ns()
                self._changed = await run_in_thread(self._selection.check)
            self._streamed_bytes += len(chunk)
            piece = parts.feed(chunk)
            self._refuse_changed(parts)
            if piece:
                yield piece
        if parts.ended:
            async with aclosing(self._others(parts)) as others:
                async for other in others:
                    yield other
        for piece in parts.tail.pieces():
            yield piece

    def _refuse_changed(self, parts: _Streamed) -> None:
        """A file that changed does not matter if its segment was gone at the cut.

        Raises: UnprovenFiles.
        """
        changed = {path: why for path, why in self._changed.items() if parts.lists(path)}
        if changed:
            path, reason = min(changed.items())
            raise UnprovenFiles(
                f"{len(changed)} files of {self._directory} are not proven: {path}: {reason}",
                frozenset(changed),
            )

    async def _others(self, parts: _Streamed) -> AsyncGenerator[bytes | KeptMember, None]:
        """The members that are not streamed, in an order that stays the same between captures."""
        listed = {f"{segment}/{one}" for segment, names in parts.listed.items() for one in names}
        wanted = listed - parts.received
        kept = self._selection.kept.keys() & wanted
        direct = self._selection.direct.keys() & wanted
        lacking = missing(parts.listed, received=parts.received, kept=kept, direct=direct)
        if lacking:
            raise UnprovenFiles(
                f"{len(lacking)} files of {self._directory} came from nowhere: {in_words(lacking)}",
                frozenset(lacking),
            )
        await self._compare(parts, frozenset(kept | direct))
        async with aclosing(self._reads.ahead(self._batches(kept, direct))) as batches:
            async for batch in batches:
                for piece in batch:
                    yield piece
        proven = self._selection.proven()
        self.proven = {path: proven[path] for path in kept | direct}

    def _batches(self, kept: Set[str], direct: Set[str]) -> Iterator[_Batch]:
        """The members by path, some at a time, and what was read for them.

        Raises: UnprovenFiles.
        """
        batch: list[bytes | KeptMember] = []
        read_bytes = 0
        for path in sorted(kept | direct):
            if path in kept:
                member = member_path(path)
                self._kept_bytes += self._size_of(member)
                batch.append(KeptMember(member))
                continue
            for piece in self._read(path):
                batch.append(piece)
                read_bytes += len(piece)
                if read_bytes >= self._piece_bytes:
                    yield batch, read_bytes
                    batch, read_bytes = [], 0
        if batch:
            yield batch, read_bytes

    def _read(self, path: str) -> Iterator[bytes]:
        """All units of a member. Raises: UnprovenFiles."""
        try:
            file = DirectFile(self._selection.direct[path])
            yield file.header
            for piece in file.pieces(self._piece_bytes):
                self._direct_bytes += len(piece)
                yield piece
        except Unavailable as error:
            raise UnreadableFile(error.message, frozenset({path})) from error
        if padding := bytes(-file.stored_bytes % UNIT):
            yield padding
        if reason := self._selection.finish(path):
            raise UnprovenFiles(
                f"{path} of {self._directory} is not proven: {reason}", frozenset({path})
            )

    async def _compare(self, parts: _Streamed, needed: frozenset[str]) -> None:
        """Small files that were streamed and have not changed for long lie on the disk as well.

        Raises: OtherFiles, if one differs; UnprovenFiles, if the clock was set back meanwhile, so
            that a file that was written after the cut may look old; and if there is none, although
            files are `needed` from there.
        """
        compare = partial(_compare, self._directory, parts.samples, self._cut_ns)
        same, other = await run_in_thread(compare)
        passed_ns = self._mono_ns() - self._cut_mono_ns
        if other and was_set_back(self._cut_ns, self._now_ns(), passed_ns):
            raise UnprovenFiles(
                f"the clock was set back while {self._directory} was streamed: {other} cannot be"
                " compared",
                needed,
            )
        if other:
            raise OtherFiles(f"{self._directory}/{other} is not what Qdrant streams")
        if needed and not same:
            raise UnprovenFiles(
                f"no file of {self._directory} is known to be what Qdrant streams", needed
            )


def _compare(directory: Path, samples: dict[str, bytes], cut_ns: int) -> tuple[int, str]:
    """How many of these files are the same on the disk, and one that is not."""
    same = 0
    for path, data in samples.items():
        try:
            handle = os.open(directory / path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            state = state_of(os.fstat(handle))
            found = os.pread(handle, SMALL_BYTES + 1, 0)
        except OSError:
            continue
        finally:
            os.close(handle)
        if max(state.mtime_ns, state.ctime_ns) > cut_ns - SETTLED_NS:
            continue
        if found != data:
            return same, path
        same += 1
    return same, ""


class _Streamed:
    """Members of segments that go through, without the lists of files; the rest is held.

    `listed`: the files of each segment at the cut; `received`: those that came; `samples`: some
    small ones of them in the segments `sampled`, with their bytes. All as `<segment>/<relative>`.
    """

    def __init__(self, sampled: frozenset[str]) -> None:
        self._sampled = sampled
        self.listed: dict[str, frozenset[str]] = {}
        self.received: set[str] = set()
        self.samples: dict[str, bytes] = {}
        self.tail = HeldBytes()
        self._scan = TarScan()
        self._segment, self._path = "", ""
        self._held: bytearray | None = None
        self._in_tail = False
        self._size = 0

    @property
    def ended(self) -> bool:
        """Whether the tar's end has come."""
        return self._scan.ended

    def lists(self, path: str) -> bool:
        """Whether a file `<segment>/<relative>` is in one of the lists that have come."""
        segment, _, relative = path.partition("/")
        return relative in self.listed.get(segment, ())

    def feed(self, chunk: bytes) -> bytes:
        """What goes through of it. Raises: Corrupt, Refused."""
        through: list[bytes | memoryview] = []
        for event in self._scan.feed(chunk):
            if isinstance(event, MemberStart):
                self._start(event)
            for data in self._bytes_of(event):
                if self._in_tail:
                    self.tail.add(bytes(data))
                elif self._path != SEGMENT_MANIFEST:
                    through.append(data)
            if isinstance(event, MemberEnd):
                self._end()
        return b"".join(through)

    def _start(self, event: MemberStart) -> None:
        parts = event.path.split("/", 3)
        self._size, self._held = event.stored_bytes or 0, None
        if parts[0] != "segments":
            self._in_tail = True
            return
        if self._in_tail:
            raise Corrupt(f"shard stream holds {event.path} behind its log")
        self._segment, self._path = parts[1] if len(parts) > 1 else "", ""
        if len(parts) == 4 and parts[2] == "files":
            self._path = parts[3]
            if self._path == SEGMENT_MANIFEST or self._is_sample(event.header):
                self._held = bytearray()

    def _is_sample(self, header: bytes) -> bool:
        """Files that are written at once, not through mappings: their times show each change."""
        plain = len(header) == UNIT and header[156:157] in {b"0", b"\0"}
        written = self._path.endswith((".json", "version.info"))
        small = self._size < SMALL_BYTES and len(self.samples) < _SAMPLES
        return plain and written and small and self._segment in self._sampled

    def _bytes_of(self, event: Event) -> Iterator[bytes | memoryview]:
        match event:
            case MemberStart():
                yield event.header
            case MemberData():
                if self._held is not None:
                    self._held += event.piece
                yield event.piece
            case MemberEnd():
                yield event.padding or bytes(-self._size % UNIT)

    def _end(self) -> None:
        if self._in_tail or not self._path:
            return
        if self._path == SEGMENT_MANIFEST:
            self.listed[self._segment] = read_manifest(bytes(self._held or b""), self._segment)
        else:
            path = f"{self._segment}/{self._path}"
            self.received.add(path)
            if self._held is not None:
                self.samples[path] = bytes(self._held)
        self._path = ""
