"""Leadership: what a coordinator holds while it leads."""

from __future__ import annotations

from dataclasses import dataclass

from cleancut.core.primitives.ids import FencingToken
from cleancut_coordinator.archive.mark_taker import MarkTaker
from cleancut_coordinator.leader.term import LeaderTerm
from cleancut_coordinator.maintenance.asked_checks import AskedChecks
from cleancut_coordinator.maintenance.garbage_collector import GarbageCollector
from cleancut_coordinator.maintenance.scheduler import Scheduler


@dataclass(frozen=True, slots=True)
class Leadership:
    """One term: the token that guards its writes, and the tasks that the API commands."""

    token: FencingToken
    term: LeaderTerm
    garbage: GarbageCollector
    scheduler: Scheduler
    marks: MarkTaker
    checks: AskedChecks
