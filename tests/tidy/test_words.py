"""Wording: text in the programs avoids the words that CONTRIBUTING.md rules out."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator

from tests.tidy.tree import programs, text_of, tree_of

BANNED = re.compile(
    r"\b(?:told|tells|anew|nobody|whoever|(?<!there )is no(?! longer)|own peer|so many)\b",
    re.IGNORECASE,
)
PENDING = {}
"""Hits allowed in directories that are still to be rewritten. A number may only fall, and the line
of a clean directory is deleted."""


def texts(path: str) -> Iterator[str]:
    """Every docstring, string and comment of a file, with single spaces between words."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield " ".join(node.value.split())
    lines = io.StringIO(text_of(path)).readline
    comments = [
        token.string.lstrip("# ")
        for token in tokenize.generate_tokens(lines)
        if token.type == tokenize.COMMENT
    ]
    yield " ".join(comments)


def directory(path: str) -> str:
    """The package of a path, or its top folder: the unit that is rewritten at a time."""
    return "/".join(path.split("/")[:-1][:2])


def hits() -> Counter[str]:
    """Banned words by directory."""
    return Counter(
        directory(path)
        for path in programs()
        for text in texts(path)
        for _ in BANNED.finditer(text)
    )


def test_programs_avoid_the_banned_words() -> None:
    """Each hit is named with its file; see "How text reads" in CONTRIBUTING.md."""
    grown = {name for name, count in hits().items() if count > PENDING.get(name, 0)}
    found = [
        f"{path}: {match.group()!r} in {text[:90]!r}"
        for path in programs()
        if directory(path) in grown
        for text in texts(path)
        for match in BANNED.finditer(text)
    ]
    assert found == []


def test_no_clean_directory_is_listed_as_pending() -> None:
    found = hits()
    assert [name for name in PENDING if not found[name]] == []
