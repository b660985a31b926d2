"""Progress of an agent."""

from __future__ import annotations

from typing import NamedTuple


class BytesProgress(NamedTuple):
    """Bytes, as in `ProgressRecord`."""

    done: int
    total: int = 0
    stored: int = 0
    to_store: int = 0
