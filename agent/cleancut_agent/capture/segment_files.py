"""Files of a shard's segments on this machine's disk: which of them a request may leave out.

Synchronous: call it from a thread; a thousand clean files take tens of milliseconds.
Order: `warm` some seconds before the cut, `select` just before the request; then what `Selection`
    says.
Source: D19
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cleancut.core.capture.gate import mount_gate
from cleancut.core.capture.proof import (
    APPENDABLE_PREFIX,
    Choice,
    FileState,
    Way,
    classify,
    unfit,
)
from cleancut.core.capture.request import leave_out
from cleancut.core.primitives.errors import NotFound, Refused, Unavailable
from cleancut_agent.capture.handles import Handles
from cleancut_agent.capture.mounts import mount_of
from cleancut_agent.capture.selection import OpenFile, Selection, state_of
from cleancut_agent.capture.write_back import write_back

MAX_FILES = 200_000
"""Of one shard. What is beyond that is streamed."""
_MAX_DEPTH = 16
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


def segments_path(storage: Path, collection: str, shard_id: int) -> Path:
    """Source: lib/collection/src/shards/local_shard/mod.rs, Qdrant 1.18.3"""
    return storage / "collections" / collection / str(shard_id) / "segments"


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A file that its name and size do not rule out. `worth_bytes`: see `FileState`."""

    path: str
    appendable: bool
    worth_bytes: int


class SegmentFiles:
    """The segment files of one shard. `mount`: where they lie."""

    def __init__(self, directory: Path, handles: Handles) -> None:
        """Raises: NotFound, if there is no such directory; Refused, if nothing is proven on its
        mount; Unavailable."""
        self._path, self._handles = directory, handles
        try:
            self._root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(f"{directory} does not exist", "is the shard on this peer?") from error
        except OSError as error:
            raise _unavailable(directory, error) from error
        self._closed = False
        self.mount = mount_of(self._root)
        problem = mount_gate(self.mount)
        if problem:
            self.close()
            raise Refused(problem, "the shard is captured by Qdrant's stream")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm(self) -> int:
        """Writes back what is dirty now, so that files that are written to show it by their times
        before the request; how many files were looked at. Raises: Unavailable."""
        found = self._candidates()
        for candidate in found:
            with contextlib.suppress(OSError):
                handle = _open_beneath(self._root, candidate.path)
                try:
                    write_back(handle)
                finally:
                    os.close(handle)
        return len(found)

    def select(self, recorded: Mapping[str, FileState], now_ns: int | None = None) -> Selection:
        """The files that are left out of a request that begins now. `recorded`: see
        `cleancut.core.capture.evidence`; `now_ns`: None is the wall clock's.

        Raises: Unavailable.
        """
        now_ns = time.time_ns() if now_ns is None else now_ns
        found = self._candidates()
        fit = leave_out({one.path: one.worth_bytes for one in found}).files
        selection = Selection(self._path, self._handles)
        try:
            for candidate in sorted(found, key=lambda one: -one.worth_bytes):
                if candidate.path in fit:
                    self._choose(candidate, recorded.get(candidate.path), now_ns, selection)
                else:
                    selection.streamed["the request would be too long"] += 1
            return selection
        except BaseException:
            selection.close()
            raise

    def close(self) -> None:
        """Order: repeatable; selections stay open."""
        if not self._closed:
            self._closed = True
            os.close(self._root)

    def _choose(
        self, one: _Candidate, recorded: FileState | None, now_ns: int, selection: Selection
    ) -> None:
        """Puts the file into the selection, or counts why not."""
        try:
            handle = _open_beneath(self._root, one.path)
        except OSError as error:
            selection.streamed[f"cannot be opened: {error.strerror}"] += 1
            return
        held = False
        try:
            choice, status = _look(handle, one, recorded, now_ns)
            if choice.way is Way.KEEP:
                selection.keep(one.path, state_of(status))
            elif choice.way is Way.DIRECT:
                held = selection.hold(OpenFile(one.path, handle, status, state_of(status)))
                if not held:
                    selection.streamed["too many files are open"] += 1
            else:
                selection.streamed[choice.reason] += 1
        except OSError as error:
            selection.streamed[f"cannot be written back: {error.strerror}"] += 1
        finally:
            if not held:
                os.close(handle)

    def _candidates(self) -> list[_Candidate]:
        """Raises: Unavailable."""
        found: list[_Candidate] = []
        try:
            with os.scandir(self._root) as listing:
                segments = [one.name for one in listing if one.is_dir(follow_symlinks=False)]
            for segment in sorted(filter(_is_text, segments)):
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    handle = os.open(segment, _DIRECTORY, dir_fd=self._root)
                    try:
                        found += _in_segment(segment, handle)
                    finally:
                        os.close(handle)
        except OSError as error:
            raise _unavailable(self._path, error) from error
        return found[:MAX_FILES]


def _look(
    handle: int, one: _Candidate, recorded: FileState | None, now_ns: int
) -> tuple[Choice, os.stat_result]:
    """The way of an open file. Raises: OSError."""
    before = os.fstat(handle)
    if not stat.S_ISREG(before.st_mode):
        return Choice(Way.STREAM, "not a regular file"), before
    write_back(handle)
    after = os.fstat(handle)
    choice = classify(
        one.path,
        state_of(before),
        state_of(after),
        now_ns=now_ns,
        appendable=one.appendable,
        recorded=recorded,
    )
    return choice, after


def _in_segment(segment: str, handle: int) -> list[_Candidate]:
    """Candidates of one segment; those that vanish meanwhile are none. Raises: OSError."""
    names = list(_walk(handle, "", 0))
    appendable = any(path.rsplit("/", 1)[-1].startswith(APPENDABLE_PREFIX) for path, _ in names)
    return [
        _Candidate(f"{segment}/{path}", appendable, worth_bytes)
        for path, worth_bytes in names
        if not unfit(path, worth_bytes, appendable=appendable)
    ]


def _walk(directory: int, below: str, depth: int) -> Iterator[tuple[str, int]]:
    """Paths of regular files and what each saves. No symbolic link is followed."""
    with os.scandir(directory) as listing:
        entries = list(listing)
    for entry in entries:
        if not _is_text(entry.name):
            continue
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                yield below + entry.name, state_of(status).worth_bytes
            elif entry.is_dir(follow_symlinks=False) and depth < _MAX_DEPTH:
                handle = os.open(entry.name, _DIRECTORY, dir_fd=directory)
                try:
                    yield from _walk(handle, f"{below}{entry.name}/", depth + 1)
                finally:
                    os.close(handle)


def _is_text(name: str) -> bool:
    """Whether a name can stand in a request."""
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _open_beneath(root: int, path: str) -> int:
    """The file at `path` without following any symbolic link. Raises: OSError."""
    *directories, name = path.split("/")
    at, opened = root, -1
    try:
        for directory in directories:
            at = os.open(directory, _DIRECTORY, dir_fd=at)
            if opened >= 0:
                os.close(opened)
            opened = at
        return os.open(name, _FILE, dir_fd=at)
    finally:
        if opened >= 0:
            os.close(opened)


def _unavailable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(
        f"cannot read {path}: {error.strerror}",
        "the agent needs to read Qdrant's storage: mount it, and give it the same user or group",
    )
