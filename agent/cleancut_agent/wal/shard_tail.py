"""Tail of one shard's log: reads what the machine asks for, and gives out entries.

Synchronous and bounded: call it from a thread where many shards are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, assert_never

from cleancut.core.primitives.errors import CleancutError, Refused, Unavailable
from cleancut.core.wal.framing import CRC_BYTES, HEADER_BYTES, parse_entries
from cleancut.core.wal.segments import FIRST_INDEX, acknowledged_in
from cleancut.core.wal.tail import (
    Again,
    Broken,
    Cause,
    Entries,
    FileId,
    Idle,
    Look,
    Measure,
    Position,
    Roll,
    Seen,
    Tail,
    WalEntry,
)
from cleancut.ports.wal_dir import WalDir, WalFile

POLL_BYTES = 16 << 20
"""Entries beyond this wait for the next poll."""
_LOOKS = 50
"""Looks in a row without a result end a poll."""
_HELD = 128
_CHUNK_BYTES = 1 << 20
_STATE_BYTES = 4096
_FILES = 8
"""Files that one tail needs open, at most times."""


class TailBroken(Refused):
    """The log cannot be followed any further. Entries given out before are right."""

    def __init__(self, cause: Cause, reason: str) -> None:
        super().__init__(f"the shard's log cannot be followed: {reason}", "begin a new tail")
        self.cause = cause


@dataclass(slots=True)
class _Held:
    file: WalFile
    head: bytes


class ShardTail:
    """Follows the log in `directory`, which it closes. `behind`: the last poll ended at its limit,
    so that more may be there. Raises: TailBroken, once for all; Unavailable."""

    def __init__(self, directory: WalDir, tail: Tail) -> None:
        self.behind = False
        self._broken: TailBroken | None = None
        self._directory = directory
        self._tail = tail
        self._held: dict[FileId, _Held] = {}
        self._names: Mapping[str, FileId] = {}
        self._measured: dict[FileId, int] = {}

    @classmethod
    def open(
        cls, directory: WalDir, *, first: int | None = None, resume: Position | None = None
    ) -> Self:
        """A tail that gives out entries from `first` on, or from where an earlier one stood; by
        default from the oldest on disk. Segments are held from now on.

        Raises: TailBroken, if `first` is not on disk any more; Unavailable.
        """
        tail = cls(directory, Tail(first, resume))
        try:
            tail._begin()
        except CleancutError:
            tail.close()
            raise
        return tail

    @property
    def last(self) -> int | None:
        """The index of the newest entry read; None: none yet."""
        return self._tail.last

    @property
    def confirmed(self) -> int | None:
        """The newest index that a closed segment's name vouches for; None: none yet."""
        return self._tail.confirmed

    @property
    def position(self) -> Position | None:
        """Where a later tail can resume."""
        return self._tail.position

    def poll(self, limit_bytes: int = POLL_BYTES) -> list[WalEntry]:
        """New entries in order: about `limit_bytes` of them, then `behind` is set. All that were
        written before it began are among them, unless it is.

        Raises: TailBroken; Unavailable, also if no segment is found: a later poll goes on. What was
        read before either is given out first, and the next poll raises.
        """
        found: list[WalEntry] = []
        self.behind = False
        if self._broken is None and not self.moved():
            return found
        try:
            self._read(found, limit_bytes)
        except CleancutError:
            if not found:
                if self._broken is not None:
                    self.close()
                raise
            self.behind = True
        return found

    def _read(self, found: list[WalEntry], limit_bytes: int) -> None:
        size = looks = 0
        while looks < _LOOKS:
            if self._broken is not None:
                raise self._broken
            looks += 1
            passed = self._tail.before
            match self._tail.step(self._look()):
                case Entries(entries, size_bytes):
                    found += entries
                    size, looks = size + size_bytes, 0
                    if size >= limit_bytes:
                        self.behind = True
                        return
                case Roll():
                    self._drop(passed)
                    self._measured.clear()
                    looks = 0
                case Measure(files):
                    self._measured |= {file: count_entries(self._held[file].file) for file in files}
                case Idle():
                    self._release()
                    return
                case Again():
                    continue
                case Broken(cause, reason):
                    self._broken = TailBroken(cause, reason)
                case other:
                    assert_never(other)
        index = 0 if self.last is None else self.last + 1
        raise Unavailable(
            f"in {_LOOKS} looks no segment was found for entry {index}",
            "if it lasts, the log of the shard is damaged: see the log of this Qdrant",
        )

    def moved(self) -> bool:
        """Whether a poll may find anything, by a few small reads: for looks in quick succession.

        False only if not one entry was written since the last poll.
        """
        still = self._tail.still
        if not still or not self._directory.in_place():
            return True
        for anchor in still:
            found = self._held[anchor.file].file.pread(len(anchor.expected), anchor.offset)
            if not found or not anchor.expected.startswith(found):
                return True
        return False

    def close(self) -> None:
        """Order: repeatable."""
        for held in self._held.values():
            held.file.close()
        self._held.clear()
        self._directory.close()

    def _begin(self) -> None:
        """Stands at its first segment, if there is one yet; no entry is read."""
        for _ in range(_LOOKS):
            match self._tail.step(self._look()):
                case Again():
                    continue
                case Broken(cause, reason):
                    raise TailBroken(cause, reason)
                case _:
                    return

    def _look(self) -> Look:
        in_place = self._directory.in_place()
        listing = self._list()
        named = {seen.file for seen in listing}
        used = {self._tail.current, self._tail.before}
        ends = tuple(
            self._held[a.file].file.pread(len(a.expected), a.offset) for a in self._tail.anchors
        )
        buffer, room = b"", 0
        if self._tail.current is not None:
            file, offset = self._held[self._tail.current].file, self._tail.offset
            room = max(0, (file.size_bytes() & ~7) - offset)
            buffer = file.pread(min(self._tail.want_bytes, room), offset)
        return Look(
            in_place=in_place,
            listing=listing,
            lost=tuple(
                Seen("", file, held.head)
                for file, held in self._held.items()
                if file not in named and file not in used
            ),
            ends=ends,
            buffer=buffer,
            room_bytes=room,
            measured=self._measured,
        )

    def _list(self) -> tuple[Seen, ...]:
        """The segments of one listing; those that are needed next are held from now on."""
        names = dict(self._directory.list())
        for name in self._tail.worth_holding(names)[:_HELD]:
            if names[name] in self._held:
                continue
            file = self._directory.open(name)
            if file is None:
                continue
            if file.identity in self._held:
                file.close()
            else:
                self._held[file.identity] = _Held(file, file.pread(HEADER_BYTES, 0))
                names[name] = file.identity
        self._names = names
        heads = {file: held.head for file, held in self._held.items()}
        return tuple(Seen(name, file, heads.get(file)) for name, file in sorted(names.items()))

    def _release(self) -> None:
        """Lets go of what can be needed no more: removed segments, once the open one is read."""
        wanted = {self._names[name] for name in self._tail.worth_holding(self._names)[:_HELD]}
        for file in self._held.keys() - wanted - {self._tail.current, self._tail.before}:
            self._drop(file)

    def _drop(self, file: FileId | None) -> None:
        held = self._held.pop(file, None) if file else None
        if held is not None:
            held.file.close()


def open_acknowledged(directory: WalDir) -> tuple[ShardTail, int]:
    """A tail that gives out all that may not be flushed yet, and the index of the first entry of
    that. Raises: TailBroken, Unavailable."""
    ack = read_acknowledged(directory)
    tail = ShardTail.open(directory, first=ack)
    oldest = tail.position.start if tail.position else 0
    return tail, oldest if ack is None else ack


def tails_at_most(files: int) -> int:
    """How many tails may be open in a process that may open `files` files; half are for others."""
    return files // 2 // _FILES


def count_entries(file: WalFile) -> int:
    """How many entries the segment has; none of them is kept."""
    seed = file.pread(CRC_BYTES, HEADER_BYTES - CRC_BYTES)
    crc, at, count, want = int.from_bytes(seed, "little"), HEADER_BYTES, 0, _CHUNK_BYTES
    while True:
        room = max(0, (file.size_bytes() & ~7) - at)
        parsed = parse_entries(file.pread(min(want, room), at), crc, room)
        if parsed.frames:
            count, at, crc = (
                count + len(parsed.frames),
                at + parsed.size_bytes,
                parsed.frames[-1].crc,
            )
        elif not parsed.need_bytes or parsed.need_bytes <= want:
            return count
        want = max(_CHUNK_BYTES, parsed.need_bytes)


def read_acknowledged(directory: WalDir) -> int | None:
    """The acknowledged index: earlier entries are flushed; None: nothing was acknowledged yet."""
    file = directory.open(FIRST_INDEX)
    if file is None:
        return None
    try:
        return acknowledged_in(file.pread(_STATE_BYTES, 0))
    finally:
        file.close()
