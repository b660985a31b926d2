"""What must hold of every undelete."""

from __future__ import annotations

from collections.abc import Iterator

from cleancut.core.primitives.codec import decode
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.requests import UndeleteRequest
from cleancut.core.protocol.states import OperationKind, State
from simulation.outcome import Checker, Outcome
from simulation.undeleting import CLIENT, ids_of


def undeletes(outcome: Outcome) -> list[tuple[Operation, UndeleteRequest]]:
    records = outcome.last_records().values()
    return [
        (one, decode(UndeleteRequest, one.request.encode(), "the request"))
        for one in records
        if one.kind is OperationKind.UNDELETE
    ]


def clients_points_stay(outcome: Outcome) -> Iterator[str]:
    """What a client has written is never replaced."""
    for name, point in sorted(outcome.undeletes.clients):
        by = outcome.undeletes.live[name].get(point)
        if by != CLIENT:
            yield f"point {point} of {name}, which a client has written, is the {by}'s"


def undeleted_is_back(outcome: Outcome) -> Iterator[str]:
    """An undelete that is done has put back all points of the backup."""
    for record, request in undeletes(outcome):
        if record.state is not State.DONE:
            continue
        there = outcome.undeletes.live[request.into]
        shards = outcome.first_shards.get(request.collection, ())
        missing = [one for shard in shards for one in ids_of(shard) if one not in there]
        if missing:
            yield f"{record.id} is done, and {len(missing)} points are missing"


def undeleted_is_counted_once(outcome: Outcome) -> Iterator[str]:
    """Undeletes that are done have counted each point that came back, and once: whatever was
    repeated. A point that a client wrote first may count, too."""
    found = undeletes(outcome)
    if not found or any(record.state is not State.DONE for record, _ in found):
        return
    (into,) = {request.into for _, request in found}
    said, back = sum(record.reached for record, _ in found), outcome.undeletes.inserted[into]
    most = back + len(outcome.undeletes.clients)
    if not back <= said <= most:
        yield f"{said} points are said to be back, and {back} are, {most} with those of clients"


UNDELETE_CHECKERS: tuple[Checker, ...] = (
    clients_points_stay,
    undeleted_is_back,
    undeleted_is_counted_once,
)
