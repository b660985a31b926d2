"""The journal that peers on one machine agree through: entries in one file, in one order.

One JSON object a line. A line without its end was never written: the next writer cuts it off.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from cleancut.engine.config import Json
from cleancut_devcluster.peer.engine.errors import service_error

_RETRY_S = 0.003


class ProposalJournal:
    """One process' view of the file: what it has read so far, and the right to add to it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._offset = 0

    def close(self) -> None:
        os.close(self._file)

    def read_new(self) -> list[Json]:
        """Whole entries that were added since the last call, by anyone."""
        size = os.fstat(self._file).st_size
        if size <= self._offset:
            return []
        data = os.pread(self._file, size - self._offset, self._offset)
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [msgspec.json.decode(line) for line in whole.splitlines()]

    @asynccontextmanager
    async def exclusive(self, timeout_s: float) -> AsyncIterator[None]:
        """No other process adds an entry inside the block.

        Raises: Problem 500, if another process keeps the right for the whole time.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not self._try_lock():
            if asyncio.get_running_loop().time() > deadline:
                raise service_error("Waiting for consensus operation commit failed. Timeout set")
            await asyncio.sleep(_RETRY_S)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _try_lock(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def append(self, entry: Json) -> None:
        """The entry is on disk. Order: inside `exclusive`, after `read_new`."""
        os.ftruncate(self._file, self._offset)
        line = msgspec.json.encode(entry) + b"\n"
        os.pwrite(self._file, line, self._offset)
        os.fdatasync(self._file)
