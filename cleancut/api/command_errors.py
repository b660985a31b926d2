"""Errors of a command line, as documents for scripts."""

from __future__ import annotations

from cleancut.api.values import ApiValue


class CommandError(ApiValue, frozen=True):
    """Why a command line failed; one line of JSON on stderr where JSON was asked for. `code`: the
    exit code. `reason` as in `OperationError`, or INTERRUPTED."""

    code: int
    message: str
    hint: str
    reason: str
