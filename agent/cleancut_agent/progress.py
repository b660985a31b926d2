"""How far an agent is in what is under way."""

from __future__ import annotations

from typing import NamedTuple


class BytesProgress(NamedTuple):
    """Bytes, as `Progress` tells them."""

    done: int
    total: int = 0
    stored: int = 0
