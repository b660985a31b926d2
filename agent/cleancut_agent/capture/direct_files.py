"""Bytes of the files that are read from the disk instead of Qdrant's stream.

Synchronous: read in a thread. What is read is proven only by the selection's `finish` after it.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator

from cleancut.core.capture.member_header import MemberFacts, member_header
from cleancut.core.capture.request import member_path
from cleancut.core.primitives.errors import Unavailable
from cleancut_agent.capture.page_cache import cached_pages, drop_pages, read_exactly
from cleancut_agent.capture.selection import OpenFile

PIECE_BYTES = 4 << 20
DONTCACHE = 0x80
"""RWFDONTCACHE: pages that were not in the page cache do not stay in it. Linux 6.14."""
_UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


class DirectFile:
    """A member of the shard's tar, read from an open file. `path`: in the tar.

    `flags`: of each read of what is not in the page cache, where the file system takes them; else
    what was not there before is dropped from it again, as far as the kernel says so.
    """

    def __init__(self, file: OpenFile, flags: int = DONTCACHE) -> None:
        """Raises: Unavailable."""
        self._file, self._flags = file, flags
        self.path = member_path(file.path)
        status, size = file.status, file.state.size_bytes
        try:
            self._extents = tuple(_extents(file.handle, size))
        except OSError as error:
            raise _unreadable(file, error.strerror or str(error)) from error
        facts = MemberFacts(
            path=self.path,
            mode=status.st_mode,
            uid=status.st_uid,
            gid=status.st_gid,
            mtime_s=status.st_mtime_ns // 10**9,
            size_bytes=size,
            extents=None if _is_whole(self._extents, size) else self._extents,
        )
        self.header = member_header(facts)
        self.stored_bytes = facts.stored_bytes

    def pieces(self, piece_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
        """Its stored bytes in order, without holes: `stored_bytes` in all.

        Raises: Unavailable, if the file has become shorter or cannot be read.
        """
        for start, length in self._extents:
            at, end = start, start + length
            while at < end:
                piece = self._read(min(piece_bytes, end - at), at)
                at += len(piece)
                yield piece

    def _read(self, length: int, offset: int) -> bytes:
        handle = self._file.handle
        try:
            cached = cached_pages(handle, offset, length)
            if self._flags and (cached is None or cached < _pages(offset, length)):
                piece = self._read_uncached(length, offset)
            else:
                piece = os.pread(handle, length, offset)
                if cached == 0:
                    drop_pages(handle, offset, len(piece))
        except OSError as error:
            raise _unreadable(self._file, error.strerror or str(error)) from error
        if not piece:
            raise _unreadable(self._file, f"it ends at byte {offset}")
        return piece

    def _read_uncached(self, length: int, offset: int) -> bytes:
        """Raises: OSError, Unavailable."""
        buffer, handle = bytearray(length), self._file.handle
        try:
            got = os.preadv(handle, [buffer], offset, self._flags)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            self._flags = 0
            read_exactly(handle)
            return self._read(length, offset)
        return bytes(memoryview(buffer)[:got])


def _pages(offset: int, length: int) -> int:
    """How many pages hold the range."""
    return (offset + length - 1) // mmap.PAGESIZE - offset // mmap.PAGESIZE + 1


def _is_whole(extents: tuple[tuple[int, int], ...], size_bytes: int) -> bool:
    return not size_bytes or extents == ((0, size_bytes),)


def _extents(handle: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Where the file holds data. Raises: OSError."""
    at = 0
    while at < size_bytes:
        start = _data_from(handle, at)
        if start is None or start >= size_bytes:
            return
        at = min(os.lseek(handle, start, os.SEEK_HOLE), size_bytes)
        if at <= start:
            raise OSError(errno.EIO, "the search for holes does not advance")
        yield start, at - start


def _data_from(handle: int, offset: int) -> int | None:
    try:
        return os.lseek(handle, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise


def _unreadable(file: OpenFile, reason: str) -> Unavailable:
    return Unavailable(
        f"segment file {file.path} cannot be read from the disk: {reason}",
        "the capture is tried again; see the log of the kernel if it lasts",
    )
