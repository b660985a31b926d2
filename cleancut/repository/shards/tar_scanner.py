"""Reads a tar as it streams and accounts for every byte of it; what is in the members is not its
business, nor where bytes go.

The archives are GNU tars as Qdrant writes them: long names (L, K), sparse members (S) with
extension headers. Sparse holes are never expanded: a member's bytes are those stored in the tar.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from cleancut.core.primitives.errors import Corrupt, Refused

UNIT = 512
MAX_HEADER_BYTES = 64 * 1024 * 1024
MAX_NAME_BYTES = 64 * 1024
_ZERO_UNIT = bytes(UNIT)
_KNOWN_TYPES = b"0\x005S7"


class KeptMember(NamedTuple):
    """Stands in a stream of chunks, between two members, for one that was not read: it is the
    parent's, from its header to its padding."""

    path: str


@dataclass(frozen=True, slots=True)
class MemberStart:
    """`stored_bytes` is None for what ends the archive: its length shows at the end only.
    `offset`: of the header's first byte in the archive."""

    path: str
    header: bytes
    stored_bytes: int | None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class MemberData:
    piece: memoryview


@dataclass(frozen=True, slots=True)
class MemberEnd:
    """`padding` is empty when it is what it should be: zeros."""

    padding: bytes


Event = MemberStart | MemberData | MemberEnd


class _Phase(Enum):
    HEADER = auto()
    NAME = auto()
    EXTENSION = auto()
    DATA = auto()
    PADDING = auto()
    TRAILER = auto()


class TarScan:
    """Turns chunks of any size into events; holds one member's headers and no data.

    Order: MemberStart, Data.., MemberEnd for each member; then one MemberStart and Data for the
        zero blocks and all that trails them.
    """

    def __init__(self) -> None:
        self.offset = 0
        self._phase = _Phase.HEADER
        self._held = bytearray()
        self._want = UNIT
        self._mark = 0
        self._size = 0
        self._left = 0
        self._long_name: bytes | None = None
        self._began = 0

    @property
    def unfinished_bytes(self) -> int:
        """How many of the last bytes belong to a header that is not complete yet."""
        data = self._phase in {_Phase.DATA, _Phase.PADDING, _Phase.TRAILER}
        return 0 if data else self.offset - self._began

    @property
    def between_members(self) -> bool:
        """Whether the next byte is the first of a member, or of what ends the archive."""
        return self._phase is _Phase.HEADER and not self._held

    @property
    def ended(self) -> bool:
        """Whether the archive's end has been seen; trailing bytes may still come."""
        return self._phase is _Phase.TRAILER

    def feed(self, chunk: bytes | memoryview) -> list[Event]:
        """The events of `chunk`, in order.

        Raises: Corrupt (a header makes no sense), Refused (a member type that Qdrant's own
            unpacking refuses). Source: lib/common/common/src/tar_unpack.rs, Qdrant 1.18
        """
        events: list[Event] = []
        view = memoryview(chunk)
        at, end = 0, len(view)
        while at < end:
            piece = view[at : at + self._wanted(end - at)]
            at += len(piece)
            self.offset += len(piece)
            if self._phase is _Phase.TRAILER:
                events.append(MemberData(piece))
            elif self._phase is _Phase.DATA:
                self._take_data(piece, events)
            else:
                self._held += piece
                if len(self._held) == self._want:
                    self._held_complete(events)
        return events

    def _wanted(self, there: int) -> int:
        """How many of the bytes that are `there` belong to what is being read."""
        match self._phase:
            case _Phase.TRAILER:
                return there
            case _Phase.DATA:
                return self._left
            case _:
                return self._want - len(self._held)

    def _take_data(self, piece: memoryview, events: list[Event]) -> None:
        events.append(MemberData(piece))
        self._left -= len(piece)
        if not self._left:
            self._end_data(events)

    def _end_data(self, events: list[Event]) -> None:
        padding = -self._size % UNIT
        if padding:
            self._phase, self._want = _Phase.PADDING, padding
        else:
            self._next_member(b"", events)

    def _next_member(self, padding: bytes, events: list[Event]) -> None:
        events.append(MemberEnd(padding))
        self._phase, self._want, self._mark = _Phase.HEADER, UNIT, 0
        self._began = self.offset
        self._held.clear()

    def _held_complete(self, events: list[Event]) -> None:
        match self._phase:
            case _Phase.PADDING:
                padding = bytes(self._held)
                self._next_member(padding if any(padding) else b"", events)
            case _Phase.NAME:
                name = bytes(self._held[self._mark : self._mark + self._size])
                if self._held[self._mark - UNIT + 156] == ord("L"):
                    self._long_name = name.rstrip(b"\0")
                self._mark = len(self._held)
                self._grow(UNIT, _Phase.HEADER)
            case _Phase.EXTENSION:
                self._after_sparse_map(self._held[-UNIT + 504], events)
            case _:
                self._read_header(bytes(self._held[self._mark :]), events)

    def _grow(self, size: int, phase: _Phase) -> None:
        self._want = len(self._held) + size
        if self._want > MAX_HEADER_BYTES:
            raise Corrupt(f"tar member at byte {self._began} has over {MAX_HEADER_BYTES} of header")
        self._phase = phase

    def _read_header(self, header: bytes, events: list[Event]) -> None:
        if header == _ZERO_UNIT:
            if self._mark:
                raise Corrupt(f"tar ends after a long name at byte {self._began}")
            self._phase = _Phase.TRAILER
            events += (MemberStart("", b"", None, self._began), MemberData(memoryview(header)))
            return
        self._check_sum(header)
        self._size = self._number(header[124:136])
        kind = header[156:157]
        if kind in (b"L", b"K"):
            if not 0 < self._size <= MAX_NAME_BYTES:
                raise Corrupt(f"tar has a name of {self._size} bytes at byte {self._began}")
            self._mark += UNIT
            self._grow(self._size + -self._size % UNIT, _Phase.NAME)
        elif kind == b"S":
            self._after_sparse_map(header[482], events)
        elif kind in _KNOWN_TYPES:
            self._start_member(events)
        else:
            raise Refused(
                f"tar member of type {kind!r} at byte {self._began}",
                "Qdrant could not restore it; is this a shard snapshot?",
            )

    def _after_sparse_map(self, extended: int, events: list[Event]) -> None:
        if extended:
            self._grow(UNIT, _Phase.EXTENSION)
        else:
            self._start_member(events)

    def _start_member(self, events: list[Event]) -> None:
        name = self._long_name
        if name is None:
            name = _short_name(self._held[self._mark : self._mark + UNIT])
        path = name.decode("utf-8", "backslashreplace")
        if not path:
            raise Corrupt(f"tar member without a name at byte {self._began}")
        events.append(MemberStart(path, bytes(self._held), self._size, self._began))
        self._long_name = None
        self._held.clear()
        self._phase, self._left = _Phase.DATA, self._size
        if not self._size:
            self._end_data(events)

    def _check_sum(self, header: bytes) -> None:
        stated = self._number(header[148:156])
        if stated != sum(header) - sum(header[148:156]) + 8 * ord(" "):
            raise Corrupt(
                f"tar header at byte {self._began} has a wrong checksum",
                "the stream was damaged on its way; run the backup again",
            )

    def _number(self, field: bytes) -> int:
        if field[0] & 0x80:
            return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        try:
            return int(field.strip(b" \0") or b"0", 8)
        except ValueError as error:
            raise Corrupt(f"tar header at byte {self._began} has no number") from error


def _short_name(header: bytes | bytearray) -> bytes:
    name = bytes(header[:100]).split(b"\0", 1)[0]
    prefix = bytes(header[345:500]).split(b"\0", 1)[0]
    posix = header[257:263] == b"ustar\0"
    return prefix + b"/" + name if posix and prefix else name
