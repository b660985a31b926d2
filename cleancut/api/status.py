"""Status of a cluster as one value: what `cleancut status` prints, and what a status page shows."""

from __future__ import annotations

from collections.abc import Iterable

from cleancut.api.cluster import (
    AgentStatus,
    ClusterStatus,
    CoordinatorStatus,
    DoctorFinding,
    Identity,
    OpenCheck,
    OpenFence,
    OpenOperation,
    StoreStatus,
)
from cleancut.api.protection import Protection
from cleancut.api.schedules import Schedule
from cleancut.api.values import ApiValue, Time, to_value


class NextOperation(ApiValue, frozen=True):
    """The schedule that is due next. `do`: backup | verify | drill | copy."""

    schedule: str
    do: str = ""
    at: Time | None = None


class Status(ApiValue, frozen=True):
    """The verdict first, then what it rests on. `unknown`: what could not be found out, for
    people: everything about the live cluster, if it is read from a store alone."""

    protected: bool
    reason: str
    summary: str
    cluster: str
    protection: Protection
    leader: str = ""
    coordinators: tuple[CoordinatorStatus, ...] = ()
    agents: tuple[AgentStatus, ...] = ()
    open_operation: OpenOperation | None = None
    next_operation: NextOperation | None = None
    store: StoreStatus | None = None
    identity: Identity | None = None
    open_fence: OpenFence | None = None
    open_check: OpenCheck | None = None
    warnings: tuple[str, ...] = ()
    findings: tuple[DoctorFinding, ...] = ()
    unknown: tuple[str, ...] = ()


def status_of(
    cluster: ClusterStatus,
    protection: Protection,
    *,
    schedules: Iterable[Schedule] = (),
    findings: tuple[DoctorFinding, ...] = (),
    unknown: tuple[str, ...] = (),
) -> Status:
    """One value of the answers of a coordinator, or of a store."""
    due = [one for one in schedules if one.next_at]
    first = min(due, key=lambda one: one.next_at or "", default=None)
    return to_value(
        Status,
        cluster,
        protected=protection.protected,
        reason=protection.reason,
        summary=protection.summary,
        protection=protection,
        next_operation=first and NextOperation(schedule=first.name, do=first.do, at=first.next_at),
        findings=findings,
        unknown=unknown,
    )
