"""Header of a tar member for a file that is read from the disk, as Qdrant's own writer makes it.

Pure: what `fstat` and the search for holes have found comes in.
Shape: GNU tar; a name over 100 bytes has a member of its own (L) in front; a file with holes is
    sparse (S), with its extents in the header and in as many units after it as they need.
Source: lib/common/common/src/tar_ext.rs, Qdrant 1.18.3; the manual of GNU tar, sparse formats
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

UNIT = 512
_NAME_BYTES = 100
_IN_HEADER = 4
_IN_UNIT = 21
_SUM = slice(148, 156)
_NAME_KINDS = {b"L", b"K"}


@dataclass(frozen=True, slots=True)
class MemberFacts:
    """A file's metadata. `extents`: where it holds data, as offset and length; None: it has no
    hole."""

    path: str
    mode: int
    uid: int
    gid: int
    mtime_s: int
    size_bytes: int
    extents: tuple[tuple[int, int], ...] | None = None

    @property
    def stored_bytes(self) -> int:
        """How many bytes follow the header."""
        if self.extents is None:
            return self.size_bytes
        return sum(length for _, length in self.extents)


def member_header(facts: MemberFacts) -> bytes:
    """All units in front of the member's bytes."""
    name = facts.path.encode()
    header = _header(
        name[:_NAME_BYTES] if len(name) <= _NAME_BYTES else _cut(name),
        (facts.mode, facts.uid, facts.gid, facts.stored_bytes, facts.mtime_s),
        b"0",
    )
    header[329:345] = b"0000000\0" * 2
    more = b""
    if facts.extents is not None:
        entries = [*facts.extents, (facts.size_bytes, 0)]
        header[156:157] = b"S"
        header[386:482] = _entries(entries[:_IN_HEADER], 96)
        header[482] = len(entries) > _IN_HEADER
        header[483:495] = _number(facts.size_bytes, 12)
        more = _units(entries[_IN_HEADER:])
    return _long_name(name) + _summed(header) + more


def renamed(header: bytes, path: str) -> bytes:
    """All units in front of a member's bytes, `header`, for the same member under another path."""
    at = _main_at(header)
    name, main = path.encode(), bytearray(header[at : at + UNIT])
    main[:_NAME_BYTES] = _cut(name).ljust(_NAME_BYTES, b"\0")
    if main[257:263] == b"ustar\0":  # not GNU's: the beginning of the old path is in here
        main[345:500] = bytes(155)
    return _long_name(name) + _summed(main) + header[at + UNIT :]


def extents_of(header: bytes) -> tuple[int, tuple[tuple[int, int], ...]] | None:
    """The size of a sparse member once its holes are filled, and where it holds data, of all units
    in front of its bytes; None: it has no hole. Order: of a header that a scan has accepted."""
    at = _main_at(header)
    main, more = header[at : at + UNIT], header[at + UNIT :]
    if main[156:157] != b"S":
        return None
    entries = [main[386 + 24 * n : 410 + 24 * n] for n in range(_IN_HEADER)]
    for start in range(0, len(more), UNIT):
        unit = more[start : start + UNIT]
        entries += [unit[24 * n : 24 * n + 24] for n in range(_IN_UNIT)]
    pairs = [(_value(one[:12]), _value(one[12:])) for one in entries]
    return _value(main[483:495]), tuple(pair for pair in pairs if pair[1])


def _value(field: bytes) -> int:
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big")
    return int(field.strip(b"\0 ") or b"0", 8)


def _main_at(header: bytes) -> int:
    """Where the header itself begins, behind those of long names."""
    at = 0
    while header[at + 156 : at + 157] in _NAME_KINDS:
        size = _value(header[at + 124 : at + 136])
        at += UNIT + size + -size % UNIT
    return at


def _long_name(name: bytes) -> bytes:
    """The member in front of one whose name does not fit; empty where it does."""
    if len(name) <= _NAME_BYTES:
        return b""
    header = _header(b"././@LongLink", (0o644, 0, 0, len(name) + 1, 0), b"L")
    return _summed(header) + name + bytes(UNIT - len(name) % UNIT)


def _cut(name: bytes) -> bytes:
    """What of a long name stands in the header: whole characters."""
    return name[:_NAME_BYTES].decode(errors="ignore").encode()


def _header(name: bytes, numbers: tuple[int, int, int, int, int], kind: bytes) -> bytearray:
    mode, uid, gid, size, mtime = numbers
    header = bytearray(UNIT)
    header[0 : len(name)] = name
    header[100:108], header[108:116], header[116:124] = (
        _number(mode, 8),
        _number(uid, 8),
        _number(gid, 8),
    )
    header[124:136], header[136:148] = _number(size, 12), _number(mtime, 12)
    header[156:157], header[257:265] = kind, b"ustar  \0"
    return header


def _units(entries: Sequence[tuple[int, int]]) -> bytes:
    """The units after the header that hold the other extents."""
    units = b""
    for start in range(0, len(entries), _IN_UNIT):
        unit = bytearray(UNIT)
        unit[: 24 * _IN_UNIT] = _entries(entries[start : start + _IN_UNIT], 24 * _IN_UNIT)
        unit[504] = start + _IN_UNIT < len(entries)
        units += unit
    return units


def _entries(entries: Sequence[tuple[int, int]], width: int) -> bytes:
    packed = b"".join(_number(at, 12) + _number(length, 12) for at, length in entries)
    return packed.ljust(width, b"\0")


def _number(value: int, width: int) -> bytes:
    """Octal digits; what does not fit in them, in binary."""
    digits = f"{value:0{width - 1}o}".encode() + b"\0"
    if len(digits) <= width and value >= 0:
        return digits
    return b"\x80" + value.to_bytes(width - 1, "big", signed=value < 0)


def _summed(header: bytearray) -> bytes:
    header[_SUM] = b" " * 8
    header[_SUM] = _number(sum(header), 8)
    return bytes(header)
