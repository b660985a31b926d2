"""What etcd says of the cluster right now, for the gauges: every coordinator reads the same, so
that neither a restart nor a change of leaders makes any of it unknown."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from cleancut.core.archive.status import ArchiveSeen, archive_seen
from cleancut.core.maintenance.garbage import LastGc
from cleancut.core.maintenance.schedule import ScheduleRule, ScheduleState
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.ids import AgentName
from cleancut.core.primitives.timestamps import parse_time
from cleancut.core.protocol.etcd_records import Coordinator, Operation
from cleancut.core.protocol.fence import Fence
from cleancut.core.protocol.outcomes import outcome_of, schedule_of
from cleancut.core.protocol.states import (
    CLOSED,
    FINAL_STATES,
    SUCCEEDED,
    OperationKind,
    State,
)
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import (
    read_all,
    read_archive_plan,
    read_archive_states,
    read_ctl,
    read_marked_ms,
    read_operations,
    read_record,
    read_sessions,
)
from cleancut_coordinator.maintenance.scheduler import next_start_s, read_state
from cleancut_coordinator.metrics.cluster_snapshot import (
    ClusterSeen,
    Ended,
    ScheduleSeen,
    Waiting,
)
from cleancut_coordinator.schedules import read_schedules


async def read_cluster(context: CoordinatorContext) -> ClusterSeen:
    """Raises: Unavailable, TimedOut, Corrupt: then nothing of it is known."""
    keys = context.keys
    sessions = (await read_sessions(context)).values()
    fences = await read_all(context, keys.fences, Fence)
    operations = await read_operations(context)
    rules = await read_schedules(context)
    schedules = [await _schedule(context, name, rule) for name, rule in rules.items()]
    ctl = await read_ctl(context)
    last = await read_record(context, keys.last_gc, LastGc)
    peers = {peer for one in sessions for peer in one.peers}
    return ClusterSeen(
        connected=sum(one.peer_id is not None for one in sessions),
        expected=len(peers) if peers else None,
        fence_since_s=min((_seconds(one.raised_at) for one in fences), default=None),
        waiting=tuple(_waiting(operations)),
        ended=tuple(newest_ended(operations)),
        schedules=tuple(schedules),
        gc_s=(_seconds(last.at) or None) if last else None,
        garbage_bytes=last.marked_bytes if last and last.at else None,
        attempt=(ctl.epoch, ctl.phase in CLOSED),
        archive=await _archive(context, {one.name for one in sessions}),
        coordinators=len(await read_all(context, keys.coordinators, Coordinator)),
        needing=tuple(needing_operator(operations)),
    )


async def _archive(
    context: CoordinatorContext, living: Collection[AgentName]
) -> ArchiveSeen | None:
    plan = await read_archive_plan(context)
    if not plan.tasks:
        return None
    return archive_seen(
        plan,
        await read_archive_states(context),
        living,
        now_ms=context.clock.wall_s() * 1000,
        marked_ms=await read_marked_ms(context),
    )


async def _schedule(context: CoordinatorContext, name: str, rule: ScheduleRule) -> ScheduleSeen:
    known = await read_state(context, name) or ScheduleState(timing="", seen="")
    next_s = next_start_s(context, name, rule, known)
    return ScheduleSeen(
        name,
        rule.do,
        known.paused,
        _seconds(known.since) or None,
        next_s,
        _seconds(known.due) or None,
    )


def _waiting(operations: Iterable[Operation]) -> Iterable[Waiting]:
    open_ones = [one for one in operations if one.state not in FINAL_STATES]
    for kind in OperationKind:
        mine = [one for one in open_ones if one.kind is kind]
        if mine:
            oldest = min(mine, key=lambda one: one.created_at)
            yield Waiting(kind, oldest.state, _seconds(oldest.created_at))


def newest_ended(operations: Iterable[Operation]) -> list[Ended]:
    """Of each kind, schedule and outcome the newest."""
    newest: dict[tuple[str, str, str], Ended] = {}
    for one in sorted(operations, key=lambda one: one.ended_at):
        if one.state in FINAL_STATES and one.ended_at:
            schedule, outcome = schedule_of(one), outcome_of(one)
            at_s = _seconds(one.ended_at)
            took_s = max(0.0, at_s - _seconds(one.created_at))
            ended = Ended(one.kind, schedule, outcome, at_s, took_s)
            newest[one.kind, schedule, outcome] = ended
    return list(newest.values())


def needing_operator(operations: Iterable[Operation]) -> Iterable[tuple[OperationKind, float]]:
    """Kinds of which an operation needs an operator, and when the newest such one ended; not once a
    newer one is complete."""
    ended = sorted((one for one in operations if one.ended_at), key=lambda one: one.ended_at)
    for kind in OperationKind:
        decisive = [
            one
            for one in ended
            if one.kind is kind and (one.state in SUCCEEDED or one.state is State.NEEDS_OPERATOR)
        ]
        if decisive and decisive[-1].state is State.NEEDS_OPERATOR:
            yield kind, _seconds(decisive[-1].ended_at)


def _seconds(at: str) -> float:
    """0 for none; a fence is lifted, and so counted, whatever it says of its time."""
    try:
        return parse_time(at) if at else 0.0
    except Corrupt:
        return 0.0
