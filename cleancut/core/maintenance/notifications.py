"""Notifications: the events that follow from operations, schedules and damage, and the outbox of a
target, which says what was seen and what waits to be sent.

Pure. Events are derived from what etcd holds anyway: operations stay for 48 h after their end, in
the order of etcd's revisions. So nothing is written when an event happens, and the next leader
finds what the one before did not send.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from cleancut.core.maintenance.notify_rules import Event, NotifyRule
from cleancut.core.maintenance.schedule import Do, ScheduleState
from cleancut.core.primitives.codec import Record, decode
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.ids import Epoch, OperationId
from cleancut.core.primitives.record_times import Time
from cleancut.core.primitives.timestamps import format_time, parse_time
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.requests import BackupRequest, RestoreRequest
from cleancut.core.protocol.states import FINAL_STATES, SUCCEEDED, OperationKind, State

KEEP_S = 24 * 3600.0
"""For how long an event is tried."""
MAX_PENDING = 200
_KNOWN = 200
"""Events that are remembered, since an operation may be written again after its end."""
GOOD_OUTCOME, UNDER_WAY, PAUSED = "good", "under way", "it is paused"
"""Words of a schedule's state."""
_BACKUPS = frozenset({OperationKind.BACKUP, OperationKind.IMPORT})


class Notification(Record, frozen=True):
    """One event, as its target gets it. `id`: the same whenever it is sent again. `at`: when it
    happened, RFC 3339. `backup`: its id; "" if only its number, `epoch`, is known. `reason`: the
    kind of failure; `message`: for people."""

    id: str
    event: Event
    at: Time
    kind: str = ""
    operation: str = ""
    backup: str = ""
    epoch: int = 0
    state: str = ""
    reason: str = ""
    message: str = ""
    schedule: str = ""


class Outbox(Record, frozen=True):
    """`notify/<name>`: what a target was sent, and what waits.

    `revision`: operations that were written up to here have been looked at. `known`: ids of the
    newest events. `started`: operations under way whose start was seen. `marks`: the newest time
    of each schedule that was seen as missed or as ended. `damaged`: backups that are known to be.
    `failing_since`: RFC 3339, of the first failure since it was reached; `failure`: the newest.
    `dropped`: events that were not delivered.
    """

    revision: int = 0
    known: tuple[str, ...] = ()
    started: tuple[OperationId, ...] = ()
    marks: Mapping[str, str] = {}
    damaged: tuple[Epoch, ...] | None = None
    pending: tuple[Notification, ...] = ()
    failing_since: Time = ""
    failure: str = ""
    sent_at: str = ""
    dropped: int = 0
    nonce: str = ""


class SeenOperation(NamedTuple):
    """An operation, and etcd's revision of its newest write."""

    revision: int
    operation: Operation


class SeenSchedule(NamedTuple):
    do: Do
    state: ScheduleState


class Seen(NamedTuple):
    """One look at the cluster. `damaged`: damaged backups and why; None: not looked at."""

    now_s: float
    operations: tuple[SeenOperation, ...] = ()
    schedules: Mapping[str, SeenSchedule] = {}
    damaged: Mapping[Epoch, str] | None = None


def opened(seen: Seen) -> Outbox:
    """The outbox of a new target: what has happened before is not sent."""
    before, _ = _observed(Outbox(), seen)
    return before


def observed(outbox: Outbox, seen: Seen, rule: NotifyRule) -> Outbox:
    """The outbox with what is new; repeatable."""
    after, found = _observed(outbox, seen)
    new = [one for one in found if rule.takes(one.event, one.schedule)]
    pending = (*outbox.pending, *new)
    lost = max(0, len(pending) - MAX_PENDING)
    return replace(after, pending=pending[lost:], dropped=outbox.dropped + lost)


def sent(outbox: Outbox, event_id: str, now_s: float) -> Outbox:
    """The outbox once the target has taken this event."""
    rest = tuple(one for one in outbox.pending if one.id != event_id)
    at = format_time(now_s)
    return replace(outbox, pending=rest, failing_since="", failure="", sent_at=at)


def failed(outbox: Outbox, why: str, now_s: float) -> Outbox:
    """The outbox once the target could not be reached, or asked for patience."""
    return replace(
        outbox, failing_since=outbox.failing_since or format_time(now_s), failure=why[:300]
    )


def refused(outbox: Outbox, event_id: str, why: str, now_s: float) -> Outbox:
    """The outbox once the target has refused this event for good: it is not sent again."""
    rest = tuple(one for one in outbox.pending if one.id != event_id)
    after = replace(outbox, pending=rest, dropped=outbox.dropped + 1)
    return failed(after, why, now_s)


def without_old(outbox: Outbox, now_s: float) -> Outbox:
    """The outbox without events that have been tried for too long."""
    limit = format_time(now_s - KEEP_S)
    kept = tuple(one for one in outbox.pending if one.at >= limit)
    lost = len(outbox.pending) - len(kept)
    return replace(outbox, pending=kept, dropped=outbox.dropped + lost) if lost else outbox


def _observed(outbox: Outbox, seen: Seen) -> tuple[Outbox, list[Notification]]:
    """What was seen, and the events that were not known before, in the order of revisions."""
    known, found = set(outbox.known), []
    for event in _events(outbox, seen):
        if event.id not in known:
            known.add(event.id)
            found.append(event)
    running = (one.operation for one in seen.operations if _is_running(one.operation))
    return (
        replace(
            outbox,
            revision=max((outbox.revision, *(one.revision for one in seen.operations))),
            known=(*outbox.known, *(one.id for one in found))[-_KNOWN:],
            started=tuple(sorted(one.id for one in running)),
            marks={**outbox.marks, **dict(_marks(seen))},
            damaged=outbox.damaged if seen.damaged is None else tuple(sorted(seen.damaged)),
        ),
        found,
    )


def _events(outbox: Outbox, seen: Seen) -> Iterator[Notification]:
    for revision, one in sorted(seen.operations, key=lambda one: one.revision):
        if _is_running(one) and one.id not in outbox.started:
            yield _of_operation(one, Event.STARTED)
        if revision > outbox.revision and one.state in FINAL_STATES and one.ended_at:
            event = _end_of(one)
            if event is not None:
                yield _of_operation(one, event)
    for name, schedule in seen.schedules.items():
        yield from _of_schedule(name, schedule, outbox.marks, seen.now_s)
    if outbox.damaged is not None:
        yield from _of_damage(outbox.damaged, seen)


def _is_running(operation: Operation) -> bool:
    return operation.kind is OperationKind.BACKUP and operation.state not in {
        State.PENDING,
        *FINAL_STATES,
    }


def _end_of(operation: Operation) -> Event | None:
    """The event of an operation's end. None: a seed, rebalance or reshard that is done."""
    if operation.state is State.NEEDS_OPERATOR:
        return Event.NEEDS_OPERATOR
    if operation.state not in SUCCEEDED:
        return Event.ABORTED
    if operation.kind in _BACKUPS:
        return Event.COMMITTED
    return Event.RESTORED if operation.kind is OperationKind.RESTORE else None


def _of_operation(operation: Operation, event: Event) -> Notification:
    failure, backup = operation.failure, operation.id if operation.kind in _BACKUPS else ""
    schedule, epoch = _asked(operation)
    failing = event is not Event.STARTED and operation.state not in SUCCEEDED
    return Notification(
        id=f"{event}-{operation.id}",
        event=event,
        at=operation.created_at if event is Event.STARTED else operation.ended_at,
        kind=operation.kind,
        operation=operation.id,
        backup=backup,
        epoch=epoch,
        state=operation.state,
        reason=failure.reason if failure and failing else "",
        message=failure.message if failure and failing else "",
        schedule=schedule,
    )


def _asked(operation: Operation) -> tuple[str, int]:
    """The schedule that asked, and the number of the backup that it is about; "" and 0, if there
    is none or the request cannot be read."""
    request = operation.request.encode()
    try:
        if operation.kind is OperationKind.BACKUP:
            return decode(BackupRequest, request, operation.id).schedule, int(operation.epoch)
        if operation.kind is OperationKind.RESTORE:
            return "", int(decode(RestoreRequest, request, operation.id).backup)
    except Corrupt:
        return "", 0
    return "", int(operation.epoch) if operation.kind in _BACKUPS else 0


def _of_schedule(
    name: str, schedule: SeenSchedule, marks: Mapping[str, str], now_s: float
) -> Iterator[Notification]:
    state = schedule.state
    if state.skipped > marks.get(f"missed/{name}", "") and state.why != PAUSED:
        yield Notification(
            id=f"missed-{name}-{state.skipped}",
            event=Event.MISSED,
            at=format_time(now_s),
            kind=schedule.do,
            message=f"the start at {state.skipped} was skipped: {state.why}",
            schedule=name,
        )
    if _is_over(schedule) and state.due > marks.get(f"ended/{name}", ""):
        good = state.outcome == GOOD_OUTCOME
        if good and schedule.do is not Do.COPY:
            return
        yield Notification(
            id=f"{schedule.do}-{name}-{state.due}",
            event=Event.COPIED if good else Event.ABORTED,
            at=format_time(now_s),
            kind=schedule.do,
            state="DONE" if good else "FAILED",
            message="" if good else state.outcome,
            schedule=name,
        )


def _is_over(schedule: SeenSchedule) -> bool:
    """Whether the check or copy of its newest time has an outcome."""
    return schedule.do is not Do.BACKUP and schedule.state.outcome not in {"", UNDER_WAY}


def _marks(seen: Seen) -> Iterator[tuple[str, str]]:
    for name, schedule in seen.schedules.items():
        if schedule.state.skipped:
            yield f"missed/{name}", schedule.state.skipped
        if _is_over(schedule):
            yield f"ended/{name}", schedule.state.due


def _of_damage(known: Iterable[Epoch], seen: Seen) -> Iterator[Notification]:
    damaged = seen.damaged or {}
    for epoch in sorted(set(damaged) - set(known)):
        at = format_time(seen.now_s)
        yield Notification(
            id=f"damaged-{epoch}-{at}",
            event=Event.DAMAGED,
            at=at,
            kind=OperationKind.BACKUP,
            epoch=int(epoch),
            state=State.DAMAGED,
            message=damaged[epoch],
        )


def age_s(outbox: Outbox, now_s: float) -> float:
    """How long the oldest event has waited; 0 if none waits."""
    return max((now_s - parse_time(one.at) for one in outbox.pending), default=0.0)
