"""Outcomes of operations: what is a failure of backups, and what a request caused."""

from __future__ import annotations

import pytest

from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import OperationId
from cleancut.core.protocol.etcd_records import Failure, Operation
from cleancut.core.protocol.outcomes import Outcome, outcome_of
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import OperationKind, State


def ended(reason: str, *, schedule: str = "", state: State = State.ABORTED) -> Operation:
    request = encode(BackupRequest(schedule=schedule)).decode()
    return Operation(
        id=OperationId("b-1"),
        kind=OperationKind.BACKUP,
        state=state,
        request=request,
        failure=Failure(reason=reason, message="no") if reason else None,
    )


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("CANCELLED", Outcome.CANCELLED),
        ("NOT_FOUND", Outcome.REJECTED),
        ("INVALID", Outcome.REJECTED),
        ("DENIED", Outcome.FAILED),
    ],
)
def test_what_a_request_caused_is_not_a_failure_of_backups(reason: str, outcome: Outcome) -> None:
    """A mistyped name, or a backup that was cancelled."""
    assert outcome_of(ended(reason)) is outcome


@pytest.mark.parametrize("reason", ["NOT_FOUND", "INVALID", "DENIED"])
def test_a_schedule_whose_request_is_wrong_has_failed(reason: str) -> None:
    """It names a collection that was dropped, and makes no backup from then on."""
    assert outcome_of(ended(reason, schedule="nightly")) is Outcome.FAILED


def test_a_success_is_complete_whatever_was_said_before() -> None:
    assert outcome_of(ended("DENIED", state=State.COMMITTED)) is Outcome.COMPLETE
