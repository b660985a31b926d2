"""Times of records, and the one shape that JSON has."""

from __future__ import annotations

import pytest

from cleancut.core.primitives.errors import Corrupt, Invalid
from cleancut.core.primitives.timestamps import (
    format_second,
    format_time,
    parse_asked,
    parse_time,
    to_second,
)


def test_json_has_whole_seconds_and_records_have_milliseconds() -> None:
    """`fromdateiso8601` of jq takes no fraction."""
    assert format_time(1_796_000_400.25).endswith("0.250Z")
    assert format_second(1_796_000_400.999) == format_time(1_796_000_400.0)[:-5] + "Z"
    assert to_second("2026-11-30T01:02:03.999Z") == "2026-11-30T01:02:03Z"
    assert to_second("2026-11-30T02:02:03+01:00") == "2026-11-30T01:02:03Z"
    assert to_second("") is None
    assert to_second("yesterday") == "yesterday"


def test_times_outside_of_the_calendar_are_its_first_or_last_second() -> None:
    assert format_second(1e15) == "9999-12-31T23:59:59Z"
    assert format_second(-1e15) == "0001-01-01T00:00:00Z"
    assert to_second("0001-01-01T00:00:00+14:00") == "0001-01-01T00:00:00Z"
    assert format_second(-0.5) == "1969-12-31T23:59:59Z"


@pytest.mark.parametrize("text", ["2026-11-30T01:02:03", "2026-11-30", "20261130T010203", "", "no"])
def test_a_time_without_a_zone_is_none(text: str) -> None:
    """It would be another moment for each host that reads it."""
    with pytest.raises(Corrupt):
        parse_time(text)
    with pytest.raises(Invalid, match="not a time"):
        parse_asked(text)
    assert parse_asked("2026-11-30T02:02:03+01:00") == parse_time("2026-11-30T01:02:03Z")
