"""Exit codes, and the form of a failure on stderr: message, hint, and reason."""

from __future__ import annotations

import io
from collections.abc import Collection
from enum import IntEnum
from typing import TYPE_CHECKING

import click

from cleancut.cli.terminal import errors_are_json, write_err
from cleancut.core.primitives.errors import (
    CleancutError,
    Corrupt,
    Denied,
    Invalid,
    NotFound,
    Refused,
)
from cleancut.core.primitives.visible import visible
from cleancut.core.protocol.states import SUCCEEDED, State

if TYPE_CHECKING:
    from cleancut.api.operations import Operation


class Exit(IntEnum):
    """Codes that scripts may rely on."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    NEEDS_OPERATOR = 5
    TIMED_OUT = 6
    NO_LEADER = 7
    AUTH = 8
    CORRUPT = 9
    INTERRUPTED = 130


MEANINGS: dict[Exit, str] = {
    Exit.OK: "Success; the result is on stdout.",
    Exit.FAILED: "Failure; the error is on stderr.",
    Exit.USAGE: "The command line or a name in it is wrong, or `--yes` is missing.",
    Exit.NOT_FOUND: "The named object does not exist.",
    Exit.REFUSED: "A precondition does not hold; nothing was changed.",
    Exit.NEEDS_OPERATOR: "An operator is needed, or a rollback is unfinished.",
    Exit.TIMED_OUT: "The wait timed out; the operation continues.",
    Exit.NO_LEADER: "No coordinator is reachable, or none leads; repeat the command.",
    Exit.AUTH: "Credentials are missing or insufficient.",
    Exit.CORRUPT: "Data does not match its digest.",
    Exit.INTERRUPTED: "Interrupted; a started operation continues.",
}

_UNFINISHED = {State.NEEDS_OPERATOR, State.ROLLING_BACK}
_KEPT = (Invalid, NotFound, Refused, Denied, Corrupt)
"""Reasons of an ended operation that keep their kind's code. Other reasons say why an attempt
ended (a timeout, a lost lease); codes 6 and 7 would suggest that waiting again could help."""


def proof_exit(problems: Collection[str], damage: Collection[str]) -> Exit:
    """The code of a verification: damage takes precedence over contradictions."""
    if damage:
        return Exit.CORRUPT
    return Exit.FAILED if problems else Exit.OK


def exit_of_operation(operation: Operation) -> Exit:
    """The code for a script that waited for `operation`."""
    if operation.state in SUCCEEDED:
        return Exit.OK
    if operation.state in _UNFINISHED:
        return Exit.NEEDS_OPERATOR
    reason = operation.error.reason if operation.error else ""
    return next((Exit(kind.exit_code) for kind in _KEPT if kind.reason == reason), Exit.FAILED)


def say(text: str) -> None:
    """A line for people, on stderr."""
    write_err(visible(text, lines=True))


def report_error(error: CleancutError) -> Exit:
    """Writes `error` to stderr; returns the exit code."""
    return report_parts(Exit(error.exit_code), error.reason, error.message, error.hint)


def report_parts(code: Exit, reason: str, message: str, hint: str) -> Exit:
    """Message, hint, and reason for scripts: a line each, or all as one line of JSON."""
    if errors_are_json():
        _report_json(code, reason, message, hint)
        return code
    write_err(click.style("error: ", fg="red", bold=True) + visible(message, lines=True))
    if hint:
        say(f"hint: {hint}")
    say(f"reason: {reason}")
    return code


def report_interrupted(message: str, *hints: str) -> Exit:
    """Ctrl-C is not an error for people, but is one for scripts that read JSON."""
    if errors_are_json():
        _report_json(Exit.INTERRUPTED, "INTERRUPTED", message, "; ".join(hints))
    else:
        for line in (message, *(f"hint: {hint}" for hint in hints)):
            say(line)
    return Exit.INTERRUPTED


def report_usage(error: click.ClickException) -> Exit:
    """What click says of a command line."""
    code = Exit.USAGE if isinstance(error, click.UsageError) else Exit(error.exit_code)
    context = getattr(error, "ctx", None)
    if not errors_are_json():
        error.show(text := io.StringIO())
        write_err(text.getvalue().rstrip("\n"))
    else:
        empty = isinstance(error, click.exceptions.NoArgsIsHelpError)
        message = "a command is missing" if empty else error.format_message()
        hint = f"see `{context.command_path} --help`" if context is not None else ""
        _report_json(code, Invalid.reason, message, hint)
    return code


def _report_json(code: Exit, reason: str, message: str, hint: str) -> None:
    import json

    from msgspec import to_builtins

    from cleancut.api.values import SCHEMA, CommandError

    error = CommandError(int(code), message, hint, reason)
    write_err(json.dumps({"schema": SCHEMA, "error": to_builtins(error)}))
