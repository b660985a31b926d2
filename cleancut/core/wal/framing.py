"""Framing of a segment file: a header, then entries that a chain of checksums holds together.

Bytes in, entries out. What does not fit the chain is not there yet, or no longer: it ends the
reading and is never an error, as for Qdrant itself.

Shape: `wal`, version byte 0, u32 seed; entries of u64 length, data, zeros, u32 crc; little-endian,
each a multiple of 8 bytes long. A crc continues from the one before, the first from the seed.
Source: lib/wal/src/segment.rs, Qdrant 1.18.3
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import google_crc32c

from cleancut.core.primitives.errors import Corrupt

HEADER_BYTES = 8
CRC_BYTES = 4
LEAST_BYTES = HEADER_BYTES + CRC_BYTES
"""Qdrant reads an entry only where more than these are left in the file."""
_MAGIC = b"wal"
_VERSION = 0
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
SHORTEST_BYTES = 16
_NOTHING = bytes(SHORTEST_BYTES)
_MASK = 0xFFFFFFFF
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True, slots=True)
class Frame:
    """One entry as stored. `size_bytes`: with its length, zeros and crc."""

    data: bytes
    size_bytes: int
    crc: int


@dataclass(frozen=True, slots=True)
class Parsed:
    """The entries at the start of some bytes.

    `need_bytes`: what has to be read from where they end to have the next entry whole; 0: nothing
    more is written there. `torn`: bytes that are neither an entry nor empty follow.
    """

    frames: tuple[Frame, ...]
    need_bytes: int = 0
    torn: bool = False

    @property
    def size_bytes(self) -> int:
        return sum(frame.size_bytes for frame in self.frames)


def frame_bytes(length: int) -> int:
    """The stored size of an entry of `length` bytes."""
    return HEADER_BYTES + length + _padding(length) + CRC_BYTES


def header(seed: int) -> bytes:
    return _MAGIC + bytes([_VERSION]) + _CRC.pack(seed)


def seed_of(head: bytes) -> int:
    """The seed in a segment's first bytes. Raises: Corrupt, if this is another format."""
    if len(head) < HEADER_BYTES or head[:3] != _MAGIC or head[3] != _VERSION:
        raise Corrupt(
            f"{head[:HEADER_BYTES]!r} does not begin a WAL segment of version {_VERSION}",
            "this version of Qdrant writes its log in another way: use snapshots only",
        )
    return int(_CRC.unpack_from(head, CRC_BYTES)[0])


def crc_bytes(crc: int) -> bytes:
    """`crc` as it is stored."""
    return _CRC.pack(crc)


def frame(crc: int, data: bytes) -> Frame:
    """The entry that follows one with this `crc`, or a seed; see `stored`."""
    return Frame(data, frame_bytes(len(data)), _chained(crc, _body(data)))


def stored(entry: Frame) -> bytes:
    """The bytes of `entry` in a segment."""
    return _body(entry.data) + _CRC.pack(entry.crc)


def parse_entries(buffer: bytes, crc: int, room_bytes: int) -> Parsed:
    """The entries at the start of `buffer` that continue the chain at `crc`.

    `room_bytes`: how long the file is from there on; what would not fit is not an entry.
    """
    frames: list[Frame] = []
    at, end = 0, min(len(buffer), room_bytes)
    while at + LEAST_BYTES < room_bytes:
        if at + min(SHORTEST_BYTES, room_bytes - at) > end:
            return Parsed(tuple(frames), need_bytes=min(SHORTEST_BYTES, room_bytes - at))
        if buffer.startswith(_NOTHING, at):
            return Parsed(tuple(frames))
        (length,) = _LENGTH.unpack_from(buffer, at)
        size = frame_bytes(length)
        if size > room_bytes - at:
            return Parsed(tuple(frames), torn=True)
        if at + size > end:
            return Parsed(tuple(frames), need_bytes=size)
        body = buffer[at : at + size - CRC_BYTES]
        new = _chained(crc, body)
        if new != _CRC.unpack_from(buffer, at + size - CRC_BYTES)[0]:
            return Parsed(tuple(frames), torn=True)
        frames.append(Frame(body[HEADER_BYTES : HEADER_BYTES + length], size, new))
        at, crc = at + size, new
    return Parsed(tuple(frames))


def _padding(length: int) -> int:
    return (4 - length) & 7


def _body(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data + bytes(_padding(len(data)))


def _chained(crc: int, body: bytes) -> int:
    reversed_bits = int.from_bytes(_CRC.pack(crc).translate(_REVERSED), "big")
    return int(google_crc32c.extend(~reversed_bits & _MASK, body))
