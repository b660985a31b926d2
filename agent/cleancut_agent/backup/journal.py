"""Journal of an agent: the finished capture of an epoch, kept over restarts."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cleancut.core.primitives.codec import Record, decode, encode
from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import Epoch
from cleancut.runtime.directories import sync_directory


@contextmanager
def own_directory(directory: Path) -> Iterator[None]:
    """Creates and locks the agent's directory: one agent process works in it at a time. What it
    spills there is readable, so no other user may look into it.

    Raises: Refused, if it cannot be made, or another process holds it.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (directory / "lock").open("w")
    except OSError as error:
        raise Refused(f"cannot use {directory}: {error}", "check --spill-dir") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Refused(
                f"another agent works in {directory}", "give each agent a --spill-dir of its own"
            ) from error
        yield


class JournalEntry(Record, frozen=True):
    """All of `epoch` is stored, and described by the document of this sha256."""

    epoch: Epoch
    document: str


class CaptureJournal:
    """A file in the spill directory, replaced as a whole."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "journal.json"

    def read(self, epoch: Epoch) -> str:
        """The document that finished `epoch`, or "". Raises: Corrupt."""
        try:
            data = self._file.read_bytes()
        except FileNotFoundError:
            return ""
        entry = decode(JournalEntry, data, str(self._file))
        return entry.document if entry.epoch == epoch else ""

    def write(self, epoch: Epoch, document: str) -> None:
        """Durable when it returns. Raises: Refused, if the directory cannot be written."""
        draft = self._file.with_suffix(".new")
        try:
            with draft.open("wb") as file:
                file.write(encode(JournalEntry(epoch=epoch, document=document)))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._file)
            sync_directory(self._file.parent)
        except OSError as error:
            raise Refused(f"cannot write {self._file}: {error}", "check --spill-dir") from error
