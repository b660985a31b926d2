"""What etcd and the store say about the cluster right now, for people."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from cleancut import __version__
from cleancut.api.backups import Backup
from cleancut.api.cluster import (
    AgentStatus,
    ClusterStatus,
    CoordinatorStatus,
    Identity,
    OpenFence,
    OpenOperation,
    StoreStatus,
)
from cleancut.api.operations import is_over
from cleancut.api.rebalances import Rebalance
from cleancut.api.restores import Restore
from cleancut.api.values import AgentProgress
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.etcd_records import Ctl, ProgressRecord, Session
from cleancut.core.protocol.fence import Fence, strays
from cleancut.core.protocol.states import CLOSED, FENCED
from cleancut.ports.clock import Clock
from cleancut.repository.catalog import list_epochs
from cleancut_coordinator.any_peer import ask_any
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader.cluster_id import read_identities
from cleancut_coordinator.leader.election import read_leader

POLL_S = 0.25
_ASK_S = 2.0
CANCEL_S = 40.0
"""How long a cancel waits for the end of what it cancels; clients wait a little longer."""
Shown = TypeVar("Shown", Backup, Restore, Rebalance)


async def read_progress(context: CoordinatorContext, epoch: Epoch) -> tuple[AgentProgress, ...]:
    """How far each agent is in `epoch`, by name."""
    listing = await context.etcd.list(context.keys.progress(epoch))
    shown = []
    for item in listing.items:
        told = decode(ProgressRecord, item.value, item.key)
        shown.append(
            AgentProgress(
                agent=item.key.rpartition("/")[2],
                phase=told.phase,
                bytes_done=told.done_bytes,
                bytes_total=told.total_bytes,
                bytes_per_s=told.rate,
                bytes_stored=told.stored_bytes,
            )
        )
    return tuple(shown)


async def read_status(context: CoordinatorContext) -> ClusterStatus:
    """The cluster as this coordinator sees it."""
    leader = await read_leader(context)
    found = await context.etcd.get(context.keys.ctl)
    ctl = decode(Ctl, found.value, found.key) if found else Ctl()
    agents = await _read_agents(context, ctl)
    store, identity = await _read_store(context)
    fences = await _read_fences(context, ctl)
    return ClusterStatus(
        cluster=context.keys.cluster,
        leader=leader.name if leader else "",
        coordinators=_coordinators(
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
        warnings=(*await _warnings(context, agents), *fences.warnings),
        open_fence=fences.open,
    )


@dataclass(frozen=True, slots=True)
class _Fences:
    open: OpenFence | None
    warnings: tuple[str, ...]


async def _read_fences(context: CoordinatorContext, ctl: Ctl) -> _Fences:
    """What etcd names, and what a peer shows of fences that should be gone."""
    listing = await context.etcd.list(context.keys.fences)
    fences = [decode(Fence, item.value, item.key) for item in listing.items]
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
    warnings += [
        f"alias {stray.alias!r} is still fenced as {stray.name!r}: see `cleancut doctor`"
        for stray in strays(aliases)
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


def _coordinators(
    context: CoordinatorContext, leader: str, address: str
) -> tuple[CoordinatorStatus, ...]:
    """The leader, and this process if it stands by (standbys register nowhere)."""
    known = []
    if leader:
        version = __version__ if leader == context.name else ""
        known.append(CoordinatorStatus(name=leader, address=address, leader=True, version=version))
    if leader != context.name:
        known.append(CoordinatorStatus(name=context.name, version=__version__))
    return tuple(known)


async def _read_agents(context: CoordinatorContext, ctl: Ctl) -> tuple[AgentStatus, ...]:
    listing = await context.etcd.list(context.keys.sessions)
    members = await context.etcd.list(context.keys.members(ctl.epoch))
    taking_part = {item.key.rpartition("/")[2] for item in members.items}
    shown = []
    for item in listing.items:
        session = decode(Session, item.value, item.key)
        open_phase = "" if ctl.phase in CLOSED else ctl.phase.value
        shown.append(
            AgentStatus(
                name=session.name,
                version=session.version,
                peer_id=session.peer_id,
                qdrant_version=session.qdrant_version,
                phase=open_phase if session.name in taking_part else "",
            )
        )
    return tuple(shown)


async def _read_store(context: CoordinatorContext) -> tuple[StoreStatus, Identity | None]:
    try:
        now = await read_identities(context)
        groups = len(await list_epochs(context.store, context.paths))
    except CleancutError:
        return StoreStatus(url=context.store_url, reachable=False), None
    identity = Identity(cluster_id=now.cluster_id, store_cluster_id=now.owner_id, equal=now.equal)
    return StoreStatus(url=context.store_url, reachable=True, backups=groups), identity


async def _warnings(
    context: CoordinatorContext, agents: tuple[AgentStatus, ...]
) -> tuple[str, ...]:
    """What an operator should know: peers without an agent, agents without a peer."""
    warnings = [
        f"agent {agent.name}: its Qdrant does not answer"
        for agent in agents
        if agent.peer_id is None
    ]
    listing = await context.etcd.list(context.keys.sessions)
    peers: set[int] = set()
    for item in listing.items:
        peers |= set(decode(Session, item.value, item.key).peers)
    covered = {agent.peer_id for agent in agents}
    warnings += [f"peer {peer} has no agent" for peer in sorted(peers - covered)]
    return tuple(warnings)


async def watch(clock: Clock, read: Callable[[], Awaitable[Shown]]) -> AsyncIterator[Shown]:
    """What `read` tells, now and after each change; ends after a final state."""
    last: Shown | None = None
    while True:
        now = await read()
        if now != last:
            yield now
        if is_over(now):
            return
        last = now
        await clock.sleep(POLL_S)


async def wait_over(seen: AsyncIterator[Shown], last: Shown) -> Shown:
    """The last of what is seen within `CANCEL_S`: it is over by then, or goes on and can be
    watched."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CANCEL_S):
            async for now in seen:
                last = now
    return last
