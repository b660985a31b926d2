"""Times for people: in their zone or a schedule's, and relative to now. JSON has RFC 3339."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cleancut.cli.render.grids import span
from cleancut.core.primitives.durations import rough_duration
from cleancut.core.primitives.timestamps import format_time, parse_time


def ago(value: str | None, now_s: float | None = None) -> str | None:
    """`3 h ago`, or `in 8 h`, of an RFC 3339 time; None if there is none."""
    if not value:
        return None
    distance_s = (time.time() if now_s is None else now_s) - parse_time(value)
    if distance_s < 0:
        return f"in {rough_duration(-distance_s)}"
    return f"{rough_duration(distance_s)} ago"


def clock(value: str | None, zone: str = "") -> str | None:
    """`2026-11-30 02:30 CET`: in `zone`, or else in the zone of this machine."""
    if not value:
        return None
    return f"{_in_zone(value, zone):%Y-%m-%d %H:%M %Z}"


def moment(value: str | None, zone: str = "", now_s: float | None = None) -> str | None:
    """`2026-11-30 02:30:05 CET (3 h ago)`."""
    if not value:
        return None
    return f"{_in_zone(value, zone):%Y-%m-%d %H:%M:%S %Z} ({ago(value, now_s)})"


def exact(at_ms: int, at: str | None = None) -> str | None:
    """RFC 3339 to the millisecond, as `--at` takes it; `at`, if only that is known."""
    return format_time(at_ms / 1000) if at_ms else at


def took(began: str | None, ended: str | None) -> str | None:
    """How long something took that has ended: `1 h 5 min`."""
    if not began or not ended:
        return None
    return span(max(0.0, parse_time(ended) - parse_time(began)))


def _in_zone(value: str, zone: str) -> datetime:
    at = datetime.fromtimestamp(parse_time(value), UTC)
    try:
        return at.astimezone(ZoneInfo(zone) if zone else None)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return at  # a zone that this machine does not know
