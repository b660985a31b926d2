"""What users and schedules may rely on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from cleancut.core.primitives.codec import decode
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import OperationKind
from simulation.outcome import Checker, Outcome


def nothing_forgotten(outcome: Outcome) -> Iterator[str]:
    """What was answered to a user is an operation of that kind, for as long as it is kept."""
    records = outcome.last_records()
    for asked in outcome.asked:
        if not asked.over:
            yield f"{asked.name} was never answered"
        record = records.get(asked.answered)
        if asked.answered and (record is None or record.kind is not asked.kind):
            yield f"{asked.name} was answered with {asked.answered}, which is {record}"


def nothing_twice(outcome: Outcome) -> Iterator[str]:
    """A request that is repeated is one operation; so is each time of a schedule."""
    first: dict[str, Operation] = {}
    for record in outcome.last_records().values():
        again = record.request_id and record.request_id in first
        if again and not outcome.shared.trace.turns:
            yield f"{record.request_id} is {record.id} and {first[record.request_id].id}"
        first[record.request_id] = record
    keys = outcome.shared.keys
    for name in () if outcome.shared.trace.turns else outcome.config.schedules:
        due = Counter(
            record.request_id.rpartition("%2F")[0]
            for record in first.values()
            if record.kind is OperationKind.BACKUP
            and not record.request_id.startswith("archive%2F")  # asked for as a base
            and decode(BackupRequest, record.request.encode(), keys.root).schedule == name
        )
        for time, times in due.items():
            if times > 1:
                yield f"schedule {name} has started {times} backups for {time}"


USER_CHECKERS: tuple[Checker, ...] = (nothing_forgotten, nothing_twice)
