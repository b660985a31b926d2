"""What a page shows: the values of the API at one time, as the caller last read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cleancut.api.backups import Backup
from cleancut.api.cluster import ClusterStatus, DoctorFinding
from cleancut.api.ended_work import EndedWork
from cleancut.api.operations import Operation
from cleancut.api.protection import Protection
from cleancut.api.rebalances import Rebalance
from cleancut.api.reshards import Reshard
from cleancut.api.restores import Restore
from cleancut.api.schedules import Schedule
from cleancut.api.undeletes import Undelete
from cleancut.core.format.timeline import Timeline
from cleancut.core.maintenance.due_times import DueTimes
from cleancut.core.verification.damage import LogEntry

MOST_WORK = 100
"""Of the verifications, drills, copies and gc runs, the newest that are shown."""


@dataclass(frozen=True, slots=True)
class Seen:
    """`at_s`: seconds since 1970. `unread`: what could not be read, with the reason: it is shown
    as it was before. `backups`: newest first, without their shards. `work`: newest first.
    `running`: operations that are not over. `checks`: of the verification log, newest first.
    `complete`: the catalog was read once. `findings` None: not known. `timelines`: of operations,
    by their ids. `due`: the times of schedules, by their names."""

    cluster: str
    at_s: float = 0.0
    complete: bool = False
    unread: tuple[str, ...] = ()
    status: ClusterStatus | None = None
    protection: Protection | None = None
    findings: tuple[DoctorFinding, ...] | None = None
    schedules: tuple[Schedule, ...] = ()
    due: Mapping[str, DueTimes] = field(default_factory=dict)
    backups: tuple[Backup, ...] = ()
    restores: tuple[Restore, ...] = ()
    rebalances: tuple[Rebalance, ...] = ()
    reshards: tuple[Reshard, ...] = ()
    undeletes: tuple[Undelete, ...] = ()
    work: tuple[EndedWork, ...] = ()
    running: tuple[Operation, ...] = ()
    checks: tuple[LogEntry, ...] = ()
    timelines: Mapping[str, Timeline] = field(default_factory=dict)
