"""Wording: text in the programs avoids the words that CONTRIBUTING.md rules out."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.tidy.tree import files, programs, text_of, tree_of

BANNED = re.compile(
    r"\b(?:told|tells|anew|nobody|whoever|(?<!there )is no(?! longer)|own peer|so many)\b",
    re.IGNORECASE,
)
DIALECT = re.compile(
    r"(?<!--)(?<!self\.)\b(?:beside\b(?! \||:)|somebody|anybody|whatever|lets? go"
    r"|letting go|heal(?:s|ed|ing)?"
    r"|cures?|doomed|sweeps?|swept|obstacles?|ledger|quiet|grades?|thief)\b",
    re.IGNORECASE,
)
"""Words that pages, charts and proto comments avoid besides: each has a standard term in
docs/concepts.md, or is an idiom. `--beside` is a flag, and `--quiet` another."""
FORMAT_WORD = re.compile(r"\b(?:groups?|canary|canaries)\b", re.IGNORECASE)
"""Words of the store's format, which users know as backups and sample queries."""
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


def published() -> list[str]:
    """Pages, charts and proto files: what users read besides the programs' messages."""
    folders = ("docs/", "charts/", "proto/")
    kinds = (".md", ".proto", ".yaml", ".json", ".txt", ".tpl")
    found = [path for path in files() if path.startswith(folders) and path.endswith(kinds)]
    return ["CHANGELOG.md", "README.md", *found]


def prose(path: str) -> str:
    """The prose of a published file in one line: comments of a proto file, everything of another
    without quoted messages and code."""
    text = text_of(path)
    if path.endswith(".proto"):
        text = "\n".join(re.findall(r"//(.*)", text))
    if path.endswith(".md"):
        text = re.sub(
            r"^```.*?^```|`[^`\n]*`|\"[^\"\n]*\"", "", text, flags=re.MULTILINE | re.DOTALL
        )
    return " ".join(text.split())


@pytest.mark.parametrize("path", published())
def test_published_text_avoids_the_banned_words(path: str) -> None:
    """See "How text reads" in CONTRIBUTING; the generators' sources are where a page is changed."""
    words = [BANNED, DIALECT]
    if path.startswith(("docs/", "proto/cleancut/", "README.md")):
        words.append(FORMAT_WORD)
    assert [hit for pattern in words for hit in pattern.findall(prose(path))] == []
