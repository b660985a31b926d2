"""What etcd and the store say about the cluster right now, for people."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from cleancut import __version__
from cleancut.api.cluster import (
    AgentStatus,
    ClusterStatus,
    CoordinatorStatus,
    Identity,
    OpenCheck,
    OpenFence,
    OpenOperation,
    StoreStatus,
)
from cleancut.api.values import to_value
from cleancut.core.cluster.peer_names import peer_and_id
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.protocol.etcd_keys import agent_of
from cleancut.core.protocol.etcd_records import CheckUnderWay, Coordinator, Ctl
from cleancut.core.protocol.fence import Fence, leftover_fences
from cleancut.core.protocol.states import CLOSED, FENCED
from cleancut.repository.catalog import list_epochs
from cleancut_coordinator.any_peer import ask_any
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_all, read_ctl, read_record, read_sessions
from cleancut_coordinator.leader.cluster_id import read_identities
from cleancut_coordinator.leader.election import read_leader
from cleancut_coordinator.leader.high_water import read_why_behind
from cleancut_coordinator.leader.installation import read_other
from cleancut_coordinator.peer_agents import read_peer_agents

_ASK_S = 2.0


async def read_status(context: CoordinatorContext) -> ClusterStatus:
    """The cluster as this coordinator sees it."""
    leader = await read_leader(context)
    ctl = await read_ctl(context)
    agents = await _read_agents(context, ctl)
    store, identity, problems = await _read_store(context)
    fences = await _read_fences(context, ctl)
    return ClusterStatus(
        cluster=context.keys.cluster,
        leader=leader.name if leader else "",
        coordinators=await _coordinators(
            context, leader.name if leader else "", leader.address if leader else ""
        ),
        agents=agents,
        open_operation=(
            None
            if ctl.phase in CLOSED
            else OpenOperation(id=ctl.operation, kind=ctl.kind, epoch=ctl.epoch, phase=ctl.phase)
        ),
        store=store,
        identity=identity,
        warnings=(*problems, *await _warnings(context, agents), *fences.warnings),
        open_fence=fences.open,
        open_check=await _open_check(context),
    )


async def _open_check(context: CoordinatorContext) -> OpenCheck | None:
    found = await read_record(context, context.keys.check, CheckUnderWay)
    return to_value(OpenCheck, found) if found is not None else None


@dataclass(frozen=True, slots=True)
class _Fences:
    open: OpenFence | None
    warnings: tuple[str, ...]


async def _read_fences(context: CoordinatorContext, ctl: Ctl) -> _Fences:
    """What etcd names, and what a peer shows of fences that should be gone."""
    fences = await read_all(context, context.keys.fences, Fence)
    open_epoch = ctl.epoch if ctl.phase in FENCED else None
    warnings = [
        f"the fence of epoch {fence.epoch} is not lifted yet"
        for fence in fences
        if fence.epoch != open_epoch
    ]
    try:
        aliases = await ask_any(context.peers, lambda peer: peer.aliases(_ASK_S))
    except CleancutError:
        aliases = {}
    with contextlib.suppress(CleancutError):  # said by what else asks the peers
        if other := await read_other(context):
            warnings.append(f"another installation uses this Qdrant cluster: {other}")
    warnings += [
        f"alias {stray.alias!r} is still fenced as {stray.name!r}: see `cleancut doctor`"
        for stray in leftover_fences(aliases)
        if stray.epoch != open_epoch
    ]
    shown = [
        OpenFence(
            epoch=fence.epoch,
            aliases=tuple(entry.alias for entry in fence.aliases),
            collections=tuple(sorted(name for hook in fence.hooks for name in hook.collections)),
            budget_s=fence.budget_s,
        )
        for fence in fences
    ]
    return _Fences(shown[-1] if shown else None, tuple(warnings))


async def _coordinators(
    context: CoordinatorContext, leader: str, address: str
) -> tuple[CoordinatorStatus, ...]:
    """The leader first, then those that stand by, and this process in any case."""
    known = {
        one.name: one for one in await read_all(context, context.keys.coordinators, Coordinator)
    }
    known.setdefault(context.name, Coordinator(name=context.name, address="", version=__version__))
    if leader:
        known.setdefault(leader, Coordinator(name=leader, address=address, version=""))
    return tuple(
        to_value(CoordinatorStatus, one, leader=one.name == leader)
        for one in sorted(known.values(), key=lambda one: (one.name != leader, one.name))
    )


async def _read_agents(context: CoordinatorContext, ctl: Ctl) -> tuple[AgentStatus, ...]:
    members = await context.etcd.list(context.keys.members(ctl.epoch))
    taking_part = {agent_of(item.key) for item in members.items}
    shown = []
    for session in (await read_sessions(context)).values():
        open_phase = "" if ctl.phase in CLOSED else ctl.phase.value
        shown.append(
            to_value(
                AgentStatus,
                session,
                phase=open_phase if session.name in taking_part else "",
                snapshots_only=session.wal,
                streams_only=session.capture,
            )
        )
    return tuple(shown)


async def _read_store(
    context: CoordinatorContext,
) -> tuple[StoreStatus, Identity | None, tuple[str, ...]]:
    """The store, whose it is, and why it cannot be used."""
    try:
        now = await read_identities(context)
        groups = len(await list_epochs(context.store, context.paths))
        behind = await read_why_behind(context)
    except CleancutError as error:
        away = StoreStatus(url=context.store_url, reachable=False)
        return away, None, (f"the coordinator cannot use the store: {error}",)
    identity = Identity(cluster_id=now.cluster_id, store_cluster_id=now.owner_id, equal=now.equal)
    problems = (f"etcd has gone back: {behind}: see `cleancut doctor`",) if behind else ()
    return StoreStatus(url=context.store_url, reachable=True, backups=groups), identity, problems


async def _warnings(
    context: CoordinatorContext, agents: tuple[AgentStatus, ...]
) -> tuple[str, ...]:
    """What an operator should know: peers without an agent, agents without a peer."""
    sessions = (await read_sessions(context)).values()
    warnings = [
        f"agent {one.name} cannot use its Qdrant at {one.url}: {one.problem or 'no answer'}"
        for one in sessions
        if one.peer_id is None
    ]
    warnings += [
        f"agent {one.name}: {concern.what}" for one in sessions for concern in one.concerns
    ]
    if not sessions:
        warnings.append("no agent is connected: nothing can be backed up or restored")
    peers = {peer for session in sessions for peer in session.peers} or await _members(context)
    covered = {agent.peer_id for agent in agents}
    agents_of = await read_peer_agents(context)
    warnings += [f"{peer_and_id(peer, agents_of)} has no agent" for peer in sorted(peers - covered)]
    return tuple(warnings)


async def _members(context: CoordinatorContext) -> set[int]:
    """The ids of all peers, as one of them says; empty while none answers."""
    try:
        cluster = await ask_any(context.peers, lambda peer: peer.cluster(_ASK_S))
    except CleancutError:
        return set()
    return set(cluster.peers)
