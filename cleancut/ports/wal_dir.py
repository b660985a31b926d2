"""Port of the directory in which a shard's write-ahead log lies, next to a process that writes it.

Synchronous: reads come from the page cache. Called from a thread where many are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from cleancut.core.wal.gate import WalFacts
from cleancut.core.wal.tail import FileId


class WalFile(Protocol):
    """A file held open: readable whatever becomes of its name. Raises: Unavailable."""

    @property
    def identity(self) -> FileId: ...

    def size_bytes(self) -> int: ...

    def pread(self, length: int, offset: int) -> bytes:
        """Short only at the file's end."""
        ...

    def close(self) -> None:
        """Order: repeatable."""
        ...


class WalDir(Protocol):
    """One directory, held from its opening on, so that another one under its path is noticed.

    Raises: Unavailable.
    """

    @property
    def identity(self) -> FileId: ...

    def in_place(self) -> bool:
        """Whether the path still leads to this directory."""
        ...

    def list(self) -> Mapping[str, FileId]:
        """Names and what they stood for after all names were read.

        A name that was there all the while is in it; one renamed meanwhile may be missing.
        """
        ...

    def open(self, name: str) -> WalFile | None:
        """None: there is no such file any more."""
        ...

    def close(self) -> None:
        """Order: repeatable; files opened from it stay open."""
        ...


class WalStorage(Protocol):
    """The data directory of the local peer, with the logs of its shards."""

    def facts(self) -> WalFacts:
        """What stands for or against reading it; never an error."""
        ...

    def open(self, collection: str, shard_id: int) -> WalDir:
        """Raises: NotFound, if this peer has no log of that shard; Unavailable."""
        ...
