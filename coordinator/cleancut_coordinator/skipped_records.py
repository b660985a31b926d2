"""Skipped records: keys of etcd that cannot be decoded, reported once each."""

from __future__ import annotations

from collections.abc import Callable

_AT_MOST = 1000


class SkippedRecords:
    """`report(key, cause)` is called at the first sight of each key. Limits: 1,000 keys."""

    def __init__(self) -> None:
        self.report: Callable[[str, str], None] = lambda _key, _cause: None
        self._seen: set[str] = set()

    def add(self, key: str, cause: str) -> None:
        if key not in self._seen and len(self._seen) < _AT_MOST:
            self._seen.add(key)
            self.report(key, cause)
