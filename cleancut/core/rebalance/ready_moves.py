"""Steps of a rebalance that may run now, by the present places of its shards. No I/O, no clock.

Stateless: any leader sees from the cluster which steps are done and which are under way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from cleancut.core.cluster.peer_names import peer_and_id
from cleancut.core.cluster.view import ACTIVE
from cleancut.core.primitives.ids import PeerId
from cleancut.core.rebalance.plan import Step
from cleancut.core.rebalance.solver import Shard

_SLOWER = 0.9


class StepState(Enum):
    """`BUSY`: something else has the shard. `INAPPLICABLE`: the step no longer fits the cluster."""

    DONE = "done"
    RUNNING = "running"
    READY = "ready"
    BUSY = "busy"
    INAPPLICABLE = "inapplicable"


@dataclass(frozen=True, slots=True)
class ShardNow:
    """A shard's replicas, and the source and target of its transfer."""

    states: Mapping[PeerId, str]
    transfer: tuple[PeerId, PeerId] | None = None


Now = Mapping[Shard, ShardNow]
"""The present state of the shards in steps; a deleted one is missing."""


def step_state(step: Step, now: ShardNow | None) -> StepState:
    """The state of one step. A shard that was deleted meanwhile needs no step."""
    if now is None:
        return StepState.DONE
    source, target = now.states.get(step.source), None
    if step.target is not None:
        target = now.states.get(step.target)
        if now.transfer == (step.source, step.target):
            return StepState.RUNNING
    if now.transfer is not None:
        return StepState.BUSY
    match step.action:
        case "drop":
            return _dropping(step, now)
        case "replicate" | "move" if target == ACTIVE:
            return StepState.DONE  # whatever made it: to drop the source might leave one too few
        case _ if target is not None:
            return StepState.BUSY  # the rest of an aborted transfer: Qdrant drops it
        case _:
            return StepState.READY if source == ACTIVE else StepState.INAPPLICABLE


def _dropping(step: Step, now: ShardNow) -> StepState:
    if step.source not in now.states:
        return StepState.DONE
    others = [state for peer, state in now.states.items() if peer != step.source]
    if len(others) < step.keeps:
        return StepState.DONE  # another one went meanwhile, or this one came back: none is surplus
    enough = others.count(ACTIVE) >= max(1, step.keeps)
    return StepState.READY if enough else StepState.INAPPLICABLE


def next_steps(steps: Sequence[Step], now: Now) -> list[tuple[Step, StepState]]:
    """The next step of each shard that is not done, with its state; of the first wave that
    has any. A step also counts as done if a later one of the same shard is done or under way."""
    by_shard: dict[Shard, list[Step]] = {}
    for step in steps:
        by_shard.setdefault(step.shard, []).append(step)
    found = []
    for shard, mine in by_shard.items():
        left = _left(mine, now.get(shard))
        if left is not None:
            found.append(left)
    wave = min((step.wave for step, _ in found), default=0)
    return [(step, how) for step, how in found if step.wave == wave]


def done_steps(steps: Sequence[Step], now: Now) -> set[Step]:
    """The steps that the cluster shows to be done."""
    by_shard: dict[Shard, list[Step]] = {}
    for step in steps:
        by_shard.setdefault(step.shard, []).append(step)
    done: set[Step] = set()
    for shard, mine in by_shard.items():
        left = _left(mine, now.get(shard))
        done.update(mine if left is None else mine[: mine.index(left[0])])
    return done


def _left(steps: list[Step], now: ShardNow | None) -> tuple[Step, StepState] | None:
    following: Step | None = None
    for step in reversed(steps):
        how = step_state(step, now)
        if how is StepState.RUNNING:
            return step, how
        if how is StepState.DONE:
            break
        following = step
    return None if following is None else (following, step_state(following, now))


def finished(ran: Iterable[Step], left: Iterable[tuple[Step, StepState]]) -> list[Step]:
    """The steps that ran and are done; one whose transfer was aborted is not."""
    undone = {step for step, _ in left}
    return sorted((step for step in ran if step not in undone), key=lambda step: step.shard)


def startable(
    ready: Iterable[Step], running: Sequence[Step], *, at_once: int | None = None
) -> list[Step]:
    """The steps to start in addition to the running ones: a peer is the source of at most one
    transfer, and the target of one. With `at_once`, a peer takes part in one transfer, and at most
    `at_once` run."""
    busy, chosen = [step for step in running if step.target is not None], []
    for step in ready:
        if step.target is None:
            chosen.append(step)
            continue
        ends = (step.source, step.target)
        if at_once is None:
            free = all(step.source != b.source and step.target != b.target for b in busy)
        else:
            taken = {peer for b in busy for peer in (b.source, b.target)}
            free = len(busy) < at_once and not taken.intersection(ends)
        if free:
            busy.append(step)
            chosen.append(step)
    return chosen


def replicas_differ(
    counts: Mapping[PeerId, tuple[int, int]], agents: Mapping[int, str], *, exact: bool
) -> str:
    """Why the replicas of a shard cannot be taken for equal, for people; "" if they can.

    `counts`: two of each replica, by its own agent. Writers change them in between, so the ranges
    of two replicas that agree have a number in common; `exact`: all counts are one number, as they
    must be before a replica is dropped that no other is copied from. `agents`: they name the peers.
    """
    numbers = {count for both in counts.values() for count in both}
    low = max((min(both) for both in counts.values()), default=0)
    high = min((max(both) for both in counts.values()), default=0)
    if counts and (len(numbers) == 1 if exact else low <= high):
        return ""
    found = ", ".join(
        f"{peer_and_id(peer, agents)}: {first if first == last else f'{first} to {last}'}"
        for peer, (first, last) in sorted(counts.items())
    )
    return f"its replicas hold different numbers of points ({found or 'none was counted'})"


class TransferConcurrency:
    """Number of concurrent transfers with --bandwidth-aware: one more after each that ended while
    the total rate was at its best, one less after each that shows that it was not."""

    def __init__(self) -> None:
        self.at_once = 1
        self._best = 0.0

    def ended(self, size_bytes: int, took_s: float, others: int) -> None:
        """One transfer has ended that ran with `others` more, on the average of its time."""
        rate = size_bytes / max(took_s, 0.001) * (1 + others)
        if rate >= self._best * _SLOWER:
            self.at_once += 1
        else:
            self.at_once = max(1, self.at_once - 1)
        self._best = max(self._best, rate)
