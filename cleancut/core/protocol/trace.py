"""Trace of an attempt: when each of its phases began and how long each agent worked on it.

Offsets are of the leader's monotonic clock, from the attempt's beginning; a leader that takes an
attempt over goes on from its wall clock. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import AgentName, Epoch
from cleancut.core.primitives.record_times import Time
from cleancut.core.primitives.timestamps import format_time, parse_time

if TYPE_CHECKING:
    from cleancut.core.protocol.etcd_records import Failure, Vote

MAX_TRACES = 20
"""Of an operation: the newest ones are kept."""
WITH_WORK = 3
"""The newest traces that keep the work of each agent: an operation is one value in etcd."""
MAX_STEPS = 100
"""Phases of one attempt that are kept: a reshard may count for many rounds."""
MAX_MESSAGE = 500
DRAINED, CUT, FENCE_RAISED, FENCE_LIFTED = "drained", "cut", "fence raised", "fence lifted"


class Step(Record, frozen=True):
    """When a phase began, in milliseconds from the beginning of the attempt."""

    phase: str
    at_ms: int


class Mark(Record, frozen=True):
    """What happened within a phase: a drain has answered, all shards are cut, a fence is raised or
    lifted."""

    what: str
    at_ms: int


class AgentWork(Record, frozen=True):
    """How long an agent took in a phase, from its sight of it to its last vote, by its own
    clock. `yes`: what it voted. `read_bytes`, `stored_bytes`: of tars, in this attempt up to
    then."""

    agent: AgentName
    phase: str
    ms: int
    yes: bool = True
    read_bytes: int = 0
    stored_bytes: int = 0


class Trace(Record, frozen=True):
    """One attempt. `began_at`: RFC 3339, UTC. `ended_ms`: -1 while it is under way. `reason` and
    `message`: why it ended, "" if it succeeded. `work`: by phase and agent."""

    epoch: Epoch
    began_at: Time
    steps: tuple[Step, ...] = ()
    marks: tuple[Mark, ...] = ()
    work: tuple[AgentWork, ...] = ()
    ended_ms: int = -1
    reason: str = ""
    message: str = ""


Traces = tuple[Trace, ...]


def with_begun(traces: Traces, epoch: Epoch, wall_s: float) -> Traces:
    """A new attempt begins. `wall_s` 0: the time is not known, and nothing is recorded."""
    if not wall_s:
        return traces
    kept = (*traces, Trace(epoch=epoch, began_at=format_time(wall_s)))[-MAX_TRACES:]
    old = len(kept) - WITH_WORK
    return tuple(
        replace(one, work=()) if index < old and one.work else one for index, one in enumerate(kept)
    )


def with_step(trace: Trace, phase: str, at_ms: int) -> Trace:
    """`phase` has begun; another round of the same one is not a step."""
    same = bool(trace.steps) and trace.steps[-1].phase == phase
    if same or len(trace.steps) == MAX_STEPS:
        return trace
    return replace(trace, steps=(*trace.steps, Step(phase=phase, at_ms=at_ms)))


def with_mark(trace: Trace, what: str, at_ms: int) -> Trace:
    """A fence is lifted until it is seen lifted: the first time counts."""
    again = what == FENCE_LIFTED and any(mark.what == what for mark in trace.marks)
    if again or len(trace.marks) == MAX_STEPS:
        return trace
    return replace(trace, marks=(*trace.marks, Mark(what=what, at_ms=at_ms)))


def with_end(trace: Trace, failure: Failure | None, at_ms: int) -> Trace:
    if failure is None:
        return replace(trace, ended_ms=at_ms)
    message = failure.message[:MAX_MESSAGE]
    return replace(trace, ended_ms=at_ms, reason=failure.reason, message=message)


def with_newest(traces: Traces, epoch: Epoch, change: Callable[[Trace], Trace]) -> Traces:
    """The newest trace changed, if it is of `epoch`."""
    if not traces or traces[-1].epoch != epoch:
        return traces
    return (*traces[:-1], change(traces[-1]))


def work_of(votes: Mapping[tuple[str, AgentName], Vote]) -> tuple[AgentWork, ...]:
    """What the votes of one attempt say of the agents' work."""
    return tuple(
        AgentWork(
            agent=agent,
            phase=phase,
            ms=vote.took_ms,
            yes=vote.yes,
            read_bytes=vote.read_bytes,
            stored_bytes=vote.stored_bytes,
        )
        for (phase, agent), vote in sorted(votes.items())
    )


def elapsed_s(traces: Traces, epoch: Epoch, wall_s: float) -> float:
    """Since the attempt `epoch` began, by wall clocks; never before its last step."""
    if not traces or traces[-1].epoch != epoch or not wall_s:
        return 0.0
    last_ms = max((step.at_ms for step in traces[-1].steps), default=0)
    return max(last_ms / 1000, wall_s - parse_time(traces[-1].began_at))
