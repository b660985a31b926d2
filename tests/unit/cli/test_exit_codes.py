"""One table of exit codes, and nothing that ends without one."""

from __future__ import annotations

import pytest

from cleancut.api.backups import Backup
from cleancut.api.restores import Restore
from cleancut.api.values import OperationError
from cleancut.cli.exit_codes import MEANINGS, Exit, exit_of_operation
from cleancut.core.primitives.errors import KINDS, CleancutError
from cleancut.core.protocol.states import FINAL_STATES, State


def test_every_code_has_a_meaning_and_every_kind_has_a_code() -> None:
    assert set(MEANINGS) == set(Exit)
    for kind in (*KINDS, CleancutError):
        assert Exit(kind.exit_code) not in {Exit.OK, Exit.INTERRUPTED, Exit.NEEDS_OPERATOR}


def test_the_codes_that_scripts_know() -> None:
    """Changing one of these breaks somebody's cron job."""
    assert {kind.reason: kind.exit_code for kind in (*KINDS, CleancutError)} == {
        "INVALID": 2,
        "NOT_FOUND": 3,
        "REFUSED": 4,
        "FENCED": 1,
        "LEASE_LOST": 1,
        "UNAVAILABLE": 7,
        "TIMED_OUT": 6,
        "CORRUPT": 9,
        "DENIED": 8,
        "UNAUTHENTICATED": 8,
        "FAILED": 1,
    }


@pytest.mark.parametrize("state", sorted(FINAL_STATES | {State.ROLLING_BACK}))
@pytest.mark.parametrize("reason", [*(kind.reason for kind in KINDS), "CANCELLED", None])
def test_every_end_of_an_operation_has_a_code(state: State, reason: str | None) -> None:
    """Success is 0 and nothing else is; what ended is never said to go on."""
    error = None if reason is None else OperationError(reason=reason, message="m")
    code = exit_of_operation(Restore(id="r", state=state, error=error))
    done = {State.COMMITTED, State.SEEDED, State.DELETED, State.DONE}
    assert (code is Exit.OK) == (state in done)
    unfinished = state in {State.NEEDS_OPERATOR, State.ROLLING_BACK}
    assert (code is Exit.NEEDS_OPERATOR) == unfinished
    assert code not in {Exit.TIMED_OUT, Exit.NO_LEADER, Exit.INTERRUPTED}


def test_an_ended_operation_keeps_the_codes_that_say_what_to_do() -> None:
    def ended(reason: str) -> Exit:
        error = OperationError(reason=reason, message="m")
        return exit_of_operation(Backup(id="b", state=State.ABORTED, error=error))

    assert ended("REFUSED") is Exit.REFUSED
    assert ended("DENIED") is Exit.AUTH
    assert ended("CORRUPT") is Exit.CORRUPT
    assert ended("TIMED_OUT") is Exit.FAILED
    assert ended("SOMETHING_NEW") is Exit.FAILED
