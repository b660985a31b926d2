"""The one thing an agent remembers over a restart: the finished capture of an epoch."""

from __future__ import annotations

import os
from pathlib import Path

from cleancut.errors import Refused
from cleancut.ids import Epoch
from cleancut.records import Record, decode, encode


def make_directory(directory: Path) -> None:
    """Makes the agent's own directory. Raises: Refused, if it cannot be made."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"cannot make {directory}: {error}", "check --spill-dir") from error


class Entry(Record, frozen=True):
    """All of `epoch` is stored, and described by the document of this sha256."""

    epoch: Epoch
    document: str


class Journal:
    """A file in the spill directory, replaced as a whole."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "journal.json"

    def read(self, epoch: Epoch) -> str:
        """The document that finished `epoch`, or "". Raises: Corrupt."""
        try:
            data = self._file.read_bytes()
        except FileNotFoundError:
            return ""
        entry = decode(Entry, data, str(self._file))
        return entry.document if entry.epoch == epoch else ""

    def write(self, epoch: Epoch, document: str) -> None:
        """Durable when it returns. Raises: Refused, if the directory cannot be written."""
        draft = self._file.with_suffix(".new")
        try:
            with draft.open("wb") as file:
                file.write(encode(Entry(epoch=epoch, document=document)))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._file)
        except OSError as error:
            raise Refused(f"cannot write {self._file}: {error}", "check --spill-dir") from error
