"""Times of records, and the one shape that JSON has."""

from __future__ import annotations

from cleancut.core.primitives.timestamps import format_second, format_time, to_second


def test_json_has_whole_seconds_and_records_have_milliseconds() -> None:
    """`fromdateiso8601` of jq takes no fraction."""
    assert format_time(1_796_000_400.25).endswith("0.250Z")
    assert format_second(1_796_000_400.999) == format_time(1_796_000_400.0)[:-5] + "Z"
    assert to_second("2026-11-30T01:02:03.999Z") == "2026-11-30T01:02:03Z"
    assert to_second("2026-11-30T02:02:03+01:00") == "2026-11-30T01:02:03Z"
    assert to_second("") is None
    assert to_second("yesterday") == "yesterday"
