"""A shard's tar as Qdrant streams it: GNU format, holes as sparse entries, no hole ever read.

Knows members and bytes, no shard and no engine.
Source: lib/common/common/src/tar_ext.rs, Qdrant 1.18.3 (sparse entries); GNU tar's format
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK_BYTES = 512
CHUNK_BYTES = 1 << 20
_INLINE_EXTENTS = 4
_EXTENTS_A_BLOCK = 21

Extent = tuple[int, int]
"""Offset and length of a stretch of data."""


@dataclass(frozen=True, slots=True)
class TarEntry:
    """One member: a file on disk (`path`), bytes (`data`), or a directory (neither)."""

    name: str
    path: Path | None = None
    data: bytes | None = None


def extents(descriptor: int, size: int) -> list[Extent]:
    """Where the file holds data; what lies between are holes."""
    found: list[Extent] = []
    at = 0
    while at < size:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:
            break
        at = min(os.lseek(descriptor, start, os.SEEK_HOLE), size)
        if start < size:
            found.append((start, at - start))
    return found


def copy_sparse(source: Path, target: Path) -> None:
    """`target` is a copy with the same holes and the same modification time."""
    with source.open("rb") as reader, target.open("wb") as writer:
        status = os.fstat(reader.fileno())
        os.ftruncate(writer.fileno(), status.st_size)
        for offset, length in extents(reader.fileno(), status.st_size):
            _copy_range(reader.fileno(), writer.fileno(), offset, length)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_range(reader: int, writer: int, offset: int, length: int) -> None:
    end = offset + length
    while offset < end:
        copied = os.copy_file_range(reader, writer, end - offset, offset, offset)
        if copied == 0:
            return
        offset += copied


def tar_chunks(members: Iterator[TarEntry]) -> Iterator[bytes]:
    """The tar of `members` with its two closing blocks, in chunks of at most 1 MiB."""
    for member in members:
        yield from _member_chunks(member)
    yield bytes(2 * BLOCK_BYTES)


def _member_chunks(member: TarEntry) -> Iterator[bytes]:
    encoded = member.name.encode()
    if len(encoded) > 100:
        yield _Entry(b"././@LongLink", len(encoded) + 1, b"L").header()
        yield _padded(encoded + b"\0")
    if member.path is not None:
        yield from _file_chunks(encoded, member.path)
    elif member.data is not None:
        yield _Entry(encoded, len(member.data)).header()
        yield _padded(member.data)
    else:
        yield _Entry(encoded, 0, b"5", 0o755).header()


def _file_chunks(name: bytes, path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        size, mtime, mode = status.st_size, int(status.st_mtime), status.st_mode & 0o777
        parts = extents(file.fileno(), size)
        stored = sum(length for _, length in parts)
        if stored == size:
            yield _Entry(name, size, b"0", mode, mtime).header()
        else:
            if not parts or sum(parts[-1]) < size:
                parts.append((size, 0))
            yield _sparse_header(_Entry(name, stored, b"S", mode, mtime), size, parts)
        for offset, length in parts:
            yield from _range_chunks(file.fileno(), offset, length)
        yield bytes(-stored % BLOCK_BYTES)


def _range_chunks(descriptor: int, offset: int, length: int) -> Iterator[bytes]:
    while length:
        chunk = os.pread(descriptor, min(CHUNK_BYTES, length), offset)
        if not chunk:
            raise OSError(f"the file ended {length} bytes early")
        yield chunk
        offset += len(chunk)
        length -= len(chunk)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK_BYTES)


def _octal(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a header says: `size_bytes` are those stored in the tar."""

    name: bytes
    size_bytes: int
    kind: bytes = b"0"
    mode: int = 0o644
    mtime: int = 0

    def header(self, tail: bytes = b"") -> bytes:
        fields = b"".join(
            (
                self.name[:100].ljust(100, b"\0"),
                _octal(self.mode, 8),
                _octal(0, 8),
                _octal(0, 8),
                _octal(self.size_bytes, 12),
                _octal(self.mtime, 12),
                b" " * 8,
                self.kind,
                bytes(100),
                b"ustar  \0",
            )
        )
        block = (fields.ljust(386, b"\0") + tail).ljust(BLOCK_BYTES, b"\0")
        return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _sparse_header(entry: _Entry, size_bytes: int, parts: list[Extent]) -> bytes:
    """The header of a file of `size_bytes` that holds data only in `parts`."""
    inline, rest = parts[:_INLINE_EXTENTS], parts[_INLINE_EXTENTS:]
    more = b"\1" if rest else b"\0"
    tail = _extent_fields(inline, _INLINE_EXTENTS) + more + _octal(size_bytes, 12)
    blocks = [entry.header(tail)]
    while rest:
        inline, rest = rest[:_EXTENTS_A_BLOCK], rest[_EXTENTS_A_BLOCK:]
        fields = _extent_fields(inline, _EXTENTS_A_BLOCK) + (b"\1" if rest else b"\0")
        blocks.append(fields.ljust(BLOCK_BYTES, b"\0"))
    return b"".join(blocks)


def _extent_fields(parts: list[Extent], width: int) -> bytes:
    fields = b"".join(_octal(offset, 12) + _octal(length, 12) for offset, length in parts)
    return fields.ljust(24 * width, b"\0")
