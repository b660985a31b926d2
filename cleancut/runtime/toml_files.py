"""Files of settings in TOML, as any editor writes them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read_toml(path: Path) -> dict[str, Any]:
    """The file's keys and tables, also of one that begins with a byte order mark.

    Raises: OSError; ValueError, if it is not TOML, or holds a zero byte, which no path and no name
        may have.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        odd = next((key for key, text in _texts(found) if "\0" in text), None)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if odd is not None:
        raise ValueError(f"`{odd}` holds a zero byte")
    return found


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Each text with the key that it is under."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, key)
