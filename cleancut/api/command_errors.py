"""Errors of a command line, as documents for scripts."""

from __future__ import annotations

import msgspec

from cleancut.api.values import ApiValue


class CommandError(ApiValue, frozen=True):
    """Why a command line failed; one line of JSON on stderr where JSON was asked for. `code`: the
    exit code. `reason` as in `OperationError`, or INTERRUPTED."""

    code: int
    message: str
    hint: str
    reason: str


class _Document(ApiValue, frozen=True):
    error: CommandError


def read_error(stderr: str) -> CommandError | None:
    """The error that a command line with `-o json` wrote to stderr; None if it wrote none."""
    for line in reversed(stderr.splitlines()):
        try:
            return msgspec.json.decode(line, type=_Document).error
        except msgspec.MsgspecError:
            continue
    return None
