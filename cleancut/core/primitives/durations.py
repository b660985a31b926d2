"""Durations as people write them, on the command line and in settings files. Pure."""

from __future__ import annotations

import re

from cleancut.core.primitives.errors import Invalid

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> float:
    """Seconds of 90, 90s, 10m, 24h or 7d. Raises: Invalid."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)([smhd]?)", text)
    if found is None:
        raise Invalid(f"{text!r} is not a duration: write 90s, 10m or 24h")
    return float(found[1]) * _SECONDS[found[2]]
