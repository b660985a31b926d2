"""Labels of backups: what people call them by, as `key=value`, and how lists are filtered by it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from cleancut.core.primitives.errors import Invalid

MAX_LABELS = 32
MAX_VALUE = 200
_KEY = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?")


def check_labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    """`labels`, if each may be stored and shown.

    Raises: Invalid, for too many of them, a key that is not 1-63 of [A-Za-z0-9._/-], starting and
        ending with a letter or digit, or a value that is too long or has hidden characters.
    """
    if len(labels) > MAX_LABELS:
        raise Invalid(f"{len(labels)} labels are too many", f"give at most {MAX_LABELS}")
    for key, value in labels.items():
        if not _KEY.fullmatch(key):
            raise Invalid(
                f"invalid key {key[:80]!r} of a label",
                "use 1-63 letters, digits, dots, dashes, underscores and slashes",
            )
        if len(value) > MAX_VALUE or not value.isprintable():
            raise Invalid(
                f"invalid value {value[:80]!r} of label {key!r}",
                f"use up to {MAX_VALUE} printable characters, in one line",
            )
    return labels


def parse_labels(texts: Iterable[str]) -> dict[str, str]:
    """The labels of `key=value` texts. Raises: Invalid, also for a key with two values."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise Invalid(f"label {text[:80]!r} has no value", f"write it as {text[:80]}=VALUE")
        if found.setdefault(key, value) != value:
            raise Invalid(f"label {key!r} is given twice", "give each key one value")
    check_labels(found)
    return found


def has_labels(labels: Mapping[str, str], wanted: Iterable[str]) -> bool:
    """Whether all `wanted` are among them: `key=value`, or `key` with any value."""
    return all(
        labels.get(key) == value if equals else key in labels
        for key, equals, value in (text.partition("=") for text in wanted)
    )
