"""Operations that are recorded together with a restore, and the order of their turns. Pure.

A restore whose shards are to become more or fewer is verified first, then waits for its reshards,
and publishes its names after the last of them. A rebalance comes once it is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cleancut.core.primitives.ids import OperationId, numbered
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.states import FINAL_STATES, OperationKind, State

_RESTORE, _REBALANCE, _RESHARD = "r-", "m-", "n-"
"""What the ids of their kinds begin with."""


def rebalance_after(restore: OperationId) -> OperationId:
    """The id of the rebalance that was recorded with this restore."""
    return OperationId(_REBALANCE + _own(restore))


def reshard_ids_after(restore: OperationId, count: int) -> tuple[OperationId, ...]:
    """The ids of the reshards that were recorded with this restore, in their order."""
    return tuple(OperationId(f"{_RESHARD}{_own(restore)}-{one + 1}") for one in range(count))


def is_reshard_after(reshard: OperationId, restore: OperationId) -> bool:
    """True if the reshard was recorded with this restore."""
    stem, number = numbered(reshard)
    return number > 0 and stem == _RESHARD + _own(restore)


def _own(operation: OperationId) -> str:
    return operation.partition("-")[2]


def open_reshards_of(
    restore: OperationId, recorded: Iterable[Operation]
) -> tuple[OperationId, ...]:
    """The reshards of this restore that are not over, in their order."""
    found = [
        one.id
        for one in recorded
        if one.kind is OperationKind.RESHARD
        and one.state not in FINAL_STATES
        and is_reshard_after(one.id, restore)
    ]
    return tuple(sorted(found, key=numbered))


def waits_for_reshards(operation: Operation) -> bool:
    """True for a restore that is verified, and publishes its names after its reshards."""
    pending = operation.state is State.PENDING and operation.kind is OperationKind.RESTORE
    return pending and bool(operation.detail)


def waits_for_another(operation: Operation, open_ones: Mapping[OperationId, Operation]) -> bool:
    """True if one of `open_ones`, all that are not over, has to be over first: the one before it,
    unless that is a restore which waits for this reshard; the restore of a rebalance."""
    before = open_ones.get(operation.after)
    if before is not None:
        reshards = operation.kind is OperationKind.RESHARD
        return not (reshards and waits_for_reshards(before) and not before.cancelled)
    rebalances = operation.kind is OperationKind.REBALANCE
    return rebalances and OperationId(_RESTORE + _own(operation.id)) in open_ones


def reshards_of_canceled(recorded: Iterable[Operation]) -> tuple[OperationId, ...]:
    """The reshards that end since their restore, which waits for them, was canceled."""
    known = tuple(recorded)
    canceled = [one for one in known if one.cancelled and waits_for_reshards(one)]
    return tuple(name for one in canceled for name in open_reshards_of(one.id, known))
