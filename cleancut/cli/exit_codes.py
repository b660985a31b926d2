"""Exit codes, and how a failure is told: what happened, what to do, and the reason to match."""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum

import click

from cleancut.api.operations import Operation
from cleancut.core.primitives.errors import (
    CleancutError,
    Corrupt,
    Denied,
    Invalid,
    NotFound,
    Refused,
)
from cleancut.core.protocol.states import SUCCEEDED, State


class Exit(IntEnum):
    """What a script may rely on."""

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
    Exit.OK: "It is done, or the answer is on stdout.",
    Exit.FAILED: "It failed; `error` says why.",
    Exit.USAGE: "The command line or a name in it is wrong, or `--yes` is missing.",
    Exit.NOT_FOUND: "What was named does not exist.",
    Exit.REFUSED: "A precondition does not hold; nothing was touched.",
    Exit.NEEDS_OPERATOR: "A restore needs a person, or its rollback is not finished.",
    Exit.TIMED_OUT: "Waiting took too long; the operation goes on.",
    Exit.NO_LEADER: "No coordinator answers or leads; repeat it.",
    Exit.AUTH: "Credentials are missing or do not suffice.",
    Exit.CORRUPT: "Data is not what its digest says.",
    Exit.INTERRUPTED: "Interrupted; an operation that was started goes on.",
}

_UNFINISHED = {State.NEEDS_OPERATOR, State.ROLLING_BACK}
_KEPT = (Invalid, NotFound, Refused, Denied, Corrupt)
"""Reasons of an ended operation that keep their kind's code. The others told why an attempt ended
(a bound was over, a lease was lost): codes 6 and 7 would say that waiting again could help."""


def proof_exit(problems: Collection[str], damage: Collection[str]) -> Exit:
    """What a look at a group found, for a script. What is gone weighs more than what is said."""
    if damage:
        return Exit.CORRUPT
    return Exit.FAILED if problems else Exit.OK


def exit_of_operation(operation: Operation) -> Exit:
    """What the end of `operation` is for a script that waited for it."""
    if operation.state in SUCCEEDED:
        return Exit.OK
    if operation.state in _UNFINISHED:
        return Exit.NEEDS_OPERATOR
    reason = operation.error.reason if operation.error else ""
    return next((Exit(kind.exit_code) for kind in _KEPT if kind.reason == reason), Exit.FAILED)


def say(text: str) -> None:
    """A line for people, on stderr."""
    click.echo(text, err=True)


def tell(error: CleancutError) -> Exit:
    """Says `error` on stderr; gives the code to exit with."""
    tell_parts(error.reason, error.message, error.hint)
    return Exit(error.exit_code)


def tell_parts(reason: str, message: str, hint: str) -> None:
    """One line what, one line what to do, one line for scripts."""
    say(click.style("error: ", fg="red", bold=True) + message)
    if hint:
        say(f"hint: {hint}")
    say(f"reason: {reason}")
