"""Durations as people write them, on the command line and in settings files. Pure."""

from __future__ import annotations

import re

from cleancut.core.primitives.errors import Invalid

_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_NUMBER = r"\d{1,9}(?:\.\d+)?"
_PARTS = re.compile("".join(rf"(?:({_NUMBER}){unit})?" for unit in _SECONDS))


def parse_duration(text: str) -> float:
    """Seconds of 90, 90s, 10m, 24h, 7d or 1h30m. Raises: Invalid."""
    if re.fullmatch(_NUMBER, text):
        return float(text)
    found = _PARTS.fullmatch(text)
    if found is None or not text:
        raise Invalid(f"{text!r} is not a duration: write 90s, 10m, 24h, 7d or 1h30m")
    parts = zip(found.groups(), _SECONDS.values(), strict=True)
    return sum(float(part) * seconds for part, seconds in parts if part)


def format_duration(seconds: float) -> str:
    """As people write it, by its two largest units: 45s, 1m30s, 26h as 1d2h."""
    left, parts = max(0, round(seconds)), []
    for unit, size in _SECONDS.items():
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts[:2]) or "0s"


def rough_duration(seconds: float) -> str:
    """For people, in one unit and rounded down: `40 s`, `5 min`, `26 h`, `12 days`."""
    left = max(0, int(seconds))
    if left < 60:
        return f"{left} s"
    if left < 3600:
        return f"{left // 60} min"
    if left < 48 * 3600:
        return f"{left // 3600} h"
    return f"{left // 86400} days"
