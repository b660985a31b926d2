"""A store in a directory, which may be a mount that all nodes share.

Symbolic links below the root are never followed: reading, writing or deleting through one is
refused, and a listing leaves it out, so nothing outside the store is touched.

Written to `.tmp-<random>` beside the target, fsynced, renamed, and the directory fsynced: an object
is whole or absent, also after a power cut. What a writer that was killed has left is noted where a
listing meets it. Foreign errors (OSError) are mapped here.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TypeVar

from cleancut.core.primitives.errors import (
    CleancutError,
    Denied,
    Invalid,
    NotFound,
    Refused,
    Unavailable,
)
from cleancut.ports.store import ObjectInfo
from cleancut.runtime.directories import sync_directory
from cleancut.store.object_paths import check_path, check_prefix, other_bytes

THREADS = 8
MAKE_TRIES = 100
LIST_PART = 1000
MAX_LEFT = 1000
_UNFINISHED = ".tmp-"
T = TypeVar("T")


class FileStore:
    """Keeps each object as one file under `root`. Limits: 8 calls at a time."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._links = _Links(root)
        self._left: set[Path] = set()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="store-file")

    async def put(self, path: str, data: bytes) -> None:
        target = self._root / check_path(path)
        await self._writing(path, lambda: self._put(path, self._links.check(target), data))

    async def replace(self, path: str, data: bytes) -> None:
        target = self._root / check_path(path)
        await self._writing(path, lambda: self._write(self._links.check(target), data))

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        target = self._root / check_path(path)
        return await self._run(path, lambda: _read(self._links.check(target), offset, length))

    async def stat(self, path: str) -> ObjectInfo | None:
        target = self._root / check_path(path)
        return await self._run(path, lambda: _stat(path, self._links.check(target)))

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        directory, _, _ = check_prefix(prefix).rpartition("/")
        await self._run(prefix, lambda: self._links.check(self._root / directory))
        found = _walk(self._root, "", prefix, self._note_left)
        while part := await self._run(prefix, lambda: tuple(islice(found, LIST_PART))):
            for info in part:
                yield info

    async def delete(self, path: str) -> None:
        target = self._root / check_path(path)
        await self._run(path, lambda: self._delete(self._links.check(target)))

    async def folders(self) -> tuple[str, ...]:
        return await self._run("", self._folders)

    async def clock_s(self) -> float | None:
        """By the mtime of a file that is written for it: on a network mount, the server's clock."""
        probe = self._root / f"{_UNFINISHED}{secrets.token_hex(8)}"
        return await self._run(probe.name, lambda: self._probe(probe))

    async def remove_unfinished(self, age_s: float) -> int:
        now_s = await self.clock_s() if self._left else None
        removed = 0
        while now_s is not None and self._left:
            left = self._left.pop()
            before_s = now_s - age_s
            removed += await self._run(left.name, partial(self._remove_left, left, before_s))
        return removed

    async def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, path: str, act: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, act)
        except OSError as error:
            raise _mapped(error, path, self._root) from error

    async def _writing(self, path: str, act: Callable[[], None]) -> None:
        try:
            await self._run(path, act)
        except NotFound as error:
            hint = "look for a file where a directory is needed"
            raise Refused(f"store {self._root} cannot take {path}", hint) from error

    def _put(self, path: str, target: Path, data: bytes) -> None:
        if not _equal(path, target, data):
            self._write(target, data)

    def _write(self, target: Path, data: bytes) -> None:
        temporary = target.parent / f"{_UNFINISHED}{secrets.token_hex(8)}"
        try:
            with self._open_new(temporary) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(target.parent)

    def _note_left(self, left: Path) -> None:
        if len(self._left) < MAX_LEFT:
            self._left.add(left)

    def _remove_left(self, left: Path, before_s: float) -> bool:
        try:
            found = self._links.check(left).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False  # its writer has finished, or another process was here
        old = stat.S_ISREG(found.st_mode) and found.st_mtime < before_s
        if old:
            self._delete(left)
        return old

    def _folders(self) -> tuple[str, ...]:
        with os.scandir(self._root) as entries:
            return tuple(sorted(e.name for e in entries if e.is_dir(follow_symlinks=False)))

    def _probe(self, probe: Path) -> float:
        try:
            with self._open_new(probe) as file:
                return os.fstat(file.fileno()).st_mtime
        finally:
            probe.unlink(missing_ok=True)

    def _open_new(self, file: Path) -> BinaryIO:
        """`file`, made with its directories, which a deletion may remove again meanwhile."""
        for tries_left in reversed(range(MAKE_TRIES)):
            try:
                self._make_directories(file.parent)
                return file.open("xb")
            except FileNotFoundError:
                if not tries_left:
                    raise
        raise AssertionError("left by the loop")

    def _delete(self, target: Path) -> None:
        """With the directories that it leaves empty, but for the root."""
        target.unlink(missing_ok=True)
        for directory in target.parents:
            if directory == self._root:
                return
            try:
                directory.rmdir()
            except OSError:
                return  # something is in it, or it is gone

    def _make_directories(self, directory: Path) -> None:
        """Makes what is missing from the root downwards; the root's own parent must exist, so
        that a disk that is not mounted is not written to."""
        if directory.is_dir():
            return
        if directory != self._root:
            self._make_directories(directory.parent)
        with suppress(FileExistsError):  # by another writer; a deletion may remove it already
            directory.mkdir()
        sync_directory(directory.parent)


class _Links:
    """Guard against symbolic links below `root`, which may be one itself."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def check(self, target: Path) -> Path:
        """`target`. Raises: Refused, if it is a link or lies behind one."""
        place = self._root
        for part in target.relative_to(self._root).parts:
            place = place / part
            try:
                if stat.S_ISLNK(place.lstat().st_mode):
                    raise Refused(
                        f"{place} is a symbolic link, and store {self._root} follows none",
                        "move what it points to into the store, or remove the link",
                    )
            except (FileNotFoundError, NotADirectoryError):
                break  # nothing is there, so nothing is behind it
        return target


def _equal(path: str, target: Path, data: bytes) -> bool:
    """Whether the object is there already. Raises: Refused, if with other bytes."""
    try:
        same = target.lstat().st_size == len(data)
        known = _read(target, 0, None) if same else None
    except FileNotFoundError:
        return False
    if known != data:
        raise other_bytes(path)
    return True


def _read(target: Path, offset: int, length: int | None) -> bytes:
    with os.fdopen(os.open(target, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        there = max(0, os.fstat(file.fileno()).st_size - offset)
        file.seek(offset)
        return file.read(there if length is None else min(length, there))  # no room to give back


def _stat(path: str, target: Path) -> ObjectInfo | None:
    try:
        found = target.lstat()
        return ObjectInfo(path, found.st_size) if stat.S_ISREG(found.st_mode) else None
    except (FileNotFoundError, NotADirectoryError):
        return None


def _walk(
    directory: Path, base: str, prefix: str, note_left: Callable[[Path], None]
) -> Iterator[ObjectInfo]:
    """Files whose path starts with `prefix`, in the order of their whole paths, which is not
    that of their directories (`a-b` comes before `a/b`). `note_left`: called for unfinished ones.
    """
    try:
        with os.scandir(directory) as entries:
            found = [
                (base + e.name + ("/" if e.is_dir(follow_symlinks=False) else ""), e)
                for e in entries
                if not e.is_symlink()
            ]
    except FileNotFoundError:
        return
    for path, entry in sorted(found, key=lambda item: item[0]):
        if entry.name.startswith(_UNFINISHED):
            note_left(directory / entry.name)
            continue
        if path.endswith("/"):
            if path.startswith(prefix) or prefix.startswith(path):
                yield from _walk(directory / entry.name, path, prefix, note_left)
        elif path.startswith(prefix):
            try:
                yield ObjectInfo(path, entry.stat(follow_symlinks=False).st_size)
            except FileNotFoundError:
                continue


def _mapped(error: OSError, path: str, root: Path) -> CleancutError:
    match error.errno:
        case errno.ENOENT | errno.EISDIR | errno.ENOTDIR if root.is_dir():
            return NotFound(f"the store has no {path}", path=path)
        case errno.ENOENT if root.parent.is_dir():
            return NotFound(f"the store has no {path}: {root} does not exist yet", path=path)
        case errno.ENOENT | errno.ENOTDIR:
            return Refused(f"store {root} is not a directory", "is the disk mounted there?")
        case errno.ELOOP:
            return Refused(f"{path} in store {root} is a symbolic link", "remove the link")
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return Refused(f"no space left in store {root}", "free some, or use another store")
        case errno.EROFS:
            return Refused(f"store {root} is mounted read-only", "mount it for writing")
        case errno.EACCES | errno.EPERM:
            return Denied(f"no permission for {path} in store {root}", "chown it to this user")
        case errno.ENAMETOOLONG:
            return Invalid(f"{path} cannot be an object of store {root}: {error.strerror}")
        case _:
            return Unavailable(f"store {root} fails at {path}: {error.strerror or error}")
