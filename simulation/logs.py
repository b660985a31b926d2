"""Log of a simulated replica, as Qdrant writes it.

Each operation is one entry, under the next number: `w` a write, `d` a drain, `f` a write that
failed at first. There is one closed segment, empty at first, whose name says the first number, and
one that is open. A log that is archived is written in short segments, and each of its entries is
unlike all others.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from cleancut.core.wal.framing import HEADER_BYTES, frame, header, stored
from cleancut.core.wal.segments import FIRST_INDEX
from cleancut.testing.memory_wal import MemoryDisk

_SEED = 7
_ROOM_BYTES = 64
"""Zeros behind the last entry, without which it would not be read."""
ACK_EVERY = 4
ROLL_EVERY = 8
"""Entries of a segment, where logs are archived."""
STAY_S = 3.0
"""How long closed segments stay there; Qdrant flushes every 5 s."""


@dataclass(slots=True)
class LogLife:
    """What a log held until it was replaced, removed or rewound, which goes on from what is left.
    `ends`: its newest number, by time; the one before its first, while it is empty."""

    entries: dict[int, bytes]
    ends: list[tuple[float, int]]
    ended_s: float = float("inf")

    def spans(self, last: int) -> list[tuple[float, float]]:
        """When it ended with that entry."""
        until = [at_s for at_s, _ in self.ends[1:]] + [self.ended_s]
        return [
            (at_s, end_s)
            for (at_s, end), end_s in zip(self.ends, until, strict=True)
            if end == last
        ]


@dataclass(slots=True)
class LogRecorder:
    """Of logs that are archived: what makes each entry and segment unlike others, and the time."""

    now_s: Callable[[], float]
    serial: int = 0

    def next(self) -> int:
        self.serial += 1
        return self.serial


@dataclass(slots=True)
class _Segment:
    """`ends`: the offset and the crc after each entry, the header first."""

    name: str
    ends: list[tuple[int, int]]
    closed_s: float = 0.0

    @property
    def count(self) -> int:
        return len(self.ends) - 1


@dataclass(slots=True)
class SimLog:
    """The log of one replica. `last`: the number of its newest entry. `recorder`: it is archived;
    its `lives` are kept then, the newest one last."""

    first: int
    recorder: LogRecorder | None = None
    disk: MemoryDisk = field(default_factory=MemoryDisk)
    lives: list[LogLife] = field(default_factory=list)
    last: int = -1
    _closed: list[tuple[int, _Segment]] = field(default_factory=list)
    _open: list[_Segment] = field(default_factory=list)
    _places: int = 0
    _flushed: int = 0

    def __post_init__(self) -> None:
        self.begin(self.first)

    def begin(self, first: int) -> None:
        """Another log is in its place: the shard was recovered, or filled from another replica."""
        self.disk.replace()
        self.last, self._flushed, self._places = first - 1, first - 1, 0
        self._closed, self._open = [(first, self._make(f"closed-{first}"))], []
        for _ in range(1 if self.recorder is None else 2):
            self._create()
        self._live({}, [])

    def append(self, kind: str) -> None:
        data = kind.encode()
        if self.recorder is not None:
            data += b"%d" % self.recorder.next()
            if self._open[0].count >= ROLL_EVERY:
                self._roll()
        segment = self._open[0]
        offset, crc = segment.ends[-1]
        entry = frame(crc, data)
        self.disk.write(segment.name, offset, stored(entry) + bytes(_ROOM_BYTES))
        segment.ends.append((offset + entry.size_bytes, entry.crc))
        self.last += 1
        if self.recorder is not None:
            self.lives[-1].entries[self.last] = data
            self.lives[-1].ends.append((self._now_s(), self.last))
        if self.last % ACK_EVERY == 0 and kind != "f":
            self._acknowledge()

    def rewind(self, count: int) -> None:
        """The newest entries are lost: their peer's machine has lost what was not flushed. Others
        will stand under their numbers. Limits: see `unflushed`."""
        segment = self._open[0]
        end, _ = segment.ends[-1]
        del segment.ends[len(segment.ends) - count :]
        start, _ = segment.ends[-1]
        self.disk.write(segment.name, start, bytes(end - start))
        self.last -= count
        kept = self.lives[-1].entries.items()
        before = self.lives[-1].ends
        self._live({index: data for index, data in kept if index <= self.last}, before)

    @property
    def unflushed(self) -> int:
        """How many entries a crash may lose."""
        return min(self.last - self._flushed, self._open[0].count)

    def remove(self) -> None:
        """The replica was dropped."""
        self.disk.remove()
        self._end()

    def _live(self, entries: dict[int, bytes], before: list[tuple[float, int]]) -> None:
        if self.recorder is not None:
            self._end()
            self.lives.append(LogLife(entries, [*before, (self._now_s(), self.last)]))

    def _end(self) -> None:
        if self.recorder is not None and self.lives:
            self.lives[-1].ended_s = min(self.lives[-1].ended_s, self._now_s())

    def _now_s(self) -> float:
        return self.recorder.now_s() if self.recorder is not None else 0.0

    def _acknowledge(self) -> None:
        """All there is has been flushed. Closed segments go, but for the last one."""
        said = json.dumps({"ack_index": self.last + 1}).encode()
        self._flushed = self.last
        if FIRST_INDEX in self.disk.names():
            self.disk.unlink(FIRST_INDEX)
        self.disk.create(FIRST_INDEX)
        self.disk.write(FIRST_INDEX, 0, said)
        while len(self._closed) > 1 and self._closed[0][1].closed_s < self._now_s() - STAY_S:
            self.disk.unlink(self._closed.pop(0)[1].name)

    def _roll(self) -> None:
        """The open segment is closed under its first number; an empty one may have that name."""
        full = self._open.pop(0)
        start = self.last + 1 - full.count
        if not self._closed[-1][1].count:
            self.disk.unlink(self._closed.pop()[1].name)
        self.disk.rename(full.name, f"closed-{start}")
        full.name, full.closed_s = f"closed-{start}", self._now_s()
        self._closed.append((start, full))
        self._create()

    def _create(self) -> None:
        self._places += 1
        self._open.append(self._make(f"open-{self._places}"))

    def _make(self, name: str) -> _Segment:
        seed = _SEED if self.recorder is None else _SEED + self.recorder.next()
        self.disk.create(name)
        self.disk.write(name, 0, header(seed) + bytes(_ROOM_BYTES))
        return _Segment(name, [(HEADER_BYTES, seed)])
