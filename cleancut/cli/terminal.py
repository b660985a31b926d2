"""Text as it goes to stdout: no traceback if it cannot go."""

from __future__ import annotations

import os
import sys

import click

from cleancut.core.primitives.errors import Unavailable


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
