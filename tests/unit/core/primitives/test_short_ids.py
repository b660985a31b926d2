"""Short ids: what may be one, and what it names."""

from __future__ import annotations

import pytest

from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.short_ids import is_short, resolve_short

IDS = ("b-79c5000000000001", "b-79c5000000000002", "b-79d0000000000003", "r-79d0000000000004")


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("b-79c5", True),
        ("r-79c5000", True),
        ("b-79c", False),
        ("b-79c5000000000001", False),
        ("17", False),
        ("latest", False),
        ("b-79C5", False),
        ("bk-79c5", False),
    ],
)
def test_four_digits_are_enough(name: str, *, short: bool) -> None:
    assert is_short(name) is short


def test_a_short_id_names_the_only_one_that_begins_so() -> None:
    assert resolve_short("b-79d0", (*IDS, *IDS)) == IDS[2]
    assert resolve_short("b-ffff", IDS) == "b-ffff"


def test_an_ambiguous_one_is_refused_with_the_list() -> None:
    with pytest.raises(Refused, match=f"ambiguous.*{IDS[0]}, {IDS[1]}"):
        resolve_short("b-79c5", IDS)
