"""Handles: how many files may be open at once for direct captures, over all shards of an agent."""

from __future__ import annotations

import contextlib
import resource
import threading

_SHARE = 4
_AT_MOST = 16384
_FILES = 65536


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


def raise_file_limit() -> int:
    """How many files this process may open from now on: all that it may ask for, up to a bound.

    The usual limit of 1,024 is for programs that call select(2).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def handles_of_process() -> Handles:
    """A quarter of the files that this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Handles(_AT_MOST if soft < 0 else min(_AT_MOST, soft // _SHARE))
