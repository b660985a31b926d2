"""Who asked for what, and what became of it: one JSON line for each change and each refusal.

**Invariant:** nothing of a call's metadata gets here, so no token can.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import msgspec

from cleancut.api.wire import is_map
from cleancut.core.primitives.timestamps import format_time

MAX_TEXT = 200
MAX_ITEMS = 20


class Audit(Protocol):
    """Where the lines go."""

    def write(self, line: bytes) -> None:
        """Never raises: a full disk must not stop a backup."""
        ...


class StreamAudit:
    """On stderr, among the other lines of the log, and whatever the log's level is."""

    def write(self, line: bytes) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(line.decode())
            sys.stderr.flush()


class FileAudit:
    """Appended to a file that only its owner can read; a new one, once it was moved away.

    What cannot be written there goes to stderr, with the reason.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._other = StreamAudit()

    def open(self) -> None:
        """Raises: OSError. Order: repeatable."""
        if self._file is not None and self._is_there(self._file):
            return
        self.close()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(self._path, flags, 0o600)

    def write(self, line: bytes) -> None:
        try:
            self.open()
            assert self._file is not None
            if os.write(self._file, line) < len(line):
                raise OSError("the disk is full")
        except OSError as error:
            problem = {"event": "audit_unwritten", "level": "error", "cause": str(error)}
            self._other.write(msgspec.json.encode(problem) + b"\n")
            self._other.write(line)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _is_there(self, file: int) -> bool:
        try:
            named, held = self._path.stat(), os.fstat(file)
        except OSError:
            return False
        return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)


def audit_line(facts: dict[str, Any], request: Any) -> bytes:
    """One line: the time, `facts`, and what the request holds, long parts of it shortened."""
    whole = {
        "event": "audit",
        "timestamp": format_time(time.time()),
        **facts,
        "request": shortened(request),
    }
    return msgspec.json.encode(whole) + b"\n"


def shortened(message: Any) -> dict[str, Any]:
    """The fields that are set, by name; {} of no message. Limits: 200 characters a text, 20 items
    a list."""
    found: dict[str, Any] = {}
    if message is None:
        return found
    for field, value in message.ListFields():
        if is_map(field):
            found[field.name] = {key: value[key][:MAX_TEXT] for key in sorted(value)[:MAX_ITEMS]}
        elif field.is_repeated:
            found[field.name] = [_short(field, one) for one in value[:MAX_ITEMS]]
            if len(value) > MAX_ITEMS:
                found[f"{field.name}_in_all"] = len(value)
        else:
            found[field.name] = _short(field, value)
    return found


def _short(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return shortened(value)
    return value[:MAX_TEXT] if isinstance(value, str) else value
