"""Progress of operations: read from etcd, watched, and waited for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from msgspec.structs import replace

from cleancut.api.backups import Backup
from cleancut.api.operations import is_over
from cleancut.api.rebalances import Rebalance
from cleancut.api.reshards import Reshard
from cleancut.api.restores import Restore
from cleancut.api.undeletes import Undelete
from cleancut.api.values import AgentProgress
from cleancut.api.work import AWAY
from cleancut.core.primitives.ids import AgentName, Epoch
from cleancut.core.protocol.etcd_keys import agent_of
from cleancut.core.protocol.etcd_records import Ctl, Operation, ProgressRecord, Vote
from cleancut.core.protocol.states import BACKUP_KINDS, CLOSED, FINAL_STATES, Phase, State
from cleancut.ports.clock import Clock
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import (
    decode_or_skip,
    read_ctl,
    read_operations,
    read_sessions,
)

POLL_S = 0.25
_SHOWN = 5
CANCEL_S = 40.0
"""How long a cancel waits for the end of what it cancels; clients wait a little longer."""
Shown = TypeVar("Shown", Backup, Restore, Rebalance, Reshard, Undelete)


async def read_progress(
    context: CoordinatorContext, epoch: Epoch, moving: Phase | None = None
) -> tuple[AgentProgress, ...]:
    """How far each agent is in `epoch`, by name. `moving`: the phase in which bytes move, of which
    a vote says what there was of them: an agent reports now and then, not at its end; one that is
    awaited there and has no session is away."""
    listing = await context.etcd.list(context.keys.progress(epoch))
    votes = dict(await _votes(context, epoch, moving)) if moving is not None else {}
    shown = {agent: _ended(agent, vote, moving) for agent, vote in votes.items() if vote.yes}
    for item in listing.items:
        agent, read = agent_of(item.key), decode_or_skip(context, ProgressRecord, item)
        if read is not None and agent not in shown:
            shown[agent] = _shown(agent, read)
    if moving is not None:
        members = await context.etcd.list(context.keys.members(epoch))
        awaited = {agent_of(item.key) for item in members.items} - votes.keys()
        for agent in awaited - (await read_sessions(context)).keys():
            shown[agent] = AgentProgress(agent=agent, phase=f"{moving.value} {AWAY}")
    return tuple(shown[agent] for agent in sorted(shown))


async def with_progress(
    context: CoordinatorContext, shown: Shown, operation: Operation, moving: Phase | None = None
) -> Shown:
    """`shown`, with how far its agents are and what it waits for, unless it is over. `moving`: as
    `read_progress` takes it."""
    if operation.state in FINAL_STATES:
        return shown
    return replace(
        shown,
        progress=await read_progress(context, operation.epoch, moving),
        warnings=(*shown.warnings, *await read_behind(context, operation)),
    )


def _shown(agent: AgentName, read: ProgressRecord) -> AgentProgress:
    """The total may be an estimate, since a shard grows or is sent again: once it is exceeded
    nothing is known of it."""
    known = read.total_bytes >= read.done_bytes
    return AgentProgress(
        agent=agent,
        phase=read.phase,
        bytes_done=read.done_bytes,
        bytes_total=read.total_bytes if known else 0,
        bytes_per_s=read.rate,
        bytes_stored=read.stored_bytes,
        bytes_to_store=max(read.to_store_bytes, read.stored_bytes) if read.to_store_bytes else 0,
    )


def _ended(agent: AgentName, vote: Vote, phase: Phase | None) -> AgentProgress:
    """An agent that has done its part of `phase`."""
    return AgentProgress(
        agent=agent,
        phase=phase.value if phase is not None else "",
        bytes_done=vote.read_bytes,
        bytes_total=vote.read_bytes,
        bytes_stored=vote.stored_bytes,
        bytes_to_store=vote.stored_bytes,
    )


async def read_behind(context: CoordinatorContext, operation: Operation) -> tuple[str, ...]:
    """What an operation waits for that has not got its turn, for people: agents, or the end of
    another."""
    if operation.state is not State.PENDING:
        return ()
    if operation.awaited is not None:
        return (operation.awaited.what,) if operation.awaited.what else ()
    ctl = await read_ctl(context)
    if ctl.phase not in CLOSED and ctl.operation != operation.id:
        return (_waits_behind(ctl),)
    return (f"waits for the end of {operation.after}",) if operation.after else ()


def _waits_behind(ctl: Ctl) -> str:
    name = f"#{ctl.epoch}" if ctl.kind in BACKUP_KINDS else ctl.operation
    return f"waits behind {ctl.kind} {name} ({ctl.phase.value})"


async def read_ahead(context: CoordinatorContext) -> tuple[str, ...]:
    """What an operation would wait for that was recorded now, for people."""
    ctl = await read_ctl(context)
    recorded = await read_operations(context)
    pending = [one for one in recorded if one.state is State.PENDING and one.awaited is None]
    ahead = () if ctl.phase in CLOSED else (_waits_behind(ctl),)
    return (*ahead, *(f"waits behind pending {one.kind} {one.id}" for one in pending[:_SHOWN]))


async def read_optimizing(context: CoordinatorContext, epoch: Epoch) -> tuple[AgentProgress, ...]:
    """The agents for whose shards the cut of `epoch` waits, since Qdrant optimizes them."""
    return tuple(
        AgentProgress(agent=agent, phase=f"{Phase.PREPARE.value} (optimizing: {vote.optimizing})")
        for agent, vote in await _votes(context, epoch, Phase.PREPARE)
        if vote.optimizing
    )


async def read_rounds(context: CoordinatorContext, epoch: Epoch) -> tuple[AgentProgress, ...]:
    """How often each agent has looked for a standstill in `epoch`, what it saw last, and how near
    the rounds of all agents came to one."""
    votes = await _votes(context, epoch, Phase.STANDSTILL)
    ctl = await read_ctl(context) if votes else Ctl()
    near = ""
    if ctl.epoch == epoch and ctl.moved > 0:
        near = f"; nearest in {ctl.waited_ms / 1000:.1f} s: {ctl.moved} in {ctl.window_ms} ms"
    return tuple(
        AgentProgress(agent=agent, phase=f"{Phase.STANDSTILL.value} ({_seen(vote)}{near})")
        for agent, vote in votes
    )


def _seen(vote: Vote) -> str:
    if vote.moved < 0:
        return f"round {vote.round}"
    shards = "1 shard" if vote.moved == 1 else f"{vote.moved} shards"
    return f"round {vote.round}, {shards} written to"


async def _votes(
    context: CoordinatorContext, epoch: Epoch, phase: Phase
) -> list[tuple[AgentName, Vote]]:
    listing = await context.etcd.list(f"{context.keys.votes(epoch)}{phase.value}/")
    votes = {agent_of(item.key): decode_or_skip(context, Vote, item) for item in listing.items}
    return sorted((agent, vote) for agent, vote in votes.items() if vote is not None)


async def watch(clock: Clock, read: Callable[[], Awaitable[Shown]]) -> AsyncIterator[Shown]:
    """The operation now and after each change; ends after a final state."""
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
    """The last state within `CANCEL_S`: final, or still to be watched."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CANCEL_S):
            async for now in seen:
                last = now
    return last
