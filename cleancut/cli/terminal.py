"""Text as it goes to stdout and stderr: nothing hidden in it, and no traceback if it cannot go."""

from __future__ import annotations

import os
import sys
import unicodedata

import click

from cleancut.core.primitives.errors import Unavailable

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


def write_out(text: str) -> None:
    """Writes to stdout; characters that its encoding lacks are escaped.

    A reader that has gone (`| head`) has what it wanted: the rest is dropped. Raises: Unavailable
    if stdout is closed, or cannot take what is written.
    """
    stream = sys.stdout
    if stream is None:
        raise Unavailable("stdout is closed", "redirect stdout to a file or to /dev/null")
    encoding = getattr(stream, "encoding", None) or "utf-8"
    safe = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        click.echo(safe, nl=False)
        stream.flush()
    except BrokenPipeError:
        drop_out()
    except OSError as error:
        drop_out()
        raise Unavailable(
            f"cannot write to stdout: {error.strerror}",
            "redirect stdout to a place with free space",
        ) from error


def drop_out() -> None:
    """From here on stdout goes nowhere, so that the interpreter's last flush does not fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
