"""Timestamps of records: RFC 3339 in UTC. Pure: the caller gives the seconds."""

from __future__ import annotations

from datetime import UTC, datetime

from cleancut.core.primitives.errors import Corrupt


def format_time(seconds: float) -> str:
    """RFC 3339 in UTC, to the millisecond: sorts as time does."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def parse_time(text: str) -> float:
    """Seconds since 1970 of what `format_time` wrote. Raises: Corrupt."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise Corrupt(f"{text[:80]!r} is not a time") from error
