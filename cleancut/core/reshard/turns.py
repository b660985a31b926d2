"""Turns of reshards: those of one collection go one after the other, each to its end. Pure.

Between two steps of a reshard other operations get their turn. Two reshards of one collection to
different numbers would then undo each other's steps for ever.
"""

from __future__ import annotations

from collections.abc import Iterable

from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.ids import OperationId
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.followers import waits_for_another
from cleancut.core.protocol.requests import ReshardRequest
from cleancut.core.protocol.states import OperationKind


def held_up(open_ones: Iterable[Operation]) -> frozenset[OperationId]:
    """The reshards that wait for an earlier one of their collection. One that waits for another
    operation is not earlier than any: it may wait for one that this would hold up.

    `open_ones`: all operations that are not over.
    """
    known = {one.id: one for one in open_ones}
    first: dict[str, Operation] = {}
    reshards = [one for one in known.values() if one.kind is OperationKind.RESHARD]
    for one in sorted(reshards, key=lambda reshard: (reshard.created_at, reshard.id)):
        if not waits_for_another(one, known):
            first.setdefault(_collection(one), one)
    leading = {one.id for one in first.values()}
    return frozenset(one.id for one in reshards if one.id not in leading)


def _collection(reshard: Operation) -> str:
    try:
        return decode(
            ReshardRequest, reshard.request.encode(), "the operation's request"
        ).collection
    except Corrupt:
        return ""  # its own turn ends it, with that reason
