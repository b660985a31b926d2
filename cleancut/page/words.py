"""Words and numbers of a page: sizes, times, durations, and counts. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SPANS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


def size(number: float | None) -> str:
    """`26.4 MiB`; a dash for what is not known."""
    if number is None:
        return "\u2013"
    for unit in _UNITS[:-1]:
        if abs(number) < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} {_UNITS[-1]}"


def count(number: float | None) -> str:
    """`12,345`; a dash for what is not known."""
    return "\u2013" if number is None else f"{number:,.0f}"


def span(seconds: float | None) -> str:
    """A duration: `41 ms`, `3.2 s`, `4 min 10 s`, `3 h 5 min`, `2 d 4 h`."""
    if seconds is None:
        return "\u2013"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    days, left = divmod(round(seconds), 86400)
    hours, left = divmod(left, 3600)
    minutes, left = divmod(left, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (left, "s")]
    first = next(number for number, (value, _) in enumerate(parts) if value)
    return " ".join(f"{value} {unit}" for value, unit in parts[first : first + 2] if value)


def ago(at_s: float | None, now_s: float) -> str:
    """`3 h ago`, `in 20 min`, `now`; a dash for what is not known."""
    if at_s is None:
        return "\u2013"
    gone = now_s - at_s
    for length, unit in _SPANS:
        if abs(gone) >= length:
            number = math.floor(abs(gone) / length)
            return f"{number} {unit} ago" if gone > 0 else f"in {number} {unit}"
    return "just now" if gone >= 0 else "now"


def seconds_of(text: str | None) -> float | None:
    """Seconds since 1970 of an RFC 3339 time; None for none, or for one that cannot be read."""
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None


def minute(at_s: float | None) -> str:
    """`2026-11-29 18:08 UTC`; a dash for what is not known."""
    if at_s is None:
        return "\u2013"
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M} UTC"


def some(names: Iterable[str], most: int = 3) -> str:
    """The first names, and the number of the others."""
    known = list(names)
    left = len(known) - most
    return ", ".join(known[:most]) + (f" and {left} more" if left > 0 else "")


def percent(part: float, whole: float) -> int:
    """0 to 100; 0 of nothing."""
    return max(0, min(100, round(100 * part / whole))) if whole > 0 else 0


def facts_text(facts: Mapping[str, Any]) -> str:
    """Facts by name as a sentence: `level all, read 26.4 MiB`. What is 0 or empty is left out."""
    return ", ".join(_fact(name, value) for name, value in facts.items() if value)


def _fact(name: str, value: Any) -> str:
    words = name.removesuffix("_bytes").replace("_", " ")
    return f"{words} {size(value) if name.endswith('_bytes') else value}"
