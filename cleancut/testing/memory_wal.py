"""A directory of WAL segments in memory, and a log that is written there as Qdrant does.

Every effect on the directory is a step, and every reader gives the writer a chance between two of
its own: listings race with renames, reads with writes, opens with removals.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from cleancut.core.primitives.errors import NotFound
from cleancut.core.wal.framing import HEADER_BYTES, frame, frame_bytes, header, stored
from cleancut.core.wal.tail import FileId

_DEVICE = 1
Steps = Iterator[None]


def _nothing() -> None:
    """Between two things that a reader does."""


@dataclass(slots=True)
class _Inode:
    number: int
    data: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class _Directory:
    """`places`: where each name lies in a listing; a rename moves it."""

    number: int
    names: dict[str, _Inode] = field(default_factory=dict)
    places: dict[str, float] = field(default_factory=dict)


class MemoryDisk:
    """Holds one directory at a time; `replace` puts another one in its place.

    `on_read`: called between any two things that a reader does. `open_handles`: files and
    directories that readers have open.
    """

    def __init__(self, seed: int = 0) -> None:
        self.on_read: Callable[[], None] = _nothing
        self.open_handles = 0
        self._random = random.Random(seed)
        self._inodes = 0
        self._directory: _Directory | None = None
        self.replace()

    def open(self) -> MemoryWalDir:
        """Raises: NotFound."""
        if self._directory is None:
            raise NotFound("the directory does not exist", "")
        return MemoryWalDir(self, self._directory)

    def replace(self) -> None:
        self.remove()
        self._directory = _Directory(self._number())

    def remove(self) -> None:
        if self._directory is not None:
            self._directory.names.clear()
        self._directory = None

    @property
    def current(self) -> _Directory | None:
        return self._directory

    def names(self) -> set[str]:
        return set(self._here.names)

    def create(self, name: str, size_bytes: int = 0) -> None:
        self._here.names[name] = _Inode(self._number(), bytearray(size_bytes))
        self._here.places[name] = self._random.random()

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Grows the file where it is too short."""
        content = self._here.names[name].data
        content.extend(bytes(max(0, offset + len(data) - len(content))))
        content[offset : offset + len(data)] = data

    def rename(self, name: str, new: str) -> None:
        self._here.names[new] = self._here.names.pop(name)
        self._here.places[new] = self._random.random()

    def unlink(self, name: str) -> None:
        del self._here.names[name]

    @property
    def _here(self) -> _Directory:
        assert self._directory is not None
        return self._directory

    def _number(self) -> int:
        self._inodes += 1
        return self._inodes


class MemoryWalDir:
    """A `WalDir`."""

    def __init__(self, disk: MemoryDisk, directory: _Directory) -> None:
        self.identity = FileId(_DEVICE, directory.number)
        self._disk, self._directory = disk, directory
        self._closed = False
        disk.open_handles += 1

    def in_place(self) -> bool:
        self._disk.on_read()
        return self._disk.current is self._directory

    def list(self) -> Mapping[str, FileId]:
        found: dict[str, FileId] = {}
        if self._disk.on_read is _nothing:  # then it is all of one moment
            names, places = self._directory.names, self._directory.places
            listed = sorted(names, key=lambda name: (places[name], name))
            return {name: FileId(_DEVICE, names[name].number) for name in listed}
        for name in tuple(self._names()):
            self._disk.on_read()
            inode = self._directory.names.get(name)
            if inode is not None:
                found[name] = FileId(_DEVICE, inode.number)
        return found

    def _names(self) -> Iterator[str]:
        """Reads place after place: what moves meanwhile may be missed, or met twice."""
        at = -1.0
        while True:
            self._disk.on_read()
            here = self._directory
            later = [(here.places[name], name) for name in here.names if here.places[name] > at]
            if not later:
                return
            at, name = min(later)
            yield name

    def open(self, name: str) -> MemoryWalFile | None:
        self._disk.on_read()
        inode = self._directory.names.get(name)
        return None if inode is None else MemoryWalFile(self._disk, inode)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._disk.open_handles -= 1


class MemoryWalFile:
    """A `WalFile`."""

    def __init__(self, disk: MemoryDisk, inode: _Inode) -> None:
        self.identity = FileId(_DEVICE, inode.number)
        self._disk, self._inode = disk, inode
        self._closed = False
        disk.open_handles += 1

    def size_bytes(self) -> int:
        self._disk.on_read()
        return len(self._inode.data)

    def pread(self, length: int, offset: int) -> bytes:
        assert not self._closed
        self._disk.on_read()
        return bytes(self._inode.data[offset : offset + length])

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._disk.open_handles -= 1


@dataclass(slots=True)
class _Written:
    """A segment of `MemoryLog`. `ends`: the offset and crc after each entry, the header first."""

    name: str
    seed: int
    ends: list[tuple[int, int]]

    @property
    def count(self) -> int:
        return len(self.ends) - 1


class MemoryLog:
    """Qdrant's log on a `MemoryDisk`. Each method is an iterator over its steps.

    `entries`: the data under each index, from when its last byte is written; `history`: every
    (index, data) that ever was. `creating`: steps that
    make the next spare, on a thread of their own in Qdrant; they may run between any others.
    Source: lib/wal/src/lib.rs and segment_creator.rs, Qdrant 1.18.3
    """

    def __init__(
        self, disk: MemoryDisk, rng: random.Random, *, capacity: int = 256, ahead: int = 1
    ) -> None:
        self.entries: dict[int, bytes] = {}
        self.history: list[tuple[int, bytes]] = []
        self.creating: Steps = iter(())
        self._disk, self._random, self._capacity, self._ahead = disk, rng, capacity, ahead
        self._closed: list[tuple[int, _Written]] = []
        self._spares: list[_Written] = []
        self._next_place = 1
        for _ in self._create():
            pass
        self._current = self._spares.pop(0)
        self.creating = self._create()

    @property
    def next_index(self) -> int:
        return self._start + self._current.count

    @property
    def _start(self) -> int:
        return self._closed[-1][0] + self._closed[-1][1].count if self._closed else 0

    def append(self, data: bytes) -> Steps:
        size = frame_bytes(len(data))
        if self._current.ends[-1][0] + size > self._capacity and self._current.count:
            yield from self._retire()
        offset, crc = self._current.ends[-1]
        entry, name = frame(crc, data), self._current.name
        raw = stored(entry)
        middle = self._random.randrange(8, len(raw) - 4)
        for start, end in ((0, 8), (8, middle), (middle, len(raw) - 4)):
            self._disk.write(name, offset + start, raw[start:end])
            yield
        self.entries[self.next_index] = data
        self.history.append((self.next_index, data))
        self._disk.write(name, offset + len(raw) - 4, raw[-4:])
        self._current.ends.append((offset + size, entry.crc))
        yield

    def acknowledge(self, until: int, retain: int = 1) -> Steps:
        """Removes closed segments wholly before `until`; the last ones always stay."""
        while len(self._closed) > retain:
            start, segment = self._closed[0]
            if start + segment.count > until:
                return
            self._closed.pop(0)
            self._disk.unlink(segment.name)
            yield

    def truncate(self, index: int) -> Steps:
        """Entries from `index` on are gone; zeros stand where they were."""
        if index < self._start:
            self._zero(self._current, 0)
            yield
            while self._closed and self._closed[-1][0] >= index:
                self._disk.unlink(self._closed.pop()[1].name)
                yield
            if self._closed:
                self._zero(self._closed[-1][1], index - self._closed[-1][0])
        else:
            self._zero(self._current, index - self._start)
        for gone in [known for known in self.entries if known >= index]:
            del self.entries[gone]
        yield

    def _zero(self, segment: _Written, count: int) -> None:
        start, end = segment.ends[min(count, segment.count)][0], segment.ends[-1][0]
        del segment.ends[count + 1 :]
        self._disk.write(segment.name, start, bytes(end - start))

    def _retire(self) -> Steps:
        if not self._spares:
            yield from self.creating
        full, self._current = self._current, self._spares.pop(0)
        self.creating = self._chain(self.creating)
        start = self._start
        if self._closed and not self._closed[-1][1].count:
            self._disk.unlink(self._closed.pop()[1].name)
            yield
        self._disk.rename(full.name, f"closed-{start}")
        full.name = f"closed-{start}"
        self._closed.append((start, full))
        yield

    def _chain(self, before: Steps) -> Steps:
        yield from before
        while len(self._spares) < self._ahead:
            yield from self._create()

    def _create(self) -> Steps:
        name, seed = f"open-{self._next_place}", self._random.getrandbits(32)
        self._next_place += 1
        self._disk.create(f"tmp-{name}", self._capacity)
        yield
        self._disk.write(f"tmp-{name}", 0, header(seed))
        yield
        self._disk.rename(f"tmp-{name}", name)
        self._spares.append(_Written(name, seed, [(HEADER_BYTES, seed)]))
        yield
