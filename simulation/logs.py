"""Log of a simulated replica, as Qdrant writes it.

Each operation is one entry, under the next number: `w` a write, `d` a drain, `f` a write that
failed at first. There is one closed segment, empty, whose name says the first number, and one that
is open.
"""

from __future__ import annotations

import json

from cleancut.core.wal.framing import HEADER_BYTES, frame, header, stored
from cleancut.core.wal.segments import FIRST_INDEX
from cleancut.testing.memory_wal import MemoryDisk

_SEED = 7
_OPEN = "open-1"
_ROOM_BYTES = 64
"""Zeros behind the last entry, without which it would not be read."""
ACK_EVERY = 4


class SimLog:
    """The log of one replica. `last`: the number of its newest entry."""

    def __init__(self, first: int) -> None:
        self.disk = MemoryDisk()
        self.begin(first)

    def begin(self, first: int) -> None:
        """Another log is in its place: the shard was recovered, or filled from another replica."""
        self.disk.replace()
        self.last, self._crc, self._at = first - 1, _SEED, HEADER_BYTES
        self._make(f"closed-{first}")
        self._make(_OPEN)

    def append(self, kind: str) -> None:
        entry = frame(self._crc, kind.encode())
        self.disk.write(_OPEN, self._at, stored(entry) + bytes(_ROOM_BYTES))
        self.last, self._crc, self._at = self.last + 1, entry.crc, self._at + entry.size_bytes
        if self.last % ACK_EVERY == 0 and kind != "f":
            self._acknowledge()

    def _acknowledge(self) -> None:
        """All there is has been flushed."""
        said = json.dumps({"ack_index": self.last + 1}).encode()
        if FIRST_INDEX in self.disk.names():
            self.disk.unlink(FIRST_INDEX)
        self.disk.create(FIRST_INDEX)
        self.disk.write(FIRST_INDEX, 0, said)

    def remove(self) -> None:
        """The replica was dropped."""
        self.disk.remove()

    def _make(self, name: str) -> None:
        self.disk.create(name)
        self.disk.write(name, 0, header(_SEED) + bytes(_ROOM_BYTES))
