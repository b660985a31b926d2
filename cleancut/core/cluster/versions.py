"""Versions of Qdrant: the oldest that is supported and the newest that was tested."""

from __future__ import annotations

OLDEST_QDRANT = (1, 17, 1)
NEWEST_TESTED = (1, 19)
