"""The page of hostile cases names tests that exist."""

from __future__ import annotations

import re

from tests.tidy.tree import ROOT, text_of

PAGE = "docs/reference/adversity.md"
_TEST = re.compile(r"`([a-z0-9_/]+\.py)::(\w+)`")
_ROW = re.compile(r"^\| (?!case \||---)(.+?) \| (\w+)[^|]* \| ?(.*?) ?\|$", re.MULTILINE)


def test_every_named_test_exists() -> None:
    named = _TEST.findall(text_of(PAGE))
    assert named
    missing = []
    for path, name in named:
        file = ROOT / "tests" / path
        if not file.is_file() or f"def {name}(" not in file.read_text():
            missing.append(f"{path}::{name}")
    assert missing == []


def test_every_case_has_a_state_and_its_proof() -> None:
    """What is mended names a test; what is refused gives a reason."""
    rows = _ROW.findall(text_of(PAGE))
    assert len(rows) == text_of(PAGE).count("\n| ") - text_of(PAGE).count("\n| case |")
    wrong = [
        case
        for case, state, shown in rows
        if state not in {"mended", "refused", "open"}
        or (state == "mended" and not _TEST.search(shown))
        or (state == "refused" and not shown)
    ]
    assert wrong == []
