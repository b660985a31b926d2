"""Segment files: how they are named, and new ones made of entries.

Shape: `closed-N` begins at entry N; `open-M` only orders the files and says no index.
Source: lib/wal/src/lib.rs, Qdrant 1.18.3
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from cleancut.core.primitives.errors import Corrupt
from cleancut.core.wal.framing import HEADER_BYTES, frame, frame_bytes, header, stored

SEGMENT_BYTES = 32 << 20
FIRST_INDEX = "first-index"
"""The file with the acknowledged index; see `acknowledged_in`."""
_SEED = 0x5EED
_EMPTY_BYTES = 24
_CLOSED, _OPEN = "closed-", "open-"


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """A segment file of `count` entries from `first` on, before any of them is read."""

    first: int
    count: int
    size_bytes: int

    @property
    def name(self) -> str:
        return f"{_CLOSED}{self.first}"


@dataclass(frozen=True, slots=True)
class Segment:
    """A new segment file. `chunks`: its bytes, `size_bytes` in all."""

    name: str
    size_bytes: int
    chunks: Iterator[bytes]


def closed_at(name: str) -> int | None:
    """The index at which the file `name` begins; None: it is not a closed segment."""
    return _number(name, _CLOSED)


def open_as(name: str) -> int | None:
    """The place of the file `name` among the open segments; None: it is not one of them."""
    return _number(name, _OPEN)


def _number(name: str, kind: str) -> int | None:
    digits = name.removeprefix(kind)
    return int(digits) if digits != name and digits.isascii() and digits.isdigit() else None


def plan_segments(
    lengths: Iterable[int], first: int, limit_bytes: int = SEGMENT_BYTES
) -> tuple[SegmentPlan, ...]:
    """Files for entries of these lengths, from `first` on. A larger entry has its own file.

    Without any entry: an empty file, so that a log continues at `first`.
    """
    plans: list[SegmentPlan] = []
    start, count, size = first, 0, HEADER_BYTES
    for length in lengths:
        more = frame_bytes(length)
        if count and size + more > limit_bytes:
            plans.append(SegmentPlan(start, count, size))
            start, count, size = start + count, 0, HEADER_BYTES
        count, size = count + 1, size + more
    if not count:
        size += _EMPTY_BYTES
    return (*plans, SegmentPlan(start, count, size))


def build_segments(plans: Iterable[SegmentPlan], entries: Iterator[bytes]) -> Iterator[Segment]:
    """The planned files, filled from `entries`.

    Order: the chunks of one before the next one; nothing is kept.
    Raises: Corrupt while chunks are read, if entries are not as planned.
    """
    for plan in plans:
        yield Segment(plan.name, plan.size_bytes, _chunks(plan, entries))


def _chunks(plan: SegmentPlan, entries: Iterator[bytes]) -> Iterator[bytes]:
    writer = SegmentWriter(plan)
    yield writer.begin()
    for index in range(plan.first, plan.first + plan.count):
        data = next(entries, None)
        if data is None:
            raise _missing(plan, index)
        yield writer.add(data)
    yield writer.end()


class SegmentWriter:
    """The bytes of one planned file, entry by entry.

    Order: `begin`, `add` for each entry, `end`.
    """

    def __init__(self, plan: SegmentPlan) -> None:
        self._plan, self._crc, self._size, self._next = plan, _SEED, HEADER_BYTES, plan.first

    @property
    def full(self) -> bool:
        """True once all of its entries are there."""
        return self._next == self._plan.first + self._plan.count

    def begin(self) -> bytes:
        return header(_SEED)

    def add(self, data: bytes) -> bytes:
        """Raises: Corrupt, if the entry is longer than planned."""
        entry = frame(self._crc, data)
        self._crc, self._size = entry.crc, self._size + entry.size_bytes
        if self._size > self._plan.size_bytes:
            raise Corrupt(f"entry {self._next} of {self._plan.name} is longer than recorded", "")
        self._next += 1
        return stored(entry)

    def end(self) -> bytes:
        """Raises: Corrupt, if entries are not as planned."""
        if not self.full:
            raise _missing(self._plan, self._next)
        if not self._plan.count:
            return bytes(_EMPTY_BYTES)
        if self._size != self._plan.size_bytes:
            raise Corrupt(
                f"{self._plan.name} has {self._size} bytes, recorded were {self._plan.size_bytes}",
                "",
            )
        return b""


def _missing(plan: SegmentPlan, index: int) -> Corrupt:
    return Corrupt(f"entry {index} of {plan.name} is missing", "the log is incomplete")


def acknowledged_in(data: bytes | None) -> int | None:
    """The index in a file `first-index`; None, if there is none: nothing was acknowledged yet.

    Entries before it are flushed, and replayed no more.
    """
    try:
        found = msgspec.json.decode(data or b"{}", type=dict[str, int])
    except msgspec.MsgspecError:
        return None
    return found.get("ack_index")
