"""Timestamps of records: RFC 3339 in UTC. Pure: the caller gives the seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from cleancut.core.primitives.errors import Corrupt

_DAY = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-9]))"
)
_PATTERN = (
    rf"[0-9]{{4}}-{_DAY}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{{1,6}})?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
Time = Annotated[str, msgspec.Meta(pattern=rf"\A{_PATTERN}\Z")]
"""RFC 3339, in a record: a record with anything else in its place is not decoded. A default of ""
is not written, so it may stand for none."""
MaybeTime = Annotated[str, msgspec.Meta(pattern=rf"\A(?:{_PATTERN})?\Z")]
"""As `Time`, or "" for none, in a field without a default."""
_FIRST_S, _LAST_S = -62_135_596_800.0, 253_402_300_799.0


def format_time(seconds: float) -> str:
    """RFC 3339 in UTC, to the millisecond: sorts as time does. What lies outside of the years 1 to
    9999, such as `now` less a huge duration, is their first or last second."""
    within = min(max(seconds, _FIRST_S), _LAST_S)
    text = datetime.fromtimestamp(within, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def format_second(seconds: float) -> str:
    """RFC 3339 in UTC, whole seconds: the one shape of times in JSON."""
    return f"{datetime.fromtimestamp(int(seconds // 1), UTC):%Y-%m-%dT%H:%M:%SZ}"


def to_second(text: str) -> str | None:
    """The time of a record as JSON has it; None of "". Other text stays as it
    is."""
    try:
        return format_second(parse_time(text)) if text else None
    except Corrupt:
        return text


def parse_time(text: str) -> float:
    """Seconds since 1970 of what `format_time` wrote. Raises: Corrupt."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as error:
        raise Corrupt(f"{text[:80]!r} is not a time") from error
