"""Directory of a shard's log on this machine's disk. Reads only, and takes no lock of Qdrant's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from cleancut.core.primitives.errors import NotFound, Unavailable
from cleancut.core.wal.tail import FileId


def wal_path(storage: Path, collection: str, shard_id: int) -> Path:
    """Source: lib/collection/src/shards/local_shard/mod.rs, Qdrant 1.18.3"""
    return storage / "collections" / collection / str(shard_id) / "wal"


class LocalWalDir:
    """A `WalDir` on the local disk."""

    def __init__(self, path: Path) -> None:
        """Raises: NotFound, if there is no such directory; Unavailable."""
        self._path = path
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
        return found

    def open(self, name: str) -> LocalWalFile | None:
        flags = os.O_RDONLY | os.O_NOFOLLOW
        with _mapped(self._path):
            try:
                return LocalWalFile(os.open(name, flags, dir_fd=self._handle), self._path / name)
            except FileNotFoundError:
                return None

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
