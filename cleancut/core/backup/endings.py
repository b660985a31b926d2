"""Endings of attempts: which failure is repeated as a new epoch, and one of a decided backup."""

from __future__ import annotations

from msgspec.structs import replace

from cleancut.core.primitives.errors import Refused
from cleancut.core.protocol.etcd_records import Failure, Operation
from cleancut.core.protocol.states import PERMANENT


def may_repeat(operation: Operation, attempts: int, failure: Failure) -> bool:
    """Sick collections end a backup at once: the caller can leave them out. Replicas that were just
    found unusable are a reason to repeat, since others may hold the same shards. A refusal is final
    in the first attempt only: later, an agent may return."""
    if failure.sick:
        return False
    if set(failure.unusable) - set(operation.unusable):
        return True
    if failure.reason == Refused.reason and operation.attempts > 1:
        return operation.counted < attempts
    return failure.reason not in PERMANENT and operation.counted < attempts


def not_published(failure: Failure) -> Failure:
    """The failure of a backup that is decided, and whose manifest cannot be published."""
    return replace(
        failure,
        message=f"the backup is decided, but its manifest is not published: {failure.message}",
        hint="remove what is in the way; the next gc run publishes it. If its staged manifest is "
        "gone it is lost: back up again",
    )
