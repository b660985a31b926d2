"""Small files that may be replaced while a process runs: certificates, keys, tokens.

Nothing runs in the background: each use checks, and at most once a second on disk. Both ways of
replacement are seen: a new symbolic link, as Kubernetes makes it, and new contents.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from cleancut.core.primitives.errors import Denied

LOOK_S = 1.0
MAX_BYTES = 1 << 20
TICK_NS = 100_000_000

Stamp = tuple[int, int, int, int]


class WatchedFiles:
    """Files that belong together, such as a certificate and its key. Nothing is read before it is
    asked for; `look_s` 0 looks each time."""

    def __init__(self, paths: Sequence[Path], look_s: float = LOOK_S) -> None:
        self._paths = tuple(paths)
        self._look_s = look_s
        self._looked_s = float("-inf")
        self._stamps: tuple[Stamp | None, ...] = ()
        self._settled = False
        self._digest = b""
        self.version = 0
        self.all_there = True

    def look(self, *, now: bool = False) -> int:
        """A number that grows when what they hold has changed. `now`: although it was just looked.

        Files that cannot be read count as changed once they can be, and not before: a
        replacement may delete the file first.
        """
        if not now and time.monotonic() < self._looked_s + self._look_s:
            return self.version
        self._looked_s = time.monotonic()
        stamps = tuple(_stamp(path) for path in self._paths)
        self.all_there = None not in stamps
        if not self.all_there or (self._settled and stamps == self._stamps):
            return self.version
        try:
            digest = _digest_of(self.read())
        except Denied:
            self.all_there = False
            return self.version
        # Two changes in one tick of the file system's clock leave one stamp.
        self._settled = all(stamp is not None and _is_old(stamp) for stamp in stamps)
        self._stamps = stamps
        if digest != self._digest:
            self._digest = digest
            self.version += 1
        return self.version

    def read(self) -> tuple[bytes, ...]:
        """What they hold now, in order. Raises: Denied."""
        return tuple(_read(path) for path in self._paths)


class WatchedSecret:
    """One file's text without the space around it: an API key, a token, a password."""

    def __init__(self, path: Path, look_s: float = LOOK_S) -> None:
        self._file = WatchedFiles([path], look_s)
        self._path = path
        self._version = -1
        self._text = ""

    def get(self, *, now: bool = False) -> str:
        """As it is now; as it was, while the file cannot be read. Raises: Denied, if it never
        could be, or does not hold one line of text."""
        version = self._file.look(now=now)
        if version == self._version:
            return self._text
        try:
            text = self._file.read()[0].decode().strip()
        except (Denied, UnicodeDecodeError):
            if self._text:
                return self._text
            raise Denied(f"cannot read {self._path}", "check the path and its rights") from None
        wrong = "is empty" if not text else "" if text.isprintable() else "has several lines"
        if wrong and not self._text:
            raise Denied(f"{self._path} {wrong}", "it has to hold the secret, and only that")
        text = "" if wrong else text
        self._text, self._version = text or self._text, version
        return self._text


def _is_old(stamp: Stamp) -> bool:
    return not 0 <= time.time_ns() - stamp[1] < TICK_NS


def _digest_of(parts: Sequence[bytes]) -> bytes:
    """Of each by its own, so that none can pass for a part of the next."""
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()


def _stamp(path: Path) -> Stamp | None:
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_ino, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_size


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                raise Denied(f"{path} is over {MAX_BYTES >> 20} MiB", "it is not what it should be")
            return file.read(MAX_BYTES)
    except OSError as error:
        raise Denied(
            f"cannot read {path}: {error.strerror}", "check the path and who may read it"
        ) from error
