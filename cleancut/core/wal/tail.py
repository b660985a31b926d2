"""Tail of a growing log: which bytes are the next entries, which file is the next one, what breaks.

A machine without I/O: `step(look) -> outcome`. A look is one listing, then the bytes before the
known end, then those after it. Every index it claims is true, or it is broken; one in a segment
not yet seen closed is provisional, since only a closed segment's name states an index.
Source: D15
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from cleancut.core.primitives.errors import Corrupt
from cleancut.core.wal.framing import (
    CRC_BYTES,
    HEADER_BYTES,
    SHORTEST_BYTES,
    Frame,
    crc_bytes,
    header,
    parse_entries,
    seed_of,
)
from cleancut.core.wal.segments import closed_at, open_as

_SHORT_BYTES = 64 << 10
_LONG_BYTES = 1 << 20


class Cause(StrEnum):
    """Why a tail cannot go on. Entries before it are right; those after it are of another log."""

    REPLACED = "replaced"
    REWOUND = "rewound"
    GAP = "gap"
    NUMBERING = "numbering"
    FRAMING = "framing"


@dataclass(frozen=True, slots=True, order=True)
class FileId:
    """Identity of a file or directory, whatever its name is now."""

    device: int
    inode: int

    def __str__(self) -> str:
        """As records name it."""
        return f"{self.device:x}:{self.inode:x}"


@dataclass(frozen=True, slots=True)
class Seen:
    """A file in a listing. `head`: its first bytes; None, if it is not held open."""

    name: str
    file: FileId
    head: bytes | None


@dataclass(frozen=True, slots=True)
class WalEntry:
    """One operation of a shard. `index`: its number, as Qdrant counts them."""

    index: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Position:
    """Where a tail stands: in which segment, after how many of its entries."""

    seed: int
    start: int
    count: int
    offset: int
    crc: int

    @property
    def next_index(self) -> int:
        return self.start + self.count

    @property
    def anchor(self) -> tuple[int, bytes]:
        """Offset and value of the bytes that change if what was read is no longer there."""
        return self.offset - CRC_BYTES, crc_bytes(self.crc)


@dataclass(frozen=True, slots=True)
class Anchor:
    """Bytes of a file that a tail expects at `offset`."""

    file: FileId
    offset: int
    expected: bytes


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found, in this order.

    `in_place`: the directory is still the one that was opened. `listing`: its segments now.
    `lost`: held files that it lacks, those in use apart. `ends`: the bytes at each anchor.
    `buffer`: bytes from the known end on. `room_bytes`: the file's size from there. `measured`: how
    many entries files have.
    """

    in_place: bool
    listing: tuple[Seen, ...]
    lost: tuple[Seen, ...] = ()
    ends: tuple[bytes, ...] = ()
    buffer: bytes = b""
    room_bytes: int = 0
    measured: Mapping[FileId, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entries:
    """New entries, in order; the next look may find more."""

    entries: tuple[WalEntry, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Roll:
    """The next entries are in `file`, a held one."""

    file: FileId


@dataclass(frozen=True, slots=True)
class Again:
    """Another look decides: more bytes, or a listing that agrees."""


@dataclass(frozen=True, slots=True)
class Measure:
    """The next look has to say how many entries these files have."""

    files: tuple[FileId, ...]


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing more is there. `provisional`: indexes of this segment await its closing."""

    provisional: bool


@dataclass(frozen=True, slots=True)
class Broken:
    """The log cannot be followed any further."""

    cause: Cause
    reason: str


Outcome = Entries | Roll | Again | Measure | Idle | Broken


class Tail:
    """`first`: the entry to begin at; None: the oldest there is. `resume`: where an earlier tail
    stood, which may not have come to its own first one yet."""

    def __init__(self, first: int | None = None, resume: Position | None = None) -> None:
        self.current: FileId | None = None
        self.before: FileId | None = None
        self.want_bytes = _SHORT_BYTES
        self._first = first if resume is None else max(first or 0, resume.next_index)
        self._resume = resume
        self._at: Position | None = None
        self._ended: Position | None = None
        self._named = False
        self._confirmed = 0
        self._spare: Seen | None = None
        self._idle = False
        self._candidate: object = None
        self._places: dict[FileId, int] = {}
        self._starts: dict[FileId, int] = {}

    @property
    def position(self) -> Position | None:
        """Where a later tail can resume: in the segment before, while nothing of this one is read,
        so that its end is checked."""
        return self._ended if self._at and self._ended and not self._at.count else self._at

    @property
    def offset(self) -> int:
        """The known end of the current segment."""
        return self._at.offset if self._at else 0

    @property
    def last(self) -> int | None:
        """The index of the newest entry read; None: none yet."""
        return self._at.next_index - 1 if self._at and self._at.next_index else None

    @property
    def confirmed(self) -> int | None:
        """The newest index that a closed segment's name vouches for; None: none yet."""
        end = self._at.next_index if self._at and self._named else self._confirmed
        return end - 1 if end else None

    @property
    def anchors(self) -> tuple[Anchor, ...]:
        """What has to be there still, for what was read to be the log."""
        pairs = ((self.current, self._at), (self.before, self._ended))
        return tuple(Anchor(file, *at.anchor) for file, at in pairs if file and at)

    @property
    def still(self) -> tuple[Anchor, ...]:
        """What is there as long as nothing was written; empty: unknown, so that a look is needed.

        The next segment is watched too, since a full one does not change once it is closed.
        """
        if not self._idle or self._spare is None or self._spare.head is None:
            return ()
        if self.before and self._at and not self._at.count:
            return ()
        (at, *others), empty = self.anchors, bytes(SHORTEST_BYTES)
        spare = Anchor(self._spare.file, 0, self._spare.head + empty)
        return (Anchor(at.file, at.offset, at.expected + empty), *others, spare)

    def worth_holding(self, names: Mapping[str, FileId]) -> list[str]:
        """Segments that may still be read, those first that are needed first."""
        closed = sorted((n, name) for name in names if (n := closed_at(name)) is not None)
        opened = sorted((n, name) for name in names if (n := open_as(name)) is not None)
        start = self._oldest([n for n, _ in closed])
        return [name for n, name in closed if n >= start] + [name for _, name in opened]

    def _oldest(self, starts: list[int]) -> int:
        """The start of the first segment of interest, among those closed."""
        at = self._ended or self._at or self._resume
        if at is not None:
            return at.start
        if self._first is None:
            return 0
        return max((n for n in starts if n <= self._first), default=0)

    def step(self, look: Look) -> Outcome:
        outcome = self._step(look)
        if not isinstance(outcome, Again):
            self._candidate = None
        self._idle = isinstance(outcome, Idle)
        return outcome

    def _step(self, look: Look) -> Outcome:
        if not look.in_place:
            return Broken(
                Cause.REPLACED,
                "another directory is in its place: recovered or transferred in place, or deleted",
            )
        self._remember(look)
        if self._at is None:
            return self._attach(look)
        if any(a.expected != found for a, found in zip(self.anchors, look.ends, strict=True)):
            return Broken(Cause.REWOUND, f"entry {self.last} is no longer what was read")
        name = next((seen.name for seen in look.listing if seen.file == self.current), "")
        start = closed_at(name)
        if start is not None and start != self._at.start:
            return Broken(Cause.NUMBERING, f"{name} was taken for closed-{self._at.start}")
        self._named = self._named or start is not None
        if self._lacks_predecessor(look):
            if not self._agreed(("before", self.before)):
                return Again()
            gone = f"the segment before entry {self._at.start} was removed while it was the last"
            return Broken(Cause.REWOUND, gone)
        parsed = parse_entries(look.buffer, self._at.crc, look.room_bytes)
        if parsed.frames:
            # Its first entry counts once a later listing shows that the segment still begins there.
            first = ("first", parsed.frames[0].crc)
            if self.before and not self._at.count and not self._agreed(first):
                return Again()
            self.want_bytes = max(_LONG_BYTES, parsed.need_bytes)
            return self._advance(self._at, parsed.frames, parsed.size_bytes)
        if parsed.need_bytes > len(look.buffer):
            self.want_bytes = parsed.need_bytes
            return Again()
        self.want_bytes = _SHORT_BYTES
        return self._at_end(look, self._at, name)

    def _advance(self, at: Position, frames: tuple[Frame, ...], size_bytes: int) -> Entries:
        index, first = at.next_index, self._first or 0
        self._at = Position(
            at.seed, at.start, at.count + len(frames), at.offset + size_bytes, frames[-1].crc
        )
        entries = (WalEntry(index + n, frame.data) for n, frame in enumerate(frames))
        return Entries(tuple(entry for entry in entries if entry.index >= first), size_bytes)

    def _remember(self, look: Look) -> None:
        """The place of each open segment and the start of each closed one, for when it has lost its
        name."""
        known = {seen.file for seen in (*look.listing, *look.lost)}
        self._places = {file: place for file, place in self._places.items() if file in known}
        self._starts = {file: start for file, start in self._starts.items() if file in known}
        for place, seen in _opened(look):
            self._places[seen.file] = place
        for start, seen in _closed(look).items():
            self._starts[seen.file] = start

    def _attach(self, look: Look) -> Outcome:
        """The segment to begin in."""
        if self._resume is not None:
            return self._reattach(look, self._resume)
        closed, opened = _closed(look), _opened(look)
        starts = [n for n in closed if self._first is None or n <= self._first]
        if starts:
            start = min(starts) if self._first is None else max(starts)
            return self._roll(closed[start], start, named=True)
        if closed:
            return self._gap(self._first or 0, min(closed))
        return self._open_segment(opened, 0)

    def _reattach(self, look: Look, at: Position) -> Outcome:
        found = (s for s in look.listing if s.head is not None and s.head == header(at.seed))
        seen = next(found, None)
        if seen is None:
            if not self._agreed("resume"):
                return Again()
            return Broken(Cause.GAP, f"the segment with entry {at.next_index - 1} is gone")
        start = closed_at(seen.name)
        if start is not None and start != at.start:
            return Broken(Cause.NUMBERING, f"{seen.name} was taken for closed-{at.start}")
        self.current, self._at, self._named = seen.file, at, start is not None
        return Roll(seen.file)

    def _at_end(self, look: Look, at: Position, name: str) -> Outcome:
        """Order: the listing was made before the bytes, so a segment closed in it is complete."""
        place = open_as(name)
        if place is None:
            return self._next(look, at)
        self._spare = next((seen for n, seen in _opened(look) if n == place + 1), None)
        return Idle(provisional=not self._named)

    def _lacks_predecessor(self, look: Look) -> bool:
        """The last closed segment stays while the open one is in use, unless entries are dropped:
        nothing in the open one shows that, as long as none of its entries was read."""
        is_open = any(s.file == self.current and open_as(s.name) is not None for s in look.listing)
        return bool(self.before) and is_open and all(s.file != self.before for s in look.listing)

    def _next(self, look: Look, at: Position) -> Outcome:
        """The segment that begins where the current one ends."""
        index, closed = at.next_index, _closed(look)
        found = closed.get(index)
        if found is not None and found.file != self.current:  # an empty one has the next one's name
            return self._roll(found, index, named=True)
        later = min((n for n in closed if n > index), default=None)
        if later is not None:
            return self._vanished(look, index, later)
        return self._open_segment(_opened(look), index)

    def _open_segment(self, opened: list[tuple[int, Seen]], index: int) -> Outcome:
        """The first open segment, as the one that begins at `index`."""
        if not opened or not self._agreed(("open", opened[0][1].file)):
            return Again()
        seen = opened[0][1]
        return self._roll(seen, index, named=False)

    def _vanished(self, look: Look, index: int, later: int) -> Outcome:
        """Segments between `index` and `later` were removed. Those that were held can be read
        still, if together they are exactly what is missing."""
        held = self._held_of(look, index, later)
        unknown = tuple(seen.file for seen in held if seen.file not in look.measured)
        if unknown:
            return Measure(unknown)
        at = index
        for seen in held:
            if self._starts.get(seen.file, at) != at:
                return self._gap(index, later)
            at += look.measured[seen.file]
        return (
            self._roll(held[0], index, named=True)
            if held and at == later
            else self._gap(index, later)
        )

    def _held_of(self, look: Look, index: int, later: int) -> list[Seen]:
        """Removed segments that may hold entries from `index` on, in their order: closed ones by
        their start, then those that were only seen open by their place."""
        closed = [
            (self._starts[seen.file], seen)
            for seen in look.lost
            if index <= self._starts.get(seen.file, -1) < later
        ]
        opened = [
            (self._places[seen.file], seen)
            for seen in look.lost
            if seen.file in self._places and seen.file not in self._starts
        ]
        return [
            seen
            for pairs in (closed, opened)
            for _, seen in sorted(pairs, key=lambda pair: pair[0])
        ]

    def _gap(self, index: int, later: int) -> Outcome:
        if not self._agreed(("gap", index, later)):
            return Again()
        return Broken(Cause.GAP, f"entries {index}..{later - 1} vanished unread")

    def _agreed(self, candidate: object) -> bool:
        """Whether the listing before this one led to the same: one alone may lack a file that was
        renamed under it."""
        agreed, self._candidate = candidate == self._candidate, candidate
        return agreed

    def _roll(self, seen: Seen, index: int, *, named: bool) -> Outcome:
        """Order: `named`, if a closed segment's name vouches for `index`."""
        if seen.head is None:
            return Again()
        try:
            seed = seed_of(seen.head)
        except Corrupt as error:
            return Broken(Cause.FRAMING, str(error))
        if named or self._named:
            self._confirmed = index
        self.before, self._ended = self.current, self._at
        self.current, self._at = seen.file, Position(seed, index, 0, HEADER_BYTES, seed)
        self._named = named
        return Roll(seen.file)


def _closed(look: Look) -> dict[int, Seen]:
    return {n: seen for seen in look.listing if (n := closed_at(seen.name)) is not None}


def _opened(look: Look) -> list[tuple[int, Seen]]:
    """Open segments in their order."""
    pairs = ((open_as(seen.name), seen) for seen in look.listing)
    found = ((place, seen) for place, seen in pairs if place is not None)
    return sorted(found, key=lambda pair: pair[0])
