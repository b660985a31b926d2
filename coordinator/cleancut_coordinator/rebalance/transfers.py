"""Carries out a rebalance's steps on a live cluster: starts them, watches them, starts them again.

Nothing is remembered over a leader's end: what is done, or under way, is read from Qdrant.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

from cleancut.core.cluster.view import ACTIVE
from cleancut.core.primitives.errors import (
    CleancutError,
    Fenced,
    NotFound,
    Refused,
    TimedOut,
    Unavailable,
)
from cleancut.core.primitives.ids import Epoch, PeerId, ShardId
from cleancut.core.protocol.states import Phase
from cleancut.core.rebalance.plan import Step
from cleancut.core.rebalance.ready_moves import (
    ShardNow,
    StepState,
    TransferConcurrency,
    finished,
    next_steps,
    startable,
    step_state,
)
from cleancut.core.rebalance.solver import Shard
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.responses import Placement
from cleancut_coordinator.any_peer import ask_any, first_peer
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import check_phase

TRIES = 3
"""Of one step: Qdrant does not repeat a transfer whose target died."""
_POLL_S = 0.5
_SEEN_S = 6.0
"""After a start, until a transfer that no peer shows counts as aborted."""
_IDLE_S = 120.0
_HALT_S = 30.0
_ABORT_S = 10.0
_QUIET_S = 2.0
"""Without a transfer, until none is to come: a start that was asked for just before shows late."""
_STEP_S = 600.0
_COUNTED_S = 10.0
"""How long a count says something of the present."""
_UNEQUAL_S, _UNEQUAL_TIMES = 10.0, 5
"""Until replicas are not equal: those that writers change differ at some looks."""
_BYTES_PER_S = 1e6


@dataclass(slots=True)
class _StartedStep:
    """A step that was started: when last, how often, beside how many others, the error."""

    began_s: float
    times: int = 1
    beside: int = 0
    told: str = ""


@dataclass(slots=True)
class _CountedShard:
    """A shard that was to be counted, and no step of it has started: since when, how often."""

    since_s: float
    times: int = 0


@dataclass(slots=True)
class ShardTransfers:
    """The steps of one attempt. `bandwidth_aware`: see docs/how-to/rebalance.md."""

    context: CoordinatorContext
    epoch: Epoch
    steps: Sequence[Step]
    bandwidth_aware: bool = False
    pace: TransferConcurrency = field(default_factory=TransferConcurrency)
    _tries: dict[Step, _StartedStep] = field(default_factory=dict)
    _running: set[Step] = field(default_factory=set)
    _counts: dict[Shard, _CountedShard] = field(default_factory=dict)

    async def run(self, counted: Collection[Shard] = (), differ: str = "") -> tuple[Shard, ...]:
        """() once every step is done; else the shards whose replicas are to be counted before a
        step of theirs starts. `counted`: those that have just been, and agree; `differ`: why others
        do not.

        Raises: TimedOut, for a step that failed too often, takes too long or fits no more;
            Refused, for a shard whose replicas stay unequal; Unavailable, Fenced.
        """
        clock = self.context.clock
        began_s = changed_s = clock.monotonic_s()
        before = None
        if differ:
            await clock.sleep(_POLL_S)
        while True:
            now = await read_now(self.context, self.steps)
            left = next_steps(self.steps, now)
            if not left:
                return ()
            if left != before or any(how is StepState.RUNNING for _, how in left):
                changed_s, before = clock.monotonic_s(), left
            if clock.monotonic_s() - changed_s > _IDLE_S:
                raise TimedOut(
                    f"{left[0][0]} is {left[0][1].value} for {_IDLE_S:.0f} s",
                    "see what else changes the cluster, then rebalance again",
                )
            self._see(left)
            if clock.monotonic_s() - began_s > _COUNTED_S:
                counted = ()
            chosen = self._choose([step for step, how in left if how is StepState.READY])
            several = {shard for shard, one in now.items() if _is_replicated(one)}
            uncounted = {step.shard for step in chosen} & several - set(counted)
            await self._start([step for step in chosen if step.shard not in uncounted])
            if uncounted:
                return self._to_count(uncounted, differ)
            await clock.sleep(_POLL_S)

    def _to_count(self, shards: set[Shard], differ: str) -> tuple[Shard, ...]:
        """Raises: Refused, if they have been counted for long enough and still differ.

        A state of Active says nothing of what a replica holds: a drop or a move could take the last
        whole one."""
        now_s = self.context.clock.monotonic_s()
        for shard in shards:
            asked = self._counts.setdefault(shard, _CountedShard(now_s))
            asked.times += 1
            if asked.times > _UNEQUAL_TIMES and now_s - asked.since_s > _UNEQUAL_S:
                why = differ or "its replicas could not be compared"
                raise Refused(
                    f"{why}; nothing of it was dropped",
                    "find the replica that is right and copy it over the others, or hold off"
                    " writes, then rebalance again",
                )
        return tuple(sorted(shards))

    def _see(self, left: list[tuple[Step, StepState]]) -> None:
        """Notes what is done, and how fast it was; bounds what is under way."""
        now_s = self.context.clock.monotonic_s()
        running = {step for step, how in left if how is StepState.RUNNING}
        for step in finished(self._running, left):
            tried = self._tries[step]
            self.pace.ended(step.size_bytes, now_s - tried.began_s, tried.beside)
        for step in running - self._running:
            self._tries.setdefault(step, _StartedStep(now_s))
        self._running = running
        for step in running:
            if now_s - self._tries[step].began_s > _STEP_S + step.size_bytes / _BYTES_PER_S:
                raise TimedOut(f"{step} takes too long", "see the logs of both peers")

    def _choose(self, ready: list[Step]) -> list[Step]:
        """The steps that may start now, next to those that run."""
        now_s = self.context.clock.monotonic_s()
        fresh = {step for step in ready if self._is_fresh(step, now_s)}
        running = [*self._running, *(step for step in ready if step in fresh)]
        due = [step for step in ready if step not in fresh]
        at_once = self.pace.at_once if self.bandwidth_aware else None
        return startable(due, running, at_once=at_once)

    async def _start(self, chosen: list[Step]) -> None:
        if not chosen:
            return
        await check_phase(self.context, self.epoch, Phase.MOVE)
        peer = await first_peer(self.context.peers)
        now_s = self.context.clock.monotonic_s()
        beside = len(self._running) + len(chosen) - 1
        for step in chosen:
            self._counts.pop(step.shard, None)
            tried = self._tries.get(step)
            if tried is not None and tried.times >= TRIES:
                told = f": {tried.told}" if tried.told else ""
                raise TimedOut(
                    f"{step} did not come to its end in {TRIES} tries{told}",
                    "see the logs of both peers, then rebalance again",
                )
            times = tried.times + 1 if tried else 1
            made = self._tries[step] = _StartedStep(now_s, times, beside)
            made.told = await _begin(peer, step)

    def _is_fresh(self, step: Step, now_s: float) -> bool:
        tried = self._tries.get(step)
        return tried is not None and now_s - tried.began_s < _SEEN_S


def _is_replicated(now: ShardNow) -> bool:
    return list(now.states.values()).count(ACTIVE) > 1


async def _begin(peer: Qdrant, step: Step) -> str:
    """Qdrant has been asked; its error, if any. A lost answer is seen in the cluster."""
    name, shard = step.collection, step.shard_id
    try:
        if step.action == "drop":
            await peer.drop_replica(name, shard, step.source)
            return ""
        assert step.target is not None
        start = peer.move_shard if step.action == "move" else peer.replicate_shard
        await start(name, shard, source=step.source, target=step.target)
    except Fenced:
        raise
    except CleancutError as error:
        return error.message
    return ""


async def read_now(context: CoordinatorContext, steps: Sequence[Step]) -> dict[Shard, ShardNow]:
    """How the shards of these steps lie now. Raises: Unavailable."""
    now: dict[Shard, ShardNow] = {}
    for name in sorted({step.collection for step in steps}):
        try:
            placement = await ask_any(context.peers, partial(_placement, name=name))
        except NotFound:
            continue
        for replica in placement.shards:
            shard = (name, ShardId(replica.shard_id))
            seen = now.get(shard) or ShardNow({})
            states = {**seen.states, PeerId(replica.peer_id): replica.state}
            now[shard] = ShardNow(states, _transfer(placement, replica.shard_id))
    return now


def _transfer(placement: Placement, shard_id: int) -> tuple[PeerId, PeerId] | None:
    for transfer in placement.transfers:
        if transfer.shard_id == shard_id:
            return PeerId(transfer.source), PeerId(transfer.target)
    return None


async def _placement(peer: Qdrant, name: str) -> Placement:
    return await peer.placement(name)


async def abort_transfers(context: CoordinatorContext, epoch: Epoch, steps: Sequence[Step]) -> None:
    """No transfer that the steps ask for is under way. Raises: Unavailable, Fenced."""
    moving = [step for step in steps if step.target is not None]
    clock = context.clock
    quiet_s = clock.monotonic_s()
    until_s = quiet_s + _HALT_S
    while clock.monotonic_s() < until_s:
        now = await read_now(context, steps)
        mine = [
            step for step in moving if step_state(step, now.get(step.shard)) is StepState.RUNNING
        ]
        if mine:
            await check_phase(context, epoch, Phase.ROLLBACK)
            await _abort(await first_peer(context.peers), mine)
            quiet_s = clock.monotonic_s()
        elif clock.monotonic_s() - quiet_s >= _QUIET_S:
            return
        await clock.sleep(_POLL_S)
    raise Unavailable("a transfer goes on although it was aborted", "see the logs of Qdrant")


async def _abort(peer: Qdrant, steps: Sequence[Step]) -> None:
    for step in steps:
        assert step.target is not None
        with contextlib.suppress(NotFound):  # it has just ended
            await peer.abort_transfer(
                step.collection,
                step.shard_id,
                source=step.source,
                target=step.target,
                timeout_s=_ABORT_S,
            )
