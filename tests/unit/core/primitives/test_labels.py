"""Labels: what may be one, and which backups have it."""

from __future__ import annotations

import pytest

from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.labels import MAX_LABELS, check_labels, has_labels, parse_labels

FOUND = {"team": "search", "ticket": "OPS-1=2", "empty": ""}


def test_the_first_equals_sign_ends_the_key() -> None:
    assert parse_labels(["team=search", "ticket=OPS-1=2", "empty=", "team=search"]) == FOUND


@pytest.mark.parametrize(
    "texts",
    [
        ["team"],
        ["=search"],
        ["team=a", "team=b"],
        ["-team=a"],
        ["a b=c"],
        [f"{'k' * 64}=v"],
        [f"key={'v' * 201}"],
        ["key=two\nlines"],
        ["key=\u202egnp.exe"],
        ["key=\x1b[31m"],
        [f"key{number}=v" for number in range(MAX_LABELS + 1)],
    ],
)
def test_what_cannot_be_a_label(texts: list[str]) -> None:
    with pytest.raises(Invalid, match="label"):
        parse_labels(texts)


def test_letters_of_all_scripts_are_values() -> None:
    check_labels({"app.example/owner_2": "Größe, 日本 <b>"})


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ([], True),
        (["team"], True),
        (["team=search", "ticket=OPS-1=2"], True),
        (["empty="], True),
        (["team="], False),
        (["team=search", "owner"], False),
    ],
)
def test_a_filter_names_a_key_or_a_key_with_its_value(wanted: list[str], *, fits: bool) -> None:
    assert has_labels(FOUND, wanted) is fits
