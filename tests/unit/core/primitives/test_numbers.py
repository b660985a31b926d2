"""Numbers and times at their limits: no text and no duration makes the reader itself fail."""

from __future__ import annotations

import pytest

from cleancut.core.archive.entries import parse_entry
from cleancut.core.points.selection import parse_filter, parse_id
from cleancut.core.primitives.errors import CleancutError, Corrupt, Invalid
from cleancut.core.primitives.ids import OperationId, numbered
from cleancut.core.primitives.numbers import whole_number
from cleancut.core.primitives.timestamps import format_time, parse_time
from cleancut.page.views import query_of
from cleancut.runtime.addresses import parse_address

ODD = ["", "-1", "+1", " 1", "1_0", "\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT ONE}", "9" * 5000]


@pytest.mark.parametrize("text", ODD)
def test_only_plain_digits_of_a_plain_length_are_a_number(text: str) -> None:
    assert whole_number(text) is None
    assert query_of({"page": text, "size": text}) == query_of({})
    if not text.startswith("-"):
        assert numbered(OperationId(f"r-1-x{text}")) == (f"r-1-x{text}", 0)
    for read, written in (
        (parse_id, text),
        (parse_address, f"host:{text}"),
        (parse_entry, f"{text}:1"),
        (parse_entry, f"1:{text}"),
    ):
        with pytest.raises(Invalid):
            read(written)


def test_numbers_are_read() -> None:
    assert whole_number("0") == 0
    assert whole_number("007") == 7
    assert parse_id(str((1 << 64) - 1)) == (1 << 64) - 1


@pytest.mark.parametrize("seconds", [-1e300, -62_135_596_801.0, 253_402_300_800.0, 1e300])
def test_a_time_outside_of_the_calendar_is_its_first_or_last(seconds: float) -> None:
    text = format_time(seconds)
    assert text in {"0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.000Z"}
    assert (parse_time(text) < 0) == (seconds < 0)


@pytest.mark.parametrize("text", ["", "now", "0001-01-01T00:00:00", "2026-02-30T00:00:00Z"])
def test_no_time_is_corrupt(text: str) -> None:
    with pytest.raises(Corrupt):
        parse_time(text)
    assert issubclass(Corrupt, CleancutError)


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e999", "[" * 100_000])
def test_json_of_users_holds_numbers_that_there_are(text: str) -> None:
    """Else a search fails in the engine, and the backup is called damaged for it."""
    with pytest.raises(Invalid, match="is not JSON"):
        parse_filter(f'{{"must": [{{"key": "n", "range": {{"gt": {text}}}}}]}}')
