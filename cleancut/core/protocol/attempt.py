"""Attempt: the common part of the coordinator's machines, which holds ctl phase by phase."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from msgspec.structs import replace

from cleancut.core.primitives.ids import AgentName, FencingToken
from cleancut.core.protocol.commands import Command, Effect, Persist, Run, Stop
from cleancut.core.protocol.effect_requests import Probe
from cleancut.core.protocol.etcd_records import Bounds, Ctl, EpochMember, Failure, Operation, Vote
from cleancut.core.protocol.events import Event, Started, TakenOver
from cleancut.core.protocol.high_water import ReadMarks
from cleancut.core.protocol.requests import NAMES_ONLY, Selection
from cleancut.core.protocol.states import CLOSED, OperationKind, Phase, State
from cleancut.core.protocol.trace import (
    Trace,
    elapsed_s,
    with_begun,
    with_end,
    with_mark,
    with_newest,
    with_step,
    work_of,
)
from cleancut.core.protocol.votes import yes_of_all

_SPOKEN = frozenset({OperationKind.BACKUP, OperationKind.SEED})
"""One agent reports its view first, and shards are assigned by it."""


class Attempt(ABC):
    """The state of one attempt, and its only changes.

    At most one effect runs at a time (`waiting`); `again` is repeated at a tick, not before
    `again_at_s`. `tries`: failures of effects in this phase.
    """

    kind: ClassVar[OperationKind]
    transitions: ClassVar[Mapping[tuple[Phase, Phase], str]]
    state_of: ClassVar[Mapping[Phase, State]]

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.ctl = Ctl()
        self.operation: Operation | None = None
        self.members: dict[AgentName, EpochMember] = {}
        self.votes: dict[tuple[str, AgentName], Vote] = {}
        self.now_s = self.origin_s = 0.0
        self.reset(0.0)

    def reset(self, now_s: float) -> None:
        """Drops the state that lives in memory only."""
        self.phase_began_s, self.deadline_s, self.stalled_s = now_s, now_s, now_s
        self.waiting: Effect | None = None
        self.again: Effect | None = None
        self.again_at_s = 0.0
        self.tries = 0
        self.opening: Ctl | None = None
        self.cancel_asked = False

    def open(self, event: Started, **fresh: Any) -> list[Command]:
        """The operation's next attempt, with these `fresh` fields of it: PREPARE is `opening`, and
        begins once the coordinator's probe is in the store. [] if no agent can take part."""
        self.begin(event, **fresh)
        self.votes = {}
        self.members = {
            name: EpochMember(session=token) for name, (token, _) in event.sessions.items()
        }
        if not self.members:
            return []
        first = self.members[min(self.members)]
        return self.open_by(
            event, speaker=first.session if self.kind in _SPOKEN else FencingToken(0)
        )

    def open_by(self, event: Started, *, speaker: FencingToken) -> list[Command]:
        """PREPARE of the attempt that was begun is `opening`."""
        self.opening = Ctl(
            kind=self.kind,
            phase=Phase.PREPARE,
            epoch=event.epoch,
            operation=event.operation.id,
            attempt=self.attempt,
            bounds=self.bounds,
            probe=event.nonce,
            speaker=speaker,
        )
        return [self.run(Probe(event.epoch, event.nonce, self.selection()))]

    def begin(self, event: Started, **fresh: Any) -> None:
        """The operation's next attempt, with these `fresh` fields of its record."""
        before = event.operation
        traces = with_begun(before.traces, event.epoch, event.wall_s)
        attempts = before.attempts + 1
        self.operation = replace(
            before, epoch=event.epoch, attempts=attempts, traces=traces, **fresh
        )

    @property
    def attempt(self) -> int:
        """The number of the present attempt."""
        assert self.operation is not None
        return self.operation.attempts

    def selection(self) -> Selection:
        """The collections that the agents' views are of."""
        return NAMES_ONLY

    def opened(self, now_s: float) -> list[Command]:
        """The probe is there: PREPARE begins."""
        assert self.opening is not None
        assert self.operation is not None
        self.ctl, self.opening = self.opening, None
        self.note(lambda trace, at_ms: with_step(trace, Phase.PREPARE, at_ms))
        self.start_clocks(now_s)
        self.operation = replace(self.operation, state=State.PREPARING)
        return [Persist(self.ctl, self.operation, dict(self.members))]

    def agreed(self) -> list[Vote] | None:
        """The votes of PREPARE, if all members see one and the same cluster. If not, a change may
        still be on its way to some peer: the agents look again."""
        votes = yes_of_all(Phase.PREPARE, self.members, self.votes)
        return votes if votes is not None and len({vote.view for vote in votes}) == 1 else None

    def step(self, event: Event, now_s: float) -> list[Command]:
        """The commands that follow from `event`, in order."""
        self.now_s = now_s
        if isinstance(event, Started):
            self.origin_s = now_s
        elif isinstance(event, TakenOver):
            traces = event.operation.traces if event.operation else ()
            self.origin_s = now_s - elapsed_s(traces, event.ctl.epoch, event.wall_s)
        return self.react(event, now_s)

    @abstractmethod
    def react(self, event: Event, now_s: float) -> list[Command]:
        """What each machine does at `event`."""

    @property
    def at_ms(self) -> int:
        """How long ago the present attempt began."""
        return max(0, round((self.now_s - self.origin_s) * 1000))

    def note(self, change: Callable[[Trace, int], Trace]) -> None:
        """Changes the trace of the present attempt, given the time since it began."""
        operation, at_ms = self.operation, self.at_ms
        if operation is not None:
            traces = with_newest(
                operation.traces, operation.epoch, lambda trace: change(trace, at_ms)
            )
            self.operation = replace(operation, traces=traces)

    def mark(self, what: str) -> None:
        """Notes what happened within the present phase."""
        self.note(lambda trace, at_ms: with_mark(trace, what, at_ms))

    def noted(self, phase: Phase, failure: Failure | None) -> None:
        """`phase` begins, or the attempt ends, with what the votes say of the agents' work."""
        work = work_of(self.votes)
        if phase in CLOSED:
            self.note(lambda trace, at_ms: with_end(replace(trace, work=work), failure, at_ms))
        else:
            self.note(lambda trace, at_ms: with_step(replace(trace, work=work), phase, at_ms))

    @property
    def idle(self) -> bool:
        """True when another operation may begin."""
        return self.ctl.phase in CLOSED and not self.busy

    @property
    def busy(self) -> bool:
        """True if an effect runs or has to be repeated: no other may begin."""
        return self.waiting is not None or self.again is not None

    @property
    def taking_over(self) -> bool:
        """True until the store has been asked what it knows of an attempt that was taken over:
        until then votes are kept, and nothing follows from them."""
        return isinstance(self.waiting or self.again, ReadMarks)

    def run(self, effect: Effect) -> Run:
        """Starts `effect`; its answer is the next `Done` or `Failed` that counts."""
        assert self.waiting is None, "one effect at a time"
        self.waiting = effect
        return Run(effect)

    def moved(self, phase: Phase, **facts: Any) -> Ctl:
        """The ctl of the next phase. Asserts that the table knows the way."""
        assert (self.ctl.phase, phase) in self.transitions, f"{self.ctl.phase} to {phase}"
        self.noted(phase, facts.get("failure"))
        return replace(self.ctl, phase=phase, **facts)

    def move(self, phase: Phase, now_s: float, **facts: Any) -> list[Command]:
        """Goes to `phase`, with the state that users see, and starts its clocks."""
        assert self.operation is not None
        self.tries = 0
        self.ctl = self.moved(phase, **facts)
        self.operation = replace(self.operation, state=self.state_of[phase])
        self.start_clocks(now_s)
        return [Persist(self.ctl, self.operation)]

    def start_clocks(self, now_s: float) -> None:
        """The bounds of the present phase, counted from now."""
        bounds = self.ctl.bounds
        shards = max((len(member.tasks) for member in self.members.values()), default=0)
        grown_s = bounds.per_shard_s * shards
        bound_s = {
            Phase.PREPARE: bounds.prepare_s,
            Phase.CUT: bounds.cut_s + bounds.drain_s + grown_s,
            Phase.SEAL: bounds.seal_s + grown_s,
            Phase.STANDSTILL: bounds.seal_s + grown_s,
            Phase.UPLOAD: bounds.upload_s,
            Phase.CREATE: bounds.create_s,
            Phase.RECOVER: bounds.recover_s,
            Phase.VERIFY: bounds.verify_s,
            Phase.PUBLISH: bounds.publish_s,
            Phase.MOVE: bounds.move_s,
            Phase.APPLY: bounds.move_s,
            Phase.COUNT: bounds.verify_s,
            Phase.CLEAN: bounds.verify_s,
        }
        self.phase_began_s = now_s
        self.deadline_s = now_s + bound_s.get(self.ctl.phase, float("inf"))
        self.stalled_s = now_s + bounds.stalled_s

    def close(self, state: State, failure: Failure | None) -> list[Command]:
        """The attempt is over, in this state of its operation; nothing of it runs on."""
        assert self.operation is not None
        self.waiting, self.again, self.opening = None, None, None
        self.operation = replace(self.operation, state=state, failure=failure)
        if self.ctl.phase in CLOSED:
            self.noted(Phase.ABORT, failure)
            return [Persist(operation=self.operation)]
        self.ctl = self.moved(Phase.ABORT, failure=failure)
        return [Persist(self.ctl, self.operation), Stop(self.ctl.epoch)]
