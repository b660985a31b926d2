"""Timestamps of records: RFC 3339 in UTC. Pure: the caller gives the seconds."""

from __future__ import annotations

from datetime import UTC, datetime

from cleancut.core.primitives.errors import Corrupt, Invalid

_FIRST_S, _LAST_S = -62_135_596_800.0, 253_402_300_799.0


def format_time(seconds: float) -> str:
    """RFC 3339 in UTC, to the millisecond: sorts as time does. What lies outside of the years 1 to
    9999, such as `now` less a huge duration, is their first or last second."""
    within = min(max(seconds, _FIRST_S), _LAST_S)
    text = datetime.fromtimestamp(within, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def format_second(seconds: float) -> str:
    """RFC 3339 in UTC, whole seconds: the one shape of times in JSON. Limits: as `format_time`."""
    return f"{format_time(seconds)[: -len('.000Z')]}Z"


def to_second(text: str) -> str | None:
    """The time of a record as JSON has it; None of "". Other text stays as it is."""
    try:
        return format_second(parse_time(text)) if text else None
    except Corrupt:
        return text


def parse_time(text: str) -> float:
    """Seconds since 1970 of what `format_time` wrote. Raises: Corrupt, also for a time without a
    zone, which would be another one on each host."""
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError("no zone")
        return found.timestamp()
    except (ValueError, OverflowError) as error:
        raise Corrupt(f"{text[:80]!r} is not a time") from error


def parse_asked(text: str) -> float:
    """As `parse_time`, of what a client asks for. Raises: Invalid."""
    try:
        return parse_time(text)
    except Corrupt as error:
        hint = "write it with its zone, as 2026-01-31T14:03:00Z"
        raise Invalid(error.message, hint) from error
