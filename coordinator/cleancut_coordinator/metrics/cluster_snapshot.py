"""Snapshot of a cluster as etcd shows it: what the gauges are set from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from cleancut.core.archive.status import ArchiveSeen
from cleancut.core.protocol.outcomes import Outcome
from cleancut.core.protocol.states import OperationKind, State


class Ended(NamedTuple):
    """The newest operation of its kind, schedule and outcome that is over."""

    kind: OperationKind
    schedule: str
    outcome: Outcome
    at_s: float
    took_s: float


class Waiting(NamedTuple):
    """The oldest operation of its kind that is not over."""

    kind: OperationKind
    state: State
    since_s: float


class ScheduleSeen(NamedTuple):
    """How far a schedule is; times are None while there is none."""

    name: str
    kind: str
    paused: bool
    since_s: float | None
    next_s: float | None
    last_s: float | None


@dataclass(frozen=True, slots=True)
class ClusterSeen:
    """`expected`: peers that the agents' peers know of; None while no agent reports.
    `fence_since_s`: when the oldest fence that is not seen lifted was raised; 0: unknown.
    `attempt`: changes when an attempt begins or ends. `archive`: None, while nothing is archived.
    `coordinators`: those that lead or stand by. `needing`: kinds of operations of which one needs
    an operator, and when the newest such one ended.
    """

    connected: int
    expected: int | None
    fence_since_s: float | None
    waiting: tuple[Waiting, ...]
    ended: tuple[Ended, ...]
    schedules: tuple[ScheduleSeen, ...]
    gc_s: float | None
    garbage_bytes: float | None
    attempt: tuple[int, bool]
    archive: ArchiveSeen | None = None
    coordinators: int = 0
    needing: tuple[tuple[OperationKind, float], ...] = ()
