"""Handles: how many files may be open at once for direct captures, over all shards of an agent."""

from __future__ import annotations

import resource
import threading

_SHARE = 4
_AT_MOST = 16384


class Handles:
    """A count of free handles. Any thread may call."""

    def __init__(self, limit: int) -> None:
        self.free = limit
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Whether one was free; it is the caller's then."""
        with self._lock:
            if not self.free:
                return False
            self.free -= 1
            return True

    def give(self) -> None:
        with self._lock:
            self.free += 1


def handles_of_process() -> Handles:
    """A quarter of the files that this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Handles(_AT_MOST if soft < 0 else min(_AT_MOST, soft // _SHARE))
