"""Outcomes of operations that are over: what is a failure, and what a request caused. Pure."""

from __future__ import annotations

from enum import StrEnum

from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import SUCCEEDED, OperationKind

_WRONG_REQUEST = frozenset({"INVALID", "NOT_FOUND"})


class Outcome(StrEnum):
    """REJECTED: a backup by hand whose request was wrong. CANCELLED: as somebody asked for."""

    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


def schedule_of(operation: Operation) -> str:
    """The schedule that asked for a backup; "", if none did or the request cannot be read."""
    if operation.kind is not OperationKind.BACKUP:
        return ""
    try:
        return decode(BackupRequest, operation.request.encode(), operation.id).schedule
    except Corrupt:
        return ""  # its own turn ends it, with that reason


def outcome_of(operation: Operation) -> Outcome:
    """How an operation that is over has ended; a cancelled one has not failed, nor one by hand
    whose request was wrong. A schedule that names what is not there has failed."""
    if operation.state in SUCCEEDED:
        return Outcome.COMPLETE
    reason = operation.failure.reason if operation.failure is not None else ""
    if reason == "CANCELLED":
        return Outcome.CANCELLED
    by_hand = operation.kind is OperationKind.BACKUP and not schedule_of(operation)
    return Outcome.REJECTED if by_hand and reason in _WRONG_REQUEST else Outcome.FAILED
