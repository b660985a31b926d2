"""Coordinator's machine of a reshard: one step an attempt, from streaming to cleaning.

Until the read ring is committed a step can be aborted, and leaves nothing; after that it is only
finished, whatever fails or is asked for. So the collection is whole at every end. No I/O, no clock.
"""

from __future__ import annotations

from math import inf
from typing import Any

from msgspec.structs import replace

from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import NotFound
from cleancut.core.primitives.ids import AgentName
from cleancut.core.protocol.commands import Command, Effect, Persist
from cleancut.core.protocol.etcd_records import Failure, Operation
from cleancut.core.protocol.live_attempt import RETRY_S, LiveAttempt
from cleancut.core.protocol.requests import ReshardRequest
from cleancut.core.protocol.states import PERMANENT, OperationKind, Phase, State
from cleancut.core.protocol.votes import CANCELLED
from cleancut.core.reshard.phases import (
    ATTEMPTS,
    FINISH_S,
    GONE_S,
    STATE_OF,
    TRANSITIONS,
    AbortStep,
    CommitRings,
    CompareRings,
    FinishedStep,
    FinishStep,
    MovePoints,
    PlannedStep,
    PlanStep,
    with_number,
)

_BOUND_TO_FINISH = frozenset({Phase.COMMIT, Phase.CLEAN})


class ReshardMachine(LiveAttempt):
    """One machine per leader's term; rebuilt by `TakenOver`, started by `Started`."""

    kind = OperationKind.RESHARD
    transitions = TRANSITIONS
    state_of = STATE_OF
    counting = frozenset({Phase.COUNT, Phase.CLEAN})
    rounds = counting
    stages = (PlanStep,)

    def reset(self, now_s: float) -> None:
        super().reset(now_s)
        self.finish_by_s, self.gone_by_s = now_s + FINISH_S, inf

    def fresh(self) -> dict[str, Any]:
        return {}  # the detail of the step before goes on

    @property
    def _operation(self) -> Operation:
        assert self.operation is not None
        return self.operation

    def plan(self) -> Effect:
        request = decode(ReshardRequest, self._operation.request.encode(), "the request")
        operation = self._operation
        before = (operation.detail_epoch, operation.detail) if operation.detail else None
        return PlanStep(self.ctl.epoch, operation.id, request, before)

    def work(self) -> list[Command]:
        epoch, draft, members = self.ctl.epoch, self.ctl.draft, tuple(sorted(self.members))
        match self.ctl.phase:
            case Phase.ROLLBACK:
                return [self.run(AbortStep(epoch, draft))]
            case Phase.COMMIT:
                return [self.run(CommitRings(epoch, draft, members))]
            case _:
                return [self.run(MovePoints(epoch, draft, members))]

    def compare(self, documents: tuple[tuple[AgentName, str], ...]) -> Effect:
        compare = CompareRings if self.ctl.phase is Phase.COUNT else FinishStep
        return compare(self.ctl.epoch, self.ctl.draft, documents)

    def answered(self, effect: Effect, result: Any, now_s: float) -> list[Command]:
        self.gone_by_s = inf
        match effect:
            case PlanStep():
                return self._planned(result, now_s)
            case MovePoints():
                return self.give_out(Phase.COUNT, result, now_s, cut_at=self.next_round)
            case CompareRings() if not result:
                self.finish_by_s = now_s + FINISH_S
                return [*self.move(Phase.COMMIT, now_s), *self.work()]
            case CompareRings():
                return self._count_again(result, now_s)
            case CommitRings():
                return self.give_out(Phase.CLEAN, result, now_s, cut_at=self.next_round)
            case FinishStep():
                return self._finished(result, now_s)
            case AbortStep():
                return self._aborted(result)
            case _:
                raise AssertionError(f"unexpected effect: {effect}")

    def _count_again(self, buckets: int, now_s: float) -> list[Command]:
        tasks = {
            name: tuple(replace(task, buckets=buckets) for task in member.tasks)
            for name, member in self.members.items()
        }
        deadline_s = self.deadline_s  # of all rounds
        again = self.give_out(Phase.COUNT, tasks, now_s, cut_at=self.next_round)
        self.deadline_s = deadline_s
        return again

    def _planned(self, planned: PlannedStep, now_s: float) -> list[Command]:
        before = self._operation
        self.operation = replace(before, reached=planned.present, detail_epoch=self.ctl.epoch)
        if planned.left:
            moved = self.planned(now_s, planned.draft)
            self.operation = self.operation if moved else before
            return moved
        self.operation = replace(self.operation, detail=planned.draft)
        return self.move(Phase.IDLE, now_s)

    def _finished(self, finished: FinishedStep, now_s: float) -> list[Command]:
        """The step is over, and the next is another attempt, after whatever else waits."""
        done = replace(
            self._operation,
            detail=finished.detail,
            detail_epoch=self.ctl.epoch,
            reached=finished.present,
            attempts=0,
            failure=None,
        )
        self.operation = done
        moved, done = self.move(Phase.IDLE, now_s), self._operation
        if finished.left and done.cancelled:
            self.operation = replace(
                done, state=State.CANCELED, failure=with_number(done, CANCELLED)
            )
        elif finished.left:
            self.operation = replace(done, state=State.PENDING, turns=done.turns + 1)
        else:
            return moved
        return [Persist(self.ctl, self.operation)]

    def _aborted(self, present: int) -> list[Command]:
        self.operation = replace(self._operation, reached=present)
        failure = CANCELLED if self.operation.cancelled else self.ctl.failure
        assert failure is not None
        return self._close(failure)

    def _close(self, failure: Failure) -> list[Command]:
        """The attempt has ended, and its step is not under way: it is tried again if it may be."""
        operation = self._operation
        if failure.reason == CANCELLED.reason:
            return self.close(State.CANCELED, with_number(operation, CANCELLED))
        refused = failure.reason in PERMANENT and self.ctl.phase is Phase.PREPARE
        if not refused and operation.attempts < ATTEMPTS:  # once begun, a refusal is of the moment
            later = self.ctl.phase is not Phase.PREPARE  # it has had its turn
            self.operation = replace(operation, turns=operation.turns + later)
            return self.close(State.PENDING, failure)
        begun = operation.turns or self.ctl.phase is not Phase.PREPARE
        state = State.FAILED if begun and operation.reached else State.ABORTED
        return self.close(state, with_number(operation, failure))

    def once(self, effect: Effect) -> bool:
        """What blocks a later step may pass: a peer that has just started, a replica that grows."""
        later = isinstance(effect, PlanStep) and effect.before is not None
        return not later and super().once(effect)

    # Early ends

    def end(self, failure: Failure, now_s: float) -> list[Command]:
        cancels = failure.reason == CANCELLED.reason
        if cancels:
            self.operation = replace(self._operation, cancelled=True)
        match self.ctl.phase:
            case Phase.MOVE | Phase.COUNT:
                return self.halt(failure, AbortStep(self.ctl.epoch, self.ctl.draft), now_s)
            case Phase.ROLLBACK:
                return [Persist(operation=self.operation)] if cancels else []
            case phase if phase in _BOUND_TO_FINISH:
                return (
                    [Persist(operation=self.operation)] if cancels else self._again(failure, now_s)
                )
            case _:
                return self.abort(failure)

    def _again(self, failure: Failure, now_s: float) -> list[Command]:
        """A step that is bound to be finished is tried again from the commits, which may be
        repeated, until it takes too long."""
        if self.waiting is not None:  # it has a bound of its own
            self.start_clocks(now_s)
            return []
        gone = failure.reason == NotFound.reason
        self.gone_by_s = min(self.gone_by_s, now_s + GONE_S) if gone else inf
        if now_s >= self.gone_by_s:
            self.operation = replace(self._operation, reached=0)  # that is not known any more
            return self.close(State.FAILED, failure)
        if now_s >= self.finish_by_s:
            return self._stuck(failure)
        self.tries = 0
        members = tuple(sorted(self.members))
        self.again = CommitRings(self.ctl.epoch, self.ctl.draft, members)
        self.again_at_s = now_s + RETRY_S
        self.start_clocks(now_s)
        return []

    def _stuck(self, failure: Failure) -> list[Command]:
        said = f"the resharding cannot be finished, and must not be aborted: {failure.message}"
        hint = "remove the cause; commit_write_hash_ring, cleanup and finish_resharding are left"
        stuck = replace(failure, message=said, hint=hint)
        return self.close(State.NEEDS_OPERATOR, with_number(self._operation, stuck))

    def gave_up(self, effect: Effect, failure: Failure, now_s: float) -> list[Command]:
        if isinstance(effect, AbortStep):
            said = f"the resharding may be under way: {failure.message}"
            return self.close(State.NEEDS_OPERATOR, replace(failure, message=said))
        return self.end(failure, now_s)

    def abort(self, failure: Failure) -> list[Command]:
        return self._close(failure)
