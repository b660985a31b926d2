"""Times of records: what is decoded as one is one for each reader."""

from __future__ import annotations

from itertools import product

import msgspec

from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.record_times import Time
from cleancut.core.primitives.timestamps import parse_time


def is_decoded(text: str) -> bool:
    try:
        return bool(msgspec.convert(text, Time))
    except msgspec.ValidationError:
        return False


def is_time(text: str) -> bool:
    try:
        parse_time(text)
    except Corrupt:
        return False
    return True


def test_each_day_that_is_decoded_is_in_the_calendar_and_no_other_one() -> None:
    years = ("0000", "0001", "0004", "1900", "2000", "2023", "2024", "2100", "9999")
    for year, month, day in product(years, range(14), (0, 1, 28, 29, 30, 31, 32)):
        text = f"{year}-{month:02}-{day:02}T23:59:59.999Z"
        assert is_decoded(text) == is_time(text), text
