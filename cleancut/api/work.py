"""Work of a running operation: how much is done of how much, and which agents are behind. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cleancut.api.backups import Backup
from cleancut.api.operations import Operation
from cleancut.api.rebalances import Rebalance
from cleancut.api.reshards import Reshard
from cleancut.api.restores import Restore
from cleancut.api.values import AgentProgress
from cleancut.core.protocol.states import State

BEHIND = 0.2
"""An agent is behind if the middle one has done so much more of its own work."""
AWAY = "(away)"
"""After the phase of an agent that others wait for, and that has no connection."""


class Work(NamedTuple):
    """`what` is done: bytes, or steps of a rebalance or reshard. `total`: 0 while it is unknown,
    and never less than `done`. `estimated`: the total is that of the backup before."""

    what: str
    done: int
    total: int = 0
    estimated: bool = False

    @property
    def in_bytes(self) -> bool:
        return self.what != "steps"


def work_of(operation: Operation) -> Work | None:
    """What all agents have done together; None in a phase without anything to count. Of how much is
    not known while one of them is away."""
    work = _work_of(operation)
    known = work is None or not work.in_bytes or not away(operation.progress)
    return work if known or work is None else work._replace(total=0)


def _work_of(operation: Operation) -> Work | None:
    seen = [one for one in operation.progress if one.bytes_done or one.bytes_total]
    if isinstance(operation, Reshard) and operation.steps:
        return Work("steps", sum(one.done for one in operation.steps), len(operation.steps))
    if isinstance(operation, Rebalance) and operation.state is State.MOVING and operation.steps:
        known = [one.done for one in operation.steps if one.done is not None]
        whole = len(known) == len(operation.steps)
        return Work("steps", sum(known), len(known)) if whole else None
    if isinstance(operation, Backup) and operation.state is State.UPLOADING and seen:
        if all(one.bytes_to_store for one in seen):
            return _bounded("stored", [(one.bytes_stored, one.bytes_to_store) for one in seen])
        read = _bounded("read", [(one.bytes_done, one.bytes_total) for one in seen])
        return read._replace(estimated=bool(read.total))
    if isinstance(operation, Restore) and operation.state is State.RECOVERING and seen:
        return _bounded("pulled", [(one.bytes_done, one.bytes_total) for one in seen])
    return None


def away(progress: Sequence[AgentProgress]) -> list[AgentProgress]:
    """The agents that others wait for, and that have no connection."""
    return [one for one in progress if one.phase.endswith(AWAY)]


def of_agent(one: AgentProgress) -> tuple[int, int]:
    """What one agent has done, and of how much, 0 if that is unknown: it stores once it has
    read."""
    if one.bytes_to_store:
        return min(one.bytes_stored, one.bytes_to_store), one.bytes_to_store
    return one.bytes_done, one.bytes_total if one.bytes_total >= one.bytes_done else 0


def behind(progress: Sequence[AgentProgress]) -> list[AgentProgress]:
    """The agents that others wait for, the last one first."""
    shares = {one.agent: _share(one) for one in progress}
    known = sorted(share for share in shares.values() if share is not None)
    if len(known) < 2:
        return []
    middle = known[len(known) // 2]
    late = [(share, one) for one in progress if (share := shares[one.agent]) is not None]
    return [one for share, one in sorted(late, key=lambda it: it[0]) if share < middle - BEHIND]


def _share(one: AgentProgress) -> float | None:
    """Of reading and storing together, where both are known: an agent that stores has read all."""
    done, total = of_agent(one)
    if not total:
        return None
    return 1 + done / total if one.bytes_to_store else done / total


def _bounded(what: str, each: Sequence[tuple[int, int]]) -> Work:
    """The sums; the total only if it is known of each."""
    done, total = sum(done for done, _ in each), sum(total for _, total in each)
    known = all(one for _, one in each) and total >= done
    return Work(what, done, total if known else 0)
