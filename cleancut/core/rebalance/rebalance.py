"""Coordinator's machine of a rebalance: prepare, count and move, verify.

Each finished step leaves a valid cluster, so nothing is ever undone: a new leader goes on from the
cluster's state, and an early end only aborts the transfers that are under way. No I/O, no clock.
"""

from __future__ import annotations

from dataclasses import replace as with_fields
from typing import Any

from msgspec.structs import replace

from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.ids import AgentName
from cleancut.core.protocol.commands import Command, Effect
from cleancut.core.protocol.etcd_records import Failure
from cleancut.core.protocol.live_attempt import LiveAttempt
from cleancut.core.protocol.requests import RebalanceRequest
from cleancut.core.protocol.states import PERMANENT, OperationKind, Phase, State
from cleancut.core.rebalance.phases import (
    ATTEMPTS,
    STATE_OF,
    TRANSITIONS,
    AbortTransfers,
    CompareCounts,
    ComparedCounts,
    MoveShards,
    PlanRebalance,
    ReplicasToCount,
    Report,
)


class RebalanceMachine(LiveAttempt):
    """One machine per leader's term; rebuilt by `TakenOver`, started by `Started`."""

    kind = OperationKind.REBALANCE
    transitions = TRANSITIONS
    state_of = STATE_OF
    counting = frozenset({Phase.COUNT, Phase.VERIFY})
    rounds = frozenset({Phase.COUNT})
    stages = (PlanRebalance,)

    def plan(self) -> Effect:
        assert self.operation is not None
        request = decode(RebalanceRequest, self.operation.request.encode(), "the request")
        return PlanRebalance(self.ctl.epoch, self.operation.id, request)

    def work(self) -> list[Command]:
        if self.ctl.phase is Phase.ROLLBACK:
            return [self.run(AbortTransfers(self.ctl.epoch, self.ctl.draft))]
        return [self._move()]

    def compare(self, documents: tuple[tuple[AgentName, str], ...]) -> Effect:
        compare = CompareCounts if self.ctl.phase is Phase.COUNT else Report
        return compare(self.ctl.epoch, self.ctl.draft, documents)

    def answered(self, effect: Effect, result: Any, now_s: float) -> list[Command]:
        match effect:
            case PlanRebalance():
                return self.planned(now_s, result)
            case MoveShards() if isinstance(result, ReplicasToCount):
                return self.give_out(Phase.COUNT, result.tasks, now_s, cut_at=self.next_round)
            case MoveShards():
                return self.give_out(Phase.VERIFY, result, now_s)
            case CompareCounts():
                return [*self.move(Phase.MOVE, now_s), self._move(result)]
            case Report():
                assert self.operation is not None
                self.operation = replace(self.operation, detail=result)
                return self.move(Phase.IDLE, now_s)
            case AbortTransfers():
                return self.close(State.ABORTED, self.ctl.failure)
            case _:
                raise AssertionError(f"unexpected effect: {effect}")

    def _move(self, compared: ComparedCounts | None = None) -> Command:
        found = compared or ComparedCounts(())
        members = tuple(sorted(self.members))
        return self.run(
            MoveShards(self.ctl.epoch, self.ctl.draft, members, found.agreed, found.differ)
        )

    def repeated(self, effect: Effect) -> Effect:
        """What was counted is old by the next try."""
        return with_fields(effect, counted=()) if isinstance(effect, MoveShards) else effect

    # Early ends

    def gave_up(self, effect: Effect, failure: Failure, now_s: float) -> list[Command]:
        if isinstance(effect, AbortTransfers):
            message = f"a transfer may be under way: {failure.message}"
            return self.close(State.NEEDS_OPERATOR, replace(failure, message=message))
        return self.end(failure, now_s)

    def end(self, failure: Failure, now_s: float) -> list[Command]:
        match self.ctl.phase:
            case Phase.MOVE | Phase.COUNT:
                undo = AbortTransfers(self.ctl.epoch, self.ctl.draft)
                return self.halt(failure, undo, now_s)
            case Phase.VERIFY:
                return self.close(State.ABORTED, failure)
            case Phase.ROLLBACK:
                return []  # it ends by itself
            case _:
                return self.abort(failure)

    def abort(self, failure: Failure) -> list[Command]:
        """Ends the attempt before anything was moved; it is pending again if it can be repeated."""
        assert self.operation is not None
        repeat = failure.reason not in PERMANENT and self.operation.attempts < ATTEMPTS
        return self.close(State.PENDING if repeat else State.ABORTED, failure)
