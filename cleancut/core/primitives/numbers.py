"""Numbers as people and paths write them. Pure."""

from __future__ import annotations

import re

_DIGITS = re.compile(r"[0-9]{1,20}")


def whole_number(text: str) -> int | None:
    """The number that `text` is; None for anything but ASCII digits, and for more than 64-bit
    numbers have: Python's own `int` takes digits of all scripts, and raises for very long ones."""
    return int(text) if _DIGITS.fullmatch(text) else None
