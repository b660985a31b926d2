"""Text to stdout and stderr: no traceback if it cannot go there, and colours only if wanted."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import TextIO

import click

from cleancut.core.primitives.errors import CleancutError

JSON_OUTPUTS = frozenset({"json", "ndjson"})
_LOST = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EPIPE}
_OUTPUT_FLAG = re.compile(r"(?:--output(?:=|$)|-[qh]*o)(.*)")
_json_errors: ContextVar[bool] = ContextVar("json_errors", default=False)


def follow_output(output: str) -> None:
    """Errors are JSON from here on if stdout is, in the format `output`."""
    _json_errors.set(output in JSON_OUTPUTS)


def errors_are_json() -> bool:
    return _json_errors.get()


def asked_output(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """The format that a command line asks for, even one that cannot be parsed; "" if none."""
    asked = environment.get("CLEANCUT_OUTPUT", "")
    for place, argument in enumerate(arguments):
        if argument == "--":
            break
        if flag := _OUTPUT_FLAG.fullmatch(argument):
            asked = flag[1] or next(iter(arguments[place + 1 :]), asked)
    return asked


def write_out(text: str) -> bool:
    """Writes to stdout; characters that its encoding lacks are escaped.

    A reader that has gone (`| head`) has what it wanted: the rest is dropped, and this returns
    False the first time. Raises: CleancutError
    if stdout is closed, or cannot take what is written.
    """
    stream = sys.stdout
    if stream is None:
        raise CleancutError("stdout is closed", "redirect stdout to a file or to /dev/null")
    encoding = getattr(stream, "encoding", None) or "utf-8"
    safe = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        click.echo(safe, nl=False, color=_color())
        stream.flush()
    except BrokenPipeError:
        drop_out(stream)
        return False
    except OSError as error:
        drop_out(stream)
        raise unwritten(error) from error
    return True


def write_err(line: str) -> None:
    """Writes a line to stderr; it is dropped if stderr is closed, or cannot take it."""
    stream = sys.stderr
    if stream is None:
        return
    try:
        click.echo(line, err=True, color=_color())
        stream.flush()
    except OSError:
        drop_out(stream)


def lost_output(error: OSError) -> bool:
    """True if a stream could not take what was written: errors of files name their file."""
    return error.filename is None and error.errno in _LOST


def unwritten(error: OSError) -> CleancutError:
    return CleancutError(
        f"cannot write to stdout: {error.strerror}", "redirect stdout to a place with free space"
    )


def drop_out(stream: TextIO | None) -> None:
    """From here on the stream goes nowhere, so that the interpreter's last flush does not fail."""
    if stream is not None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def answers() -> bool:
    """True if stdin is a terminal, so that a question can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


def _color() -> bool | None:
    """False if the environment forbids it; None: if the stream is a terminal."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return False if plain else None
