"""Directory of a shard's log on this machine's disk. Reads only, and takes no lock of Qdrant's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from cleancut.core.primitives.errors import NotFound, Unavailable
from cleancut.core.wal.segments import closed_at
from cleancut.core.wal.tail import FileId
from cleancut_agent.wal.segment_hold import SegmentHold


def wal_path(storage: Path, collection: str, shard_id: int) -> Path:
    """Source: lib/collection/src/shards/local_shard/mod.rs, Qdrant 1.18.3"""
    return storage / "collections" / collection / str(shard_id) / "wal"


class LocalWalDir:
    """A `WalDir` on the local disk. `hold`: segments that it lists although they are removed, those
    before all that are there: Qdrant removes the oldest ones, unless it drops entries."""

    def __init__(self, path: Path, hold: SegmentHold | None = None) -> None:
        """Raises: NotFound, if there is no such directory; Unavailable."""
        self._path, self._hold = path, hold
        with _mapped(path):
            self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self._closed = False
        self.identity = _id(os.fstat(self._handle))

    def in_place(self) -> bool:
        try:
            return _id(os.stat(self._path)) == self.identity
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise _unavailable(self._path, error) from error

    def list(self) -> Mapping[str, FileId]:
        found: dict[str, FileId] = {}
        with _mapped(self._path), contextlib.suppress(FileNotFoundError):  # a removed directory
            for name in os.listdir(self._handle):
                with contextlib.suppress(FileNotFoundError):
                    found[name] = _id(os.stat(name, dir_fd=self._handle, follow_symlinks=False))
        return self._removed(found) | found

    def _removed(self, there: Mapping[str, FileId]) -> dict[str, FileId]:
        starts = [n for name in there if (n := closed_at(name)) is not None]
        if self._hold is None or not starts:
            return {}
        held = ((name, FileId(*id)) for name, id in self._hold.closed(self._own))
        ids, oldest = {*there.values()}, min(starts)
        return {name: id for name, id in held if id not in ids and (closed_at(name) or 0) < oldest}

    @property
    def _own(self) -> tuple[int, int]:
        return self.identity.device, self.identity.inode

    def open(self, name: str) -> LocalWalFile | None:
        flags = os.O_RDONLY | os.O_NOFOLLOW
        with _mapped(self._path):
            try:
                return LocalWalFile(os.open(name, flags, dir_fd=self._handle), self._path / name)
            except FileNotFoundError:
                held = self._hold.open(self._own, name) if self._hold else None
                return LocalWalFile(held, self._path / name) if held is not None else None

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            os.close(self._handle)


class LocalWalFile:
    """A `WalFile` on the local disk."""

    def __init__(self, handle: int, path: Path) -> None:
        self._handle, self._path, self._closed = handle, path, False
        self.identity = _id(os.fstat(handle))

    def size_bytes(self) -> int:
        with _mapped(self._path):
            return os.fstat(self._handle).st_size

    def pread(self, length: int, offset: int) -> bytes:
        with _mapped(self._path):
            return os.pread(self._handle, length, offset)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            os.close(self._handle)


def _id(status: os.stat_result) -> FileId:
    return FileId(status.st_dev, status.st_ino)


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[None]:
    """The errors of the disk as ours."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"{path} does not exist", "is the shard on this peer?") from error
    except OSError as error:
        raise _unavailable(path, error) from error


def _unavailable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(
        f"cannot read {path}: {error.strerror}",
        "the agent needs to read Qdrant's storage: mount it, and give it the same user or group",
    )
