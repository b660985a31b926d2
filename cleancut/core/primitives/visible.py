"""Text as people see it: characters that a terminal or browser hides or obeys are escaped."""

from __future__ import annotations

import unicodedata

_HIDDEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
"""Unicode categories of control, direction, zero-width and unassigned characters."""


def visible(text: str, *, lines: bool = False) -> str:
    """`text` with an escape for each character that a terminal would hide or obey.

    Names come from clusters, so a name could otherwise look like another one. `lines`: newlines
    stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character, lines=lines) for character in text)


def _shown(character: str, *, lines: bool) -> str:
    if (lines and character == "\n") or unicodedata.category(character) not in _HIDDEN:
        return character
    return character.encode("unicode_escape").decode()
