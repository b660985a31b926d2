"""How an attempt of a restore ends early: nothing touched, or all that was made dropped again."""

from __future__ import annotations

from msgspec.structs import replace

from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.protocol.attempt import Attempt
from cleancut.core.protocol.commands import Command, Effect, Stop
from cleancut.core.protocol.effect_requests import Drain
from cleancut.core.protocol.etcd_records import Failure
from cleancut.core.protocol.events import Failed
from cleancut.core.protocol.high_water import ReadMarks
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.protocol.states import PERMANENT, OperationKind, Phase, State
from cleancut.core.protocol.votes import verify_bound_s
from cleancut.core.restore.phases import (
    ATTEMPTS,
    REFUSED_S,
    RETRY_S,
    STATE_OF,
    TRANSITIONS,
    TRIES,
    UNDOABLE,
    Create,
    MarkPublished,
    PublishRestore,
    RollBack,
    longest_bound_s,
)


class UndoableAttempt(Attempt):
    """Before CREATE it is aborted and may be repeated; from then on it is rolled back; once it is
    published, or cannot be undone, it is tried again until a person is needed."""

    kind = OperationKind.RESTORE
    transitions = TRANSITIONS
    state_of = STATE_OF

    def reset(self, now_s: float) -> None:
        super().reset(now_s)
        self.rounds = 0

    def start_clocks(self, now_s: float) -> None:
        super().start_clocks(now_s)
        if self.ctl.phase is Phase.VERIFY:
            self.deadline_s += verify_bound_s(self.members)

    def start_stall(self, now_s: float) -> None:
        """A shard that Qdrant loads moves no bytes for as long as the largest may take."""
        self.stalled_s = now_s + self.ctl.bounds.stalled_s + longest_bound_s(self.members)

    def failed(self, event: Failed, now_s: float) -> list[Command]:
        """What follows from the failure of the effect that was waited for."""
        effect, self.waiting = self.waiting, None
        assert effect is not None
        self.tries += 1
        if self._may_repeat(effect, event.failure, now_s):
            self.again, self.again_at_s = effect, now_s + RETRY_S
            return []
        if isinstance(effect, MarkPublished | PublishRestore | RollBack):
            return self.close(State.NEEDS_OPERATOR, self._unfinished(event.failure))
        return self.end(event.failure, now_s)

    def _may_repeat(self, effect: Effect, failure: Failure, now_s: float) -> bool:
        """True for what is the same when done twice: not the second drain, whose number counts."""
        permanent = failure.reason in PERMANENT
        match effect:
            case ReadMarks():
                return True  # until they are read, nothing may be done, and nothing undone
            case MarkPublished() | PublishRestore() | RollBack():
                bound_s = REFUSED_S if permanent else self.ctl.bounds.stalled_s
                return now_s - self.phase_began_s < bound_s
            case Create() | Drain(round=1):
                return not permanent and self.tries < TRIES
            case _:
                return False

    def _unfinished(self, failure: Failure) -> Failure:
        if self.ctl.phase in {Phase.SEAL, Phase.PUBLISH}:
            message = f"all shards are restored and verified, but not published: {failure.message}"
        else:
            cause = self.ctl.failure.message if self.ctl.failure else "unknown"
            message = f"a restore failed ({cause}) and cannot be undone: {failure.message}"
        return replace(failure, message=message)

    def end(self, failure: Failure, now_s: float) -> list[Command]:
        undo = self.ctl.phase in UNDOABLE
        return self.roll_back(failure, now_s) if undo else self.abort(failure)

    def roll_back(self, failure: Failure, now_s: float) -> list[Command]:
        """Drops what was made, however long it takes; the cause is kept."""
        assert self.operation is not None
        self.waiting, self.again = None, None
        self.operation = replace(self.operation, failure=failure)
        moved = self.move(Phase.ROLLBACK, now_s, failure=failure)
        return [*moved, Stop(self.ctl.epoch), self.run(RollBack(self.ctl.epoch, self.ctl.draft))]

    def abort(self, failure: Failure) -> list[Command]:
        """Ends the attempt before anything was touched. What can be repeated becomes pending
        again, as a new epoch."""
        assert self.operation is not None
        final = failure.reason in PERMANENT or failure.reason == Corrupt.reason  # it stays broken
        repeat = not final and self.operation.attempts < ATTEMPTS
        return self.close(State.PENDING if repeat else State.ABORTED, failure)

    def request(self) -> RestoreRequest:
        assert self.operation is not None
        return decode(RestoreRequest, self.operation.request.encode(), "the operation's request")
