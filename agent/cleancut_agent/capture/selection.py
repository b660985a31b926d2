"""Selection: the files that one request leaves out, held until they are read and proven."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cleancut.core.capture.proof import FileState, difference
from cleancut.core.capture.request import leave_out
from cleancut_agent.capture.handles import Handles


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file that is read from the disk, whatever becomes of its name. `state`: before the cut."""

    path: str
    handle: int
    status: os.stat_result
    state: FileState


class Selection:
    """What one request leaves out. Paths are `<segment>/<relative>`.

    `kept`: as in the parent's capture. `direct`: to be read. `streamed`: how many files are not
    left out, for which reasons; files that are small or always streamed are not counted.
    Order: `check` at the first byte of the answer; for each direct file, `finish` when it is read
        (or one more `check` when all are); `close` in the end.
    """

    def __init__(self, directory: Path, handles: Handles) -> None:
        self.kept: dict[str, FileState] = {}
        self.direct: dict[str, OpenFile] = {}
        self.streamed: Counter[str] = Counter()
        self._directory, self._handles = directory, handles
        self._unproven: dict[str, str] = {}
        self._confirmed: set[str] = set()
        self._open: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def keep(self, path: str, state: FileState) -> None:
        self.kept[path] = state

    def hold(self, file: OpenFile) -> bool:
        """Whether there was a handle left for it; if so, the selection closes the file."""
        if not self._handles.take():
            return False
        self.direct[file.path] = file
        self._open.add(file.path)
        return True

    def leave(self, path: str) -> None:
        """The file is streamed after all. Order: before the request."""
        self.kept.pop(path, None)
        if path in self._open:
            self._close(path)
            del self.direct[path]

    def body(self) -> bytes:
        """The request for all but these files. Shape: JSON."""
        worth = {path: state.worth_bytes for path, state in self.kept.items()}
        worth |= {path: file.state.worth_bytes for path, file in self.direct.items()}
        return leave_out(worth).body

    def check(self) -> dict[str, str]:
        """The files that are not proven to be at the cut as they were selected, and why not.

        A kept file is settled by one check since the cut. A direct one is confirmed by it, so that
        its name does not matter from then on; its bytes are proven by a check after the reading.
        """
        for path, state in self.kept.items():
            if path not in self._confirmed:
                self._judge(path, state, None)
        for path in sorted(self._open):
            self._judge(path, self.direct[path].state, self.direct[path].handle)
        return dict(self._unproven)

    def finish(self, path: str) -> str:
        """Why the bytes read from the direct file are not proven; empty: they are. Closes it."""
        if path in self._open:
            self._judge(path, self.direct[path].state, self.direct[path].handle)
            self._close(path)
        return self._unproven.get(path, "")

    def reject(self, path: str, reason: str) -> None:
        """Counts a file as not proven for another reason: a read that came short."""
        self._unproven.setdefault(path, reason)

    def proven(self) -> dict[str, FileState]:
        """The states of all files that are proven so far: evidence for the next capture."""
        states = self.kept | {path: file.state for path, file in self.direct.items()}
        return {
            path: state
            for path, state in states.items()
            if path in self._confirmed and path not in self._unproven
        }

    def close(self) -> None:
        """Order: repeatable."""
        for path in list(self._open):
            self._close(path)

    def _judge(self, path: str, state: FileState, handle: int | None) -> None:
        if path in self._unproven:
            return
        confirmed = path in self._confirmed
        named = None if confirmed else _state_at(self._directory / path)
        later = named if handle is None else state_of(os.fstat(handle))
        at_path = named.identity if named else None
        reason = difference(state, later, at_path=at_path, confirmed=confirmed)
        if reason:
            self._unproven[path] = reason
        else:
            self._confirmed.add(path)

    def _close(self, path: str) -> None:
        self._open.discard(path)
        os.close(self.direct[path].handle)
        self._handles.give()


def state_of(status: os.stat_result) -> FileState:
    return FileState(
        device=status.st_dev,
        inode=status.st_ino,
        size_bytes=status.st_size,
        allocated_bytes=status.st_blocks * 512,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
        links=status.st_nlink,
    )


def _state_at(path: Path) -> FileState | None:
    """What the path leads to now, without following a link at its end; None: nothing."""
    try:
        return state_of(os.stat(path, follow_symlinks=False))
    except OSError:
        return None
