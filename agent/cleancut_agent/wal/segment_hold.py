"""Hold of segments: those of all logs are open from the first moment of a process on.

Loading the rest of a program, and the wait for etcd, may take longer than Qdrant keeps small
segments; a file that is open stays readable. Standard library alone, since nothing is loaded yet.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_EVERY_S = 0.3
_LIFE_S = 60.0
"""Disk space of removed segments is free again after this at the latest."""
_PER_LOG = 64
_FILES_LEFT = 4
"""Of the files that a process may open, this part is held at most."""

Id = tuple[int, int]
"""Device and inode."""


@dataclass(slots=True)
class _Held:
    """`name`: the last one that was seen."""

    name: str
    handle: int


class SegmentHold:
    """Of one data directory. Any thread may call. Limits: of each log as many segments, for as long
    a time, as the constants above say."""

    def __init__(self, storage: Path, most: int) -> None:
        self._storage, self._most = storage, most
        self._lock, self._over = threading.Lock(), threading.Event()
        self._held: dict[Id, dict[Id, _Held]] = {}

    def start(self) -> None:
        """Looks now, and then again and again in a thread, until it is let go of."""
        self.look()
        threading.Thread(target=self._run, name="segments", daemon=True).start()

    def look(self) -> None:
        """Holds what is new, and notes the names of what is held."""
        with self._lock:
            if self._over.is_set():
                return
            for log in self._storage.glob("collections/*/[0-9]*/wal"):
                with contextlib.suppress(OSError):  # removed meanwhile
                    self._look_at(log)

    def closed(self, log: Id) -> list[tuple[str, Id]]:
        """Segments of a log that are held, those that were seen closed."""
        with self._lock:
            held = self._held.get(log, {})
            return [(one.name, id) for id, one in held.items() if one.name.startswith("closed-")]

    def open(self, log: Id, name: str) -> int | None:
        """A handle of the caller's own; None: it is not held."""
        with self._lock:
            found = (one for one in self._held.get(log, {}).values() if one.name == name)
            one = next(found, None)
            return None if one is None else os.dup(one.handle)

    def release(self) -> None:
        """Order: once all logs are open that are to be read on; repeatable."""
        with self._lock:
            self._over.set()
            for held in self._held.values():
                for one in held.values():
                    os.close(one.handle)
            self._held.clear()

    def _run(self) -> None:
        for _ in range(round(_LIFE_S / _EVERY_S)):
            if self._over.wait(_EVERY_S):
                return
            self.look()
        self.release()

    def _look_at(self, log: Path) -> None:
        directory = os.open(log, os.O_RDONLY | os.O_DIRECTORY)
        try:
            held = self._held.setdefault(_id(os.fstat(directory)), {})
            for name in _segments(os.listdir(directory)):
                id = _id(os.stat(name, dir_fd=directory, follow_symlinks=False))
                if id in held:
                    held[id].name = name
                elif len(held) < _PER_LOG and sum(map(len, self._held.values())) < self._most:
                    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory)
                    held[_id(os.fstat(handle))] = _Held(name, handle)
        finally:
            os.close(directory)


def _segments(names: list[str]) -> Iterator[str]:
    """Segments by age, since the oldest ones are removed first."""
    for prefix in ("closed-", "open-"):
        found = [name for name in names if name.startswith(prefix)]
        yield from sorted(found, key=lambda name: (len(name), name))


def _id(status: os.stat_result) -> Id:
    return status.st_dev, status.st_ino


_of_process: list[SegmentHold] = []


def hold_segments(storage: Path, files: int) -> None:
    """Begins to hold, for this process. `files`: how many it may open."""
    hold = SegmentHold(storage, files // _FILES_LEFT)
    hold.start()
    _of_process.append(hold)


def held_segments() -> SegmentHold | None:
    """What this process holds from its start on; None: nothing."""
    return _of_process[0] if _of_process else None
