"""Tail of a shard's log, next to a writer that moves at every step of every look.

What holds everywhere: an entry that is given out stands under its true index, none is left out, or
the tail breaks and says why.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field

import pytest

from cleancut.core.primitives.errors import Unavailable
from cleancut.core.wal.framing import frame, header, stored
from cleancut.core.wal.tail import Cause, WalEntry
from cleancut.testing.memory_wal import MemoryDisk, MemoryLog, Steps
from cleancut_agent.wal.shard_tail import ShardTail, TailBroken


@dataclass
class Race:
    """A writer whose program runs in between what the tail does. `pace`: steps of it, at most, in
    one gap."""

    seed: int
    pace: int = 3
    program: Steps = field(default_factory=lambda: iter(()))

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.disk = MemoryDisk(self.seed)
        ahead, capacity = self.random.choice((1, 1, 3)), self.random.choice((256, 600, 2000))
        self.log = MemoryLog(self.disk, self.random, ahead=ahead, capacity=capacity)
        self.claimed: list[WalEntry] = []
        self.done = False

    def start(self, program: Steps) -> None:
        self.program, self.done = program, False
        self.disk.on_read = self.advance

    def advance(self) -> None:
        for _ in range(self.random.randrange(self.pace + 1)):
            if self.random.random() < 0.3:
                next(self.log.creating, None)
            elif next(self.program, self) is self:
                self.done = True

    def finish(self) -> None:
        while not self.done:
            self.advance()

    def writes(self, count: int, *, retain: int = 1, least: int = 0) -> Steps:
        """Appends of all sizes, some larger than a segment, acknowledged late or at once. `least`:
        bytes in each; an operation of a server is never the same as another."""
        rng = self.random
        for _ in range(count):
            size = rng.choice((0, 3, 20, 60, 60, 100, 400))
            yield from self.log.append(rng.randbytes(max(least, size)))
            if rng.random() < 0.2:
                yield from self.log.acknowledge(rng.randrange(self.log.next_index + 1), retain)

    def poll(self, tail: ShardTail, limit_bytes: int = 1 << 20) -> None:
        """Raises: TailBroken; AssertionError, unless what it gives out comes next and was true at
        some moment meanwhile."""
        true, known = set(self.log.entries.items()), len(self.log.history)
        entries = tail.poll(limit_bytes)
        true.update(self.log.history[known:])
        for entry in entries:
            assert (entry.index, entry.data) in true, f"index {entry.index}"
            assert not self.claimed or entry.index == self.claimed[-1].index + 1
            self.claimed.append(entry)
        assert tail.confirmed is None or tail.last is None or tail.confirmed <= tail.last

    def follow(self, tail: ShardTail, limits: tuple[int, ...] = (1 << 20,)) -> Cause | None:
        """Polls until the writer has ended and all is read; the cause, if the tail broke."""
        try:
            while not self.done:
                self.poll(tail, self.random.choice(limits))
            self.disk.on_read = lambda: None
            self.poll(tail)
        except TailBroken as broken:
            return broken.cause
        finally:
            self.disk.on_read = lambda: None
        assert tail.last is None or tail.last <= self.log.next_index - 1
        return None


def test_every_entry_is_read_under_its_index_or_the_tail_breaks() -> None:
    """Renames within listings, removals before and after opens, torn tails, grown files. With one
    closed segment retained a tail as slow as the writer may lose some: never silently."""
    causes: list[Cause | None] = []
    for seed in range(100):
        race = Race(seed, pace=1 + seed % 4)
        tail = ShardTail.open(race.disk.open())
        race.start(race.writes(40))
        causes.append(race.follow(tail, limits=(1, 200, 1 << 20)))
        if causes[-1] is None:
            assert tail.last == race.log.next_index - 1 == race.claimed[-1].index
            assert race.claimed[0].index == 0
        tail.close()
        assert race.disk.open_handles == 0
    assert set(causes) <= {None, Cause.GAP}
    assert causes.count(None) > 50


def test_nothing_is_lost_while_segments_are_retained() -> None:
    """The tail breaks only over what was removed before it could be held."""
    for seed in range(60):
        race = Race(seed, pace=6)
        tail = ShardTail.open(race.disk.open())
        race.start(race.writes(40, retain=1000))
        assert race.follow(tail) is None
        assert len(race.claimed) == race.log.next_index
        tail.close()


def test_a_reading_is_of_a_moment_within_its_poll() -> None:
    """What was written before a poll began is in it: two equal rounds of readings rest on that."""
    for seed in range(60):
        race = Race(seed, pace=4)
        tail = ShardTail.open(race.disk.open())
        race.start(race.writes(40, retain=1000))
        while not race.done:
            before = race.log.next_index - 1
            race.poll(tail)
            assert tail.behind or (tail.last or -1) >= before
        tail.close()


def test_a_shard_that_did_not_move_was_not_written_to() -> None:
    """The cheap look: also when the current segment is full and the next entry is elsewhere."""
    still = 0
    for seed in range(60):
        race = Race(seed, pace=2)
        tail = ShardTail.open(race.disk.open())
        race.start(race.writes(40, retain=1000))
        while not race.done:
            race.poll(tail)
            for _ in range(race.random.randrange(12)):
                race.advance()
            before = race.log.next_index - 1
            if not tail.moved():
                still += 1
                assert tail.last in {before, None if before < 0 else before}
        tail.close()
    assert still > 30


def test_a_rewound_log_breaks_the_tail_before_another_entry_is_claimed() -> None:
    """Entries dropped at any place: within the current segment, all of it, or into earlier ones."""
    causes: list[Cause | None] = []
    for seed in range(100):
        race = Race(seed, pace=2)
        tail = ShardTail.open(race.disk.open())
        race.start(race.writes(race.random.randrange(1, 25), retain=1000, least=8))
        assert race.follow(tail) is None
        race.start(_rewinding(race))
        causes.append(race.follow(tail))
        tail.close()
    assert set(causes) <= {Cause.REWOUND, Cause.NUMBERING, Cause.GAP}


def _rewinding(race: Race) -> Steps:
    back = race.random.randrange(1, 9)
    yield from race.log.truncate(max(0, race.log.next_index - back))
    yield from race.writes(race.random.randrange(25), retain=1000, least=8)


def _run(steps: Steps) -> None:
    for _ in steps:
        pass


def _filled(entries: int, size: int = 60, capacity: int = 256) -> Race:
    """A quiet log of so many entries; three of them fill a segment by default."""
    race = Race(1)
    race.disk = MemoryDisk()
    race.log = MemoryLog(race.disk, race.random, capacity=capacity)
    for n in range(entries):
        _run(race.log.append(bytes([n]) * size))
        _run(race.log.creating)
    return race


def test_an_entry_in_the_next_segment_is_seen_by_a_cheap_look() -> None:
    """The current one is full: not a byte of it changes."""
    race = _filled(3)
    tail = ShardTail.open(race.disk.open())
    assert [entry.index for entry in tail.poll()] == [0, 1, 2]
    assert not tail.moved()
    _run(race.log.append(b"next" * 15))
    assert tail.moved()
    assert [entry.index for entry in tail.poll()] == [3]
    assert tail.moved()  # the next spare is not there yet
    _run(race.log.creating)
    assert tail.poll() == []
    assert not tail.moved()
    tail.close()


@pytest.mark.parametrize(("back_to", "cause"), [(4, Cause.REWOUND), (3, Cause.REWOUND)])
def test_a_rewind_into_the_segment_before_an_empty_one_is_noticed(
    back_to: int, cause: Cause
) -> None:
    """Nothing of the current segment was read, so its bytes cannot show it."""
    race = _filled(6)
    steps = race.log.append(b"x" * 60)
    while "closed-3" not in race.disk.names():
        next(steps)
    tail = ShardTail.open(race.disk.open())
    assert len(tail.poll()) == 6
    _run(steps)
    _run(race.log.truncate(back_to))
    _run(race.log.append(b"y" * 60))
    with pytest.raises(TailBroken) as broken:
        tail.poll()
    assert broken.value.cause is cause
    assert race.disk.open_handles == 0


def test_removed_segments_that_were_held_are_read() -> None:
    """The spare was filled, closed and removed between two polls."""
    race = _filled(2)
    tail = ShardTail.open(race.disk.open())
    assert len(tail.poll()) == 2
    for _ in range(8):
        _run(race.log.append(b"z" * 60))
        _run(race.log.creating)
    _run(race.log.acknowledge(10))
    assert "closed-3" not in race.disk.names()
    assert [entry.index for entry in tail.poll()] == list(range(2, 10))
    for _ in range(13):
        _run(race.log.append(b"z" * 60))
        _run(race.log.creating)
    _run(race.log.acknowledge(23))
    assert [entry.index for entry in tail.poll()] == [10, 11]  # of the segment that is held
    assert tail.behind
    with pytest.raises(TailBroken) as broken:
        tail.poll()
    assert broken.value.cause is Cause.GAP


def test_segments_that_were_closed_when_a_tail_opened_are_read_once_they_are_removed() -> None:
    """An agent that begins far behind holds them, and Qdrant flushes before its first poll."""
    race = _filled(10)
    tail = ShardTail.open(race.disk.open())
    assert "closed-3" in race.disk.names()
    _run(race.log.acknowledge(9))
    assert "closed-3" not in race.disk.names()
    assert [entry.index for entry in tail.poll()] == list(range(10))
    tail.close()
    assert race.disk.open_handles == 0


def test_a_tail_begins_where_it_is_asked_to() -> None:
    race = _filled(10)
    for first in range(12):
        tail = ShardTail.open(race.disk.open(), first=first)
        assert [entry.index for entry in tail.poll()] == list(range(first, 10))
        assert tail.last == 9
        tail.close()
    _run(race.log.acknowledge(7))
    with pytest.raises(TailBroken) as broken:
        ShardTail.open(race.disk.open(), first=2)
    assert broken.value.cause is Cause.GAP
    tail = ShardTail.open(race.disk.open())
    assert [entry.index for entry in tail.poll()] == [6, 7, 8, 9]
    tail.close()
    assert race.disk.open_handles == 0


def test_a_tail_resumes_where_another_one_stood() -> None:
    race = _filled(4)
    for total in range(4, 14):
        tail = ShardTail.open(race.disk.open())
        tail.poll()
        position = tail.position
        tail.close()
        _run(race.log.append(b"more" * 15))
        resumed = ShardTail.open(race.disk.open(), resume=position)
        assert [entry.index for entry in resumed.poll()] == [total]
        resumed.close()
    tail = ShardTail.open(race.disk.open())
    tail.poll()
    position = tail.position
    tail.close()
    _run(race.log.truncate(tail.last or 0))
    with pytest.raises(TailBroken) as broken:
        ShardTail.open(race.disk.open(), resume=position).poll()
    assert broken.value.cause is Cause.REWOUND


@pytest.mark.parametrize("harm", ["replace", "remove"])
def test_another_directory_breaks_the_tail(harm: str) -> None:
    race = _filled(4)
    tail = ShardTail.open(race.disk.open())
    tail.poll()
    getattr(race.disk, harm)()
    assert tail.moved()
    with pytest.raises(TailBroken) as broken:
        tail.poll()
    assert broken.value.cause is Cause.REPLACED


def test_an_empty_closed_segment_is_not_its_own_successor() -> None:
    """As after a recover: `closed-N` is empty, the open one begins at N, and replaces it later."""
    disk = MemoryDisk()
    disk.create("closed-5", 64)
    disk.write("closed-5", 0, header(1))
    disk.create("open-1", 64)
    disk.write("open-1", 0, header(2))
    tail = ShardTail.open(disk.open())
    assert tail.poll() == []
    assert tail.last == 4
    disk.write("open-1", 8, stored(frame(2, b"five")))
    assert tail.poll() == [WalEntry(5, b"five")]
    disk.unlink("closed-5")
    disk.rename("open-1", "closed-5")
    disk.create("open-2", 64)
    disk.write("open-2", 0, header(3) + stored(frame(3, b"six")))
    assert tail.poll() == [WalEntry(6, b"six")]
    assert tail.confirmed == 5
    tail.close()


def test_a_directory_without_segments_is_an_error_until_there_are_some() -> None:
    """No caller waits for ever: a poll has a bound."""
    disk = MemoryDisk()
    tail = ShardTail.open(disk.open())
    for _ in range(2):
        with pytest.raises(Unavailable):
            tail.poll()
    log = MemoryLog(disk, random.Random(1))
    _run(log.append(b"first"))
    assert tail.poll() == [WalEntry(0, b"first")]
    tail.close()


def test_another_format_breaks_the_tail() -> None:
    disk = MemoryDisk()
    disk.create("open-1", 64)
    disk.write("open-1", 0, b"wal\1seed")
    with pytest.raises(TailBroken) as broken:
        ShardTail.open(disk.open())
    assert broken.value.cause is Cause.FRAMING


def test_an_error_of_the_disk_loses_no_entry_that_was_read() -> None:
    """At each look in turn: what was read before it is given out, and the next poll goes on."""
    for fails_at in range(60):
        race = _filled(9)
        tail = ShardTail.open(race.disk.open())
        left = [fails_at]

        def fail(left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == -1:
                raise Unavailable("the disk failed")

        race.disk.on_read = fail
        read: list[int] = []
        for _ in range(3):
            with contextlib.suppress(Unavailable):
                read += [entry.index for entry in tail.poll()]
        assert read == list(range(9)), fails_at
        tail.close()
        assert race.disk.open_handles == 0
