"""Errors of a command line that was run with `-o json`, read from its stderr."""

from __future__ import annotations

import msgspec

from cleancut.api.values import CommandError


class _Line(msgspec.Struct):
    error: CommandError


def read_command_error(stderr: str | bytes) -> CommandError | None:
    """The error on its last line that is one; None, if there is none: notices and warnings are
    plain text."""
    text = stderr.decode(errors="replace") if isinstance(stderr, bytes) else stderr
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            try:
                return msgspec.json.decode(line, type=_Line).error
            except msgspec.MsgspecError:
                continue
    return None
