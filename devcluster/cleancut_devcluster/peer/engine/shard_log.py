"""Log of a shard on disk, in the files and the format of Qdrant.

Source: lib/wal/src/lib.rs, lib/shard/src/wal.rs, Qdrant 1.18.3
"""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from cleancut.core.primitives.errors import Corrupt
from cleancut.core.wal.framing import (
    HEADER_BYTES,
    frame,
    frame_bytes,
    header,
    parse_entries,
    seed_of,
    stored,
)
from cleancut.core.wal.segments import FIRST_INDEX, acknowledged_in, closed_at, open_as
from cleancut.engine.tar_format import extents
from cleancut_devcluster.peer.engine.errors import service_error

CAPACITY_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class LogPlace:
    """`segment_bytes`: of its files; 0: as the collection's configuration says."""

    directory: Path
    segment_bytes: int = 0


@dataclass(slots=True)
class _Segment:
    """`ends`: the offset and crc after each entry, the header first."""

    path: Path
    ends: list[tuple[int, int]]

    @property
    def count(self) -> int:
        return len(self.ends) - 1

    def write(self, data: bytes, offset: int) -> None:
        with self.path.open("r+b") as file:
            os.pwrite(file.fileno(), data, offset)

    def rename(self, name: str) -> None:
        self.path = self.path.rename(self.path.with_name(name))


def _opened(path: Path) -> _Segment:
    """What is readable of it: all up to the first entry that does not fit. Raises: Problem 500."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        written = extents(file.fileno(), size)
        data = os.pread(file.fileno(), sum(written[-1]) if written else HEADER_BYTES, 0)
    try:
        seed = seed_of(data)
    except Corrupt as error:
        raise service_error(f"Can't init WAL: {error.message}") from error
    parsed = parse_entries(data[HEADER_BYTES:], seed, size - HEADER_BYTES)
    ends = [(HEADER_BYTES, seed)]
    for entry in parsed.frames:
        ends.append((ends[-1][0] + entry.size_bytes, entry.crc))
    return _Segment(path, ends)


@dataclass(slots=True)
class ShardLog:
    """The log in `directory`. Entries are on disk when a call returns; spares are made late, as by
    a thread of their own."""

    directory: Path
    capacity: int = CAPACITY_BYTES
    retain: int = 1
    _closed: list[tuple[int, _Segment]] = field(default_factory=list)
    _spares: list[_Segment] = field(default_factory=list)
    _acknowledged: int | None = None
    _place: int = 1

    def __post_init__(self) -> None:
        """Raises: Problem 500, for a hole between files or another format."""
        self.directory.mkdir(parents=True, exist_ok=True)
        names = os.listdir(self.directory)
        starts = sorted((n, name) for name in names if (n := closed_at(name)) is not None)
        places = sorted((n, name) for name in names if (n := open_as(name)) is not None)
        self._closed = [(n, _opened(self.directory / name)) for n, name in starts]
        for (start, segment), (later, _) in zip(self._closed, self._closed[1:], strict=False):
            if start + segment.count != later:
                missing = f"missing segment(s) containing wal entries {start + segment.count}"
                raise service_error(f"Can't init WAL: {missing} to {later}")
        self._spares = [_opened(self.directory / name) for _, name in places]
        self._place = places[-1][0] + 1 if places else 1
        while len(self._spares) > 1 and self._spares[1].count:  # a rename that was not durable
            self._close_current()
        self._make_spares(1 if self._spares else 2)
        first = self.directory / FIRST_INDEX
        self._acknowledged = acknowledged_in(first.read_bytes()) if first.exists() else None

    @property
    def first_index(self) -> int:
        return self._closed[0][0] if self._closed else 0

    @property
    def next_index(self) -> int:
        return self._start + self._spares[0].count

    @property
    def last_index(self) -> int:
        """Of an empty log: where it begins, as Qdrant says it."""
        return max(self.first_index, self.next_index - 1)

    @property
    def _start(self) -> int:
        return self._closed[-1][0] + self._closed[-1][1].count if self._closed else 0

    def append(self, data: bytes) -> int:
        """The index of the new entry."""
        current, size = self._spares[0], frame_bytes(len(data))
        if current.ends[-1][0] + size > self.capacity and current.count:
            self._make_spares(2)
            self._close_current()
            current = self._spares[0]
        elif len(self._spares) < 2:
            self._make_spares(2)
        offset, crc = current.ends[-1]
        entry = frame(crc, data)
        raw = stored(entry)
        current.write(raw[:-4], offset)
        current.write(raw[-4:], offset + len(raw) - 4)
        current.ends.append((offset + size, entry.crc))
        return self.next_index - 1

    def acknowledge(self, until: int) -> None:
        """What is before `until` is needed no more; the last closed segments stay."""
        while len(self._closed) > self.retain:
            start, segment = self._closed[0]
            if start + segment.count > until:
                break
            self._closed.pop(0)
            segment.path.unlink()
        least = self.first_index if self._acknowledged is None else self._acknowledged
        new = min(max(until, least), self.last_index)
        if new != self._acknowledged:
            self._acknowledged = new
            path = self.directory / f"{FIRST_INDEX}.new"
            path.write_bytes(msgspec.json.encode({"ack_index": new}))
            path.replace(self.directory / FIRST_INDEX)

    def truncate(self, index: int) -> None:
        """Entries from `index` on are gone; zeros stand where they were."""
        if index >= self._start:
            _zero(self._spares[0], index - self._start)
            return
        _zero(self._spares[0], 0)
        while self._closed and self._closed[-1][0] >= index:
            self._closed.pop()[1].path.unlink()
        if self._closed:
            _zero(self._closed[-1][1], index - self._closed[-1][0])

    def _close_current(self) -> None:
        start, full = self._start, self._spares.pop(0)
        if self._closed and not self._closed[-1][1].count:
            self._closed.pop()[1].path.unlink()
        full.rename(f"closed-{start}")
        self._closed.append((start, full))

    def _make_spares(self, count: int) -> None:
        while len(self._spares) < count:
            seed, path = secrets.randbits(32), self.directory / f"open-{self._place}"
            unfinished = path.with_name(f"tmp-{path.name}")
            with unfinished.open("wb") as file:
                file.truncate(max(self.capacity, HEADER_BYTES))
                os.pwrite(file.fileno(), header(seed), 0)
            unfinished.rename(path)
            self._spares.append(_Segment(path, [(HEADER_BYTES, seed)]))
            self._place += 1


def _zero(segment: _Segment, count: int) -> None:
    start, end = segment.ends[min(count, segment.count)][0], segment.ends[-1][0]
    del segment.ends[count + 1 :]
    segment.write(bytes(end - start), start)


def empty_log(directory: Path, index: int) -> None:
    """A log without an entry that continues at `index`."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    write_empty_segment(directory / f"closed-{index}")


def write_empty_segment(path: Path, size_bytes: int = 64) -> None:
    with path.open("wb") as file:
        file.write(header(secrets.randbits(32)))
        file.truncate(size_bytes)


def end_of(directory: Path) -> int:
    """The index of the next entry in a log that another one writes. Raises: Problem 500."""
    names = os.listdir(directory)
    starts = sorted((n, name) for name in names if (n := closed_at(name)) is not None)
    places = sorted((n, name) for name in names if (n := open_as(name)) is not None)
    end = 0
    if starts:
        end = starts[-1][0] + _opened(directory / starts[-1][1]).count
    return end + sum(_opened(directory / name).count for _, name in places[:1])
