"""Skipped records: keys of etcd that cannot be decoded, reported once each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import Corrupt

_AT_MOST = 1000
R = TypeVar("R")


class SkippedRecords:
    """`report(key, cause)` is called at the first sight of each key. Limits: 1,000 keys."""

    def __init__(self) -> None:
        self.report: Callable[[str, str], None] = lambda _key, _cause: None
        self._seen: set[str] = set()

    def add(self, key: str, cause: str) -> None:
        if key not in self._seen and len(self._seen) < _AT_MOST:
            self._seen.add(key)
            self.report(key, cause)

    def read(self, kind: type[R], key: str, value: bytes) -> R | None:
        """The record; None for one that cannot be decoded: a bad record must not stop the rest."""
        try:
            return decode(kind, value, key)
        except Corrupt as error:
            self.add(key, error.message)
            return None

    def read_number(self, key: str, value: bytes) -> int:
        """The number in `value`; 0, if it holds none."""
        try:
            return int(value)
        except ValueError:
            self.add(key, f"{value[:40]!r} is not a number")
            return 0
