"""Plan of a backup, from what the cluster, etcd and the store say now; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from cleancut.core.backup.assignment import Usable, assign, check_versions, newest_entries
from cleancut.core.backup.plan import (
    BackupPlan,
    Place,
    described,
    differing,
    instant_blockers,
    instant_notes,
    may_roll,
    optimizing_note,
    plan_cuts,
)
from cleancut.core.backup.warnings import concerned, excluded_unknown, left_out
from cleancut.core.cluster.collection_config import why_undrainable
from cleancut.core.cluster.peer_names import peer_and_id
from cleancut.core.cluster.view import View
from cleancut.core.primitives.errors import CleancutError, TimedOut, Unavailable
from cleancut.core.primitives.ids import WITHOUT_CLUSTER, AgentName, Epoch, PeerId, ShardId
from cleancut.core.protocol.etcd_records import Reading, Session, ShardTask, UnusableReplica
from cleancut.core.protocol.fence import Fence, aliases_of, check_seen_everywhere, choose_fence
from cleancut.core.protocol.requests import BackupRequest, Selection
from cleancut.core.protocol.votes import agent_problems, no_agent
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.peer_view import (
    READING_LEVEL,
    parents_segment,
    read_view,
    readings_of,
    unusable_replicas,
)
from cleancut.qdrant.responses import Telemetry
from cleancut.runtime.concurrency import run_all
from cleancut_coordinator.any_peer import ask_any
from cleancut_coordinator.api.progress import read_ahead
from cleancut_coordinator.backup.assignment_inputs import (
    read_archived,
    read_fullness,
    read_homes,
    read_parent_groups,
)
from cleancut_coordinator.backup.choice import choose
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_sessions
from cleancut_coordinator.leader.cluster_id import check_store_owner
from cleancut_coordinator.leader.high_water import check_not_behind
from cleancut_coordinator.leader.installation import check_mark
from cleancut_coordinator.peer_agents import read_peer_agents

_AT_ONCE = 8
_READ_S = 3.0
Tasks = dict[AgentName, tuple[ShardTask, ...]]


class Sight(NamedTuple):
    """What one peer says; an agent next to it would see the same."""

    peer_id: PeerId
    view: View
    telemetry: Telemetry
    unusable: tuple[UnusableReplica, ...]


async def plan_backup(context: CoordinatorContext, request: BackupRequest) -> BackupPlan:
    """What this backup would do if it began now. Raises: Unavailable, if etcd does not answer."""
    blockers: list[str] = []
    with _noted(blockers):
        await check_store_owner(context)
        await check_not_behind(context)
    with _noted(blockers):
        await check_mark(context)
    sights = await _look(context, request, blockers)
    sessions = await read_sessions(context)
    able = {name: said for name, said in sorted(sessions.items()) if said.peer_id is not None}
    notes = [*await read_ahead(context), *agent_problems(sessions)]
    if not able:
        blockers.append(no_agent(agent_problems(sessions)).message)
    plan = BackupPlan()
    if sights and able:
        notes += await _notes(context, request, next(iter(sights.values())).view, able)
        with _noted(blockers):
            check_versions(able)
        with _noted(blockers):
            plan = await _planned(context, request, sights, able)
    return BackupPlan(
        collections=plan.collections,
        cuts=plan.cuts,
        missing=plan.missing,
        fence=plan.fence,
        notes=tuple(dict.fromkeys((*notes, *plan.notes))),
        blockers=tuple(dict.fromkeys((*blockers, *plan.blockers))),
    )


@contextmanager
def _noted(blockers: list[str]) -> Iterator[None]:
    """What is raised inside is a blocker: the next check is made all the same."""
    try:
        yield
    except CleancutError as error:
        blockers.append(described(error))


async def _look(
    context: CoordinatorContext, request: BackupRequest, blockers: list[str]
) -> dict[str, Sight]:
    """What each configured peer says that answers, by its URL; whether one has to, its agent
    knows."""
    selection = Selection(collections=request.collections, exclude=request.exclude)
    asked = await run_all([partial(_see, peer, selection) for peer in context.peers], _AT_ONCE)
    answers = dict(zip((peer.url for peer in context.peers), asked, strict=True))
    sights = {url: one for url, one in answers.items() if isinstance(one, Sight)}
    for url, error in answers.items():
        silent = isinstance(error, Unavailable | TimedOut)
        if isinstance(error, CleancutError) and not (silent and sights):
            blockers.append(f"Qdrant at {url}: {described(error)}")
    if sights:
        blockers += differing({url: sight.view for url, sight in sights.items()})
    return sights


async def _see(peer: Qdrant, selection: Selection) -> Sight | CleancutError:
    try:
        telemetry = await peer.telemetry(level=READING_LEVEL)
        view = await read_view(peer, selection, telemetry)
    except CleancutError as error:
        return error
    alone = telemetry.peer_id not in view.peers
    peer_id = WITHOUT_CLUSTER if alone else PeerId(telemetry.peer_id)
    chosen = selection.resolved(aliases_of(view))
    return Sight(peer_id, view, telemetry, unusable_replicas(telemetry, peer_id, chosen))


async def _notes(
    context: CoordinatorContext,
    request: BackupRequest,
    view: View,
    able: dict[AgentName, Session],
) -> list[str]:
    """What the backup would warn of."""
    agents, covered = await read_peer_agents(context), {said.peer_id for said in able.values()}
    notes = [
        f"{peer_and_id(peer, agents)} takes no part: no agent can use it"
        for peer in view.peers
        if peer not in covered
    ]
    if request.exclude:
        try:
            there = await ask_any(context.peers, lambda peer: peer.collections(_READ_S))
        except CleancutError:
            there = list(request.exclude)
        notes += excluded_unknown(request.exclude, {*there, *aliases_of(view)})
    return [*notes, *concerned(able.values())]


async def _planned(
    context: CoordinatorContext,
    request: BackupRequest,
    sights: dict[str, Sight],
    able: dict[AgentName, Session],
) -> BackupPlan:
    """The assignment as PREPARE would make it. Raises: what would fail it."""
    view = next(iter(sights.values())).view
    usable = Usable(able, [one for sight in sights.values() for one in sight.unusable])
    choice = await choose(context, view, usable, request, patient=True)
    groups = [] if request.full else await read_parent_groups(context, choice.chosen)
    tasks = assign(
        view,
        choice.chosen,
        usable,
        newest_entries(groups),
        homes=await read_homes(context),
        archived=await read_archived(context),
        points=await read_fullness(context, view, choice.chosen),
        full=request.full,
    )
    readings = _readings(sights.values(), tasks)
    blockers: list[str] = []
    fence = None
    with _noted(blockers):
        fence = _fence(context, request, view, choice.chosen, sessions=able.values())
    can_roll = may_roll(able.values(), context.bounds)
    undrainable = {
        entry.name: why for entry in choice.entries if (why := why_undrainable(entry.info))
    }
    notes = [
        *left_out(choice.missing),
        *instant_notes(request, fence, can_roll=can_roll),
        *(() if can_roll else optimizing_note(readings.values(), context.bounds)),
    ]
    return BackupPlan(
        collections=tuple(choice.chosen),
        cuts=plan_cuts(tasks, groups, sizes=await _sizes(context), readings=readings),
        missing=choice.missing,
        fence=fence,
        notes=tuple(notes),
        blockers=(*blockers, *instant_blockers(request, undrainable, can_roll=can_roll)),
    )


def _fence(
    context: CoordinatorContext,
    request: BackupRequest,
    view: View,
    chosen: Sequence[str],
    *,
    sessions: Iterable[Session],
) -> Fence | None:
    """The fence that would be raised. Raises: Refused."""
    fence = choose_fence(Epoch(0), request, context.fences, view=view, chosen=chosen)
    if fence is not None:
        check_seen_everywhere(view, [said.peer_id for said in sessions])
    return fence


def _readings(sights: Iterable[Sight], tasks: Tasks) -> dict[Place, Reading]:
    """Of the shards to cut, at the peers that have answered."""
    found: dict[Place, Reading] = {}
    for sight in sights:
        here = [t for given in tasks.values() for t in given if t.peer_id == sight.peer_id]
        read = readings_of(sight.telemetry, here, [parents_segment(task) for task in here])
        for index, task in enumerate(here):
            found[task.collection, task.shard_id, task.peer_id] = read.at(index)
    return found


async def _sizes(context: CoordinatorContext) -> dict[Place, int]:
    """Of all replicas, as their peers estimate them; none without cluster mode."""
    try:
        weights = await ask_any(context.peers, lambda peer: peer.weights())
    except CleancutError:
        return {}
    return {
        (name, ShardId(shard.shard_id), PeerId(replica.peer_id)): replica.size_bytes
        for name, entry in weights.collections.items()
        for shard in entry.shards
        for replica in shard.replicas
        if replica.size_bytes is not None
    }
