"""Coordinator's machine of a backup: prepare, fence, cut, seal, upload, commit -- or abort.

`Persist` writes everything that a successor needs, so a crash at any line is just another
`TakenOver`. No I/O, no clock: time is an argument.
"""

from __future__ import annotations

import dataclasses

from msgspec.structs import replace

from cleancut.core.backup.endings import may_repeat, not_published
from cleancut.core.backup.patience import excused
from cleancut.core.backup.phases import (
    NEEDS_SESSIONS,
    PUBLISH_S,
    STATE_OF,
    TRANSITIONS,
    Assign,
    Assigned,
    Compare,
    DrainWrites,
    Publish,
    Raise,
    Stage,
    StoreCanaries,
)
from cleancut.core.backup.preparing import Preparing
from cleancut.core.backup.standstill import Search, no_standstill, read_ends
from cleancut.core.format.story import BackupStory
from cleancut.core.primitives.codec import digest_of
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.protocol import votes as protocol_votes
from cleancut.core.protocol.commands import Command, Decide, Lift, Persist, Run, Stop
from cleancut.core.protocol.effect_requests import Drain, Drained, Probe
from cleancut.core.protocol.etcd_records import Failure
from cleancut.core.protocol.events import (
    Cancelled,
    Done,
    Event,
    Failed,
    Progressed,
    Seen,
    SessionMoved,
    Started,
    TakenOver,
    Tick,
    Voted,
)
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.protocol.fence import Fence
from cleancut.core.protocol.high_water import (
    ReadMarks,
    StoreMarks,
    Takeover,
    gone_back,
    judge_takeover,
)
from cleancut.core.protocol.requests import Selection
from cleancut.core.protocol.states import CLOSED, FENCED, PERMANENT, OperationKind, Phase, State
from cleancut.core.protocol.trace import (
    CUT,
    DRAINED,
    FENCE_LIFTED,
    FENCE_RAISED,
    with_end,
    with_newest,
    work_of,
)

_OWN_WORK_S = 120.0
"""What PREPARE may take longer while the coordinator itself reads or drains many collections."""


class Barrier(Preparing):
    """One machine per leader's term; rebuilt by `TakenOver`, started by `Started`."""

    kind, transitions, state_of = OperationKind.BACKUP, TRANSITIONS, STATE_OF

    def reset(self, now_s: float) -> None:
        """Drops the state that lives in memory only."""
        super().reset(now_s)
        self._skew_ms = -1
        self._unpublished: Failure | None = None
        self._fence: Fence | None = None
        self._fence_until_s = self._fence_began_s = float("inf")
        self._fence_ms = -1
        self._search = Search()

    def selection(self) -> Selection:
        assert self.operation is not None, "no attempt without an operation"
        request = protocol_votes.backup_request(self.operation)
        return Selection(collections=request.collections, exclude=request.exclude)

    def react(self, event: Event, now_s: float) -> list[Command]:
        """The commands that follow from `event`, in order."""
        match event:
            case TakenOver():
                return self._took(event, now_s)
            case Started():
                return self._began(event, now_s)
            case _ if self.fence_is_over(now_s):
                return self._abort(protocol_votes.fence_over(self.ctl.phase, self._fence))
            case Voted():
                return self._voted(event, now_s)
            case SessionMoved():
                return self._session_moved(event)
            case Progressed():
                self.stalled_s = now_s + self.ctl.bounds.stalled_s
                return []
            case Cancelled():
                return self._cancelled()
            case Done():
                return self._done(event, now_s) if event.effect == self.waiting else []
            case Failed():
                return self._failed(event, now_s) if event.effect == self.waiting else []
            case Tick():
                return self._tick(now_s)
            case Seen():
                raise AssertionError("agents read ctl, coordinators write it")

    # Beginning and taking over

    def _began(self, event: Started, now_s: float) -> list[Command]:
        assert self.idle, "an operation began while another holds ctl"
        self.reset(now_s)
        return self.open(event) or self._abort(protocol_votes.no_agent(event.problems))

    def _took(self, event: TakenOver, now_s: float) -> list[Command]:
        self.reset(now_s)
        self.ctl, self.operation = event.ctl, event.operation
        self.members, self.votes = dict(event.members), dict(event.votes)
        self._fence = event.fence
        if self.ctl.phase in CLOSED:
            return []
        self.start_clocks(now_s)
        lift = self._lift() if self.ctl.phase in FENCED else []
        return [*lift, self.run(ReadMarks(self.ctl.epoch))]

    def _marks_read(self, marks: StoreMarks, now_s: float) -> list[Command]:
        """Goes on, unless etcd shows a past: blocks of an epoch that is over may be gone, and a
        backup that the store holds is not shown as aborted."""
        if judge_takeover(self.ctl, marks) is not Takeover.GO_ON:
            return self.close(State.NEEDS_OPERATOR, gone_back(self.ctl, marks))
        if self.ctl.phase is Phase.COMMIT:
            return [self.run(Publish(self.ctl.epoch, self.ctl.manifest))]
        if self.cancel_asked or self.ctl.phase is not Phase.UPLOAD:
            return self._abort(protocol_votes.taken_over(cancelled=self.cancel_asked))
        self.start_clocks(now_s)
        return self._uploaded(now_s)

    # Votes

    def _voted(self, event: Voted, now_s: float) -> list[Command]:
        member = self.members.get(event.agent)
        if (
            event.epoch != self.ctl.epoch
            or member is None
            or not protocol_votes.counts(event, member)
        ):
            return []
        self.votes[event.phase, event.agent] = event.vote
        if self.taking_over or event.phase != self.ctl.phase.value:
            return []
        if not event.vote.yes:
            return self._abort(protocol_votes.reported_by(event.agent, event.vote.failure))
        return self._count(now_s)

    def _count(self, now_s: float) -> list[Command]:
        match self.ctl.phase:
            case Phase.PREPARE:
                return self._prepared(now_s)
            case Phase.FENCE:
                return self._raised(now_s)
            case Phase.CUT:
                return self._cut(now_s)
            case Phase.SEAL:
                return self._sealed(now_s)
            case Phase.STANDSTILL:
                return self._looked(now_s)
            case _:
                return self._uploaded(now_s)

    # PREPARE and FENCE: agree, assign, be ready, raise the fence

    def _prepared(self, now_s: float) -> list[Command]:
        if self.waiting is not None:
            return []
        if self._draft is None:
            return self._assign(self._speakers_vote())
        votes = self.agreed()
        if votes is None:
            return []
        if votes[0].view != self._agreed_view:
            return self._assign(votes[0])
        if not protocol_votes.all_ready(self._agreed_view, self.members, self.votes):
            return []
        return self._ready(self._draft, now_s)

    def _ready(self, draft: Assigned, now_s: float) -> list[Command]:
        """All members agree and are ready for their shards; the cut waits for optimizations."""
        waits = self._await_optimizations(now_s)
        if waits is not None:
            return waits
        if draft.fence is not None and not self._can_roll():
            return self._raise(draft.fence, now_s)
        return [self.run(Drain(self.ctl.epoch, draft.draft, 1))]

    def _raise(self, fence: Fence, now_s: float) -> list[Command]:
        """The fence is persisted before it is raised, so that the next leader can lift it."""
        self._fence, self._fence_began_s = fence, now_s
        self.mark(FENCE_RAISED)
        self._fence_until_s = now_s + fence.budget_s
        persist, *_ = self.move(Phase.FENCE, now_s, fenced=True, **self._agreed_facts())
        assert isinstance(persist, Persist)
        return [
            dataclasses.replace(persist, fence=fence),
            self.run(Raise(self.ctl.epoch, fence)),
        ]

    def _raised(self, now_s: float) -> list[Command]:
        """Before the cuts, writes that began earlier are waited for; rounds find them anyway."""
        seen = protocol_votes.yes_of_all(Phase.FENCE, self.members, self.votes)
        if seen is None or self.waiting is not None:
            return []
        assert self._fence is not None, "FENCE is aborted by a takeover"
        if self.ctl.round:
            until_s = (now_s + self._fence_until_s) / 2  # the rest of the budget is for its end
            self._search = dataclasses.replace(self._search, until_s=until_s)
            return self.move(Phase.STANDSTILL, now_s, round=self.ctl.round + 1)
        return [self.run(DrainWrites(self.ctl.epoch, self._fence))]

    def _assigned(self, draft: Assigned, now_s: float) -> list[Command]:
        self._draft, self._moving = draft, None
        shards = max((len(given) for given in draft.tasks.values()), default=0)
        bounds = self.ctl.bounds
        self.deadline_s = now_s + bounds.prepare_s + bounds.per_shard_s * shards
        tasks = protocol_votes.indexed(draft.collections, draft.tasks)
        self.members = {
            name: replace(member, tasks=tasks[name], assigned=True)
            for name, member in self.members.items()
        }
        return [Persist(members=dict(self.members)), *self._prepared(now_s)]

    def _drained(self, result: Drained, now_s: float) -> list[Command]:
        facts = {"cut_at": result.at, "undrained": result.undrained}
        self.mark(DRAINED)
        if self.ctl.phase is Phase.FENCE:
            return self.move(Phase.CUT, now_s, **facts)
        if not protocol_votes.all_ready(self._agreed_view, self.members, self.votes):
            return self._prepared(now_s)  # something moved while the drain ran
        waits = self._await_optimizations(now_s)
        if waits is not None:
            return waits
        return self.move(Phase.CUT, now_s, **self._agreed_facts(), **facts)

    # CUT, SEAL and UPLOAD

    def _cut(self, now_s: float) -> list[Command]:
        if (
            protocol_votes.yes_of_all(Phase.CUT, self.members, self.votes) is None
            or self.waiting is not None
        ):
            return []
        self._skew_ms = max(1, round((now_s - self.phase_began_s) * 1000))
        self.mark(CUT)
        return [self.run(Drain(self.ctl.epoch, self.ctl.draft, 2))]

    def _sealed(self, now_s: float) -> list[Command]:
        votes = protocol_votes.yes_of_all(Phase.SEAL, self.members, self.votes)
        if votes is None or self.waiting is not None:
            return []
        assert self._draft is not None, "SEAL is aborted by a takeover"
        drained = protocol_votes.drained(self._draft.collections, self.ctl.undrained)
        failure = protocol_votes.objection(self.ctl, votes)
        if failure is not None:
            return self._abort(failure)
        required = protocol_votes.requires_instant(self.operation, fenced=self.ctl.fenced)
        found = protocol_votes.consistency(self.members, self.votes, drained)
        if found is not Consistency.POINT_IN_TIME:
            if self._can_roll():
                self._search = Search(now_s, now_s + self.ctl.bounds.standstill_s)
                return self.move(Phase.STANDSTILL, now_s, round=1)
            if required:
                failure = protocol_votes.not_point_in_time(self.members, self.votes, drained)
                return self._abort(failure)
        return self._all_read(now_s)

    def _all_read(self, now_s: float) -> list[Command]:
        """Writes are held off no longer; what was read is compared with what was planned."""
        compare = self.run(Compare(self.ctl.epoch, self.ctl.draft))
        if not self.ctl.fenced:
            return [compare]
        self._fence_ms = max(1, round((now_s - self._fence_began_s) * 1000))
        self._fence_until_s = float("inf")  # lifted now: its budget has been kept
        return [*self._lift(), compare]

    # STANDSTILL: read all logs in rounds until none has grown between two of them

    def _looked(self, now_s: float) -> list[Command]:
        votes = read_ends(self.ctl.round, self.members, self.votes)
        if votes is None or self.waiting is not None:
            return []
        search = self._search = self._search.after(votes, now_s)
        self.ctl = replace(self.ctl, **search.facts)
        if search.still:
            self.ctl = replace(self.ctl, standstill=self.ctl.round)
            return self._all_read(now_s)
        if search.lost is None and (now_s < search.until_s or search.apart_ms < 0):
            self.ctl = self.moved(Phase.STANDSTILL, round=self.ctl.round + 1)
            self.start_clocks(now_s)
            return [Persist(self.ctl)]
        fence = self._draft.fence if self._draft is not None else None
        if search.lost is None and fence is not None and not self.ctl.fenced:
            return self._raise(fence, now_s)
        return self._never_still(fence, now_s)

    def _never_still(self, fence: Fence | None, now_s: float) -> list[Command]:
        """The backup is per shard, each as its log ended last, unless it must not be, or an attempt
        that loses no log will be fenced."""
        assert self.operation is not None, "no vote counts without an operation"
        request, lost = protocol_votes.backup_request(self.operation), self._search.lost
        if self.ctl.fenced and not lost and not self._search.fenced:
            return self._abort(protocol_votes.FENCE_LOST)
        failure = lost or no_standstill(self.ctl, self.members)
        again = bool(lost and fence) and may_repeat(self.operation, request.attempts, failure)
        if again or request.require_point_in_time:
            return self._abort(failure)
        self.ctl = self._search.given_up(self.ctl, failure)
        return self._all_read(now_s)

    def _uploaded(self, _now_s: float) -> list[Command]:
        votes = protocol_votes.yes_of_all(Phase.UPLOAD, self.members, self.votes)
        if votes is None or self.waiting is not None:
            return []
        told = tuple((n, self.votes[Phase.UPLOAD.value, n].document) for n in sorted(self.members))
        seen = protocol_votes.fence_seen(self.ctl, self.members, self.votes)
        required = protocol_votes.backup_request(self.operation).require_point_in_time
        story = self._story()
        return [self.run(Stage(self.ctl.epoch, self.ctl, told, seen, required, story))]

    def _story(self) -> BackupStory:
        """The attempts so far; the present one ends with its uploads, as far as it can say."""
        operation = self.operation
        assert operation is not None, "no vote counts without an operation"
        work, at_ms = work_of(self.votes), self.at_ms
        return BackupStory(
            asked_at=operation.created_at,
            asked_by=operation.asked_by,
            attempts=operation.attempts,
            traces=with_newest(
                operation.traces,
                operation.epoch,
                lambda trace: with_end(replace(trace, work=work), None, at_ms),
            ),
        )

    # Sessions and time

    def fence_is_over(self, now_s: float) -> bool:
        """True once the fence's budget is used up."""
        return self.ctl.phase in FENCED and now_s >= self._fence_until_s

    def _session_moved(self, event: SessionMoved) -> list[Command]:
        member = self.members.get(event.agent)
        needed = self.ctl.phase in NEEDS_SESSIONS or self.opening is not None
        if member is None or member.session == event.token or self.taking_over or not needed:
            return []
        return self._abort(protocol_votes.reported_by(event.agent, protocol_votes.SESSION_LOST))

    def _tick(self, now_s: float) -> list[Command]:
        if self.again is not None:
            effect, self.again = self.again, None
            return [self.run(effect)]
        if self.ctl.phase in CLOSED or self.ctl.phase is Phase.COMMIT or self.taking_over:
            return []
        works = self.ctl.phase is Phase.PREPARE and self.waiting is not None
        if now_s >= self.deadline_s + (_OWN_WORK_S if works else 0.0):
            return self._overdue(now_s)
        if self.ctl.phase is Phase.UPLOAD and now_s >= self.stalled_s:
            return self._abort(protocol_votes.stalled(self.ctl.bounds.stalled_s))
        if self.ctl.phase is Phase.PREPARE and 0 < self._optimizing_until_s <= now_s:
            return self._prepared(now_s)
        return []

    def _cancelled(self) -> list[Command]:
        """Once it is decided, only a publication that fails can be given up; and nothing until the
        store was asked about an attempt that was taken over."""
        if self.taking_over:
            self.cancel_asked = True
            return []
        if self.ctl.phase is Phase.COMMIT and self._unpublished is not None:
            return self._give_up_publishing(self._unpublished)
        if self.ctl.phase is Phase.COMMIT or (self.ctl.phase in CLOSED and self.opening is None):
            return []
        return self._abort(protocol_votes.CANCELLED)

    # Answers of effects

    def _done(self, event: Done, now_s: float) -> list[Command]:
        effect, self.waiting = self.waiting, None
        match effect:
            case Probe():
                return self.opened(now_s)
            case ReadMarks():
                return self._marks_read(event.result, now_s)
            case Assign():
                return self._assigned(event.result, now_s)
            case Raise():
                return self._raised(now_s)
            case DrainWrites():
                return [self.run(Drain(self.ctl.epoch, self.ctl.draft, 1))]
            case Drain(round=1):
                return self._drained(event.result, now_s)
            case Drain():
                return self._drained_again(event.result, now_s)
            case Compare():
                facts = {} if self._fence_ms < 0 else {"fence_ms": self._fence_ms}
                return self.move(Phase.UPLOAD, now_s, **facts)
            case Stage():
                self.ctl = self.moved(Phase.COMMIT, manifest=event.result)
                self.start_clocks(now_s)
                voters = tuple(sorted(self.members))
                publish = Publish(self.ctl.epoch, event.result)
                return [Decide(self.ctl, Phase.UPLOAD.value, voters), self.run(publish)]
            case Publish():
                return self._published(now_s)
            case _:
                raise AssertionError("an answer to no effect")

    def _failed(self, event: Failed, now_s: float) -> list[Command]:
        effect, self.waiting = self.waiting, None
        if isinstance(effect, ReadMarks):
            if self.ctl.phase in {Phase.UPLOAD, Phase.COMMIT}:
                self.again = effect  # until they are read, nothing may be done
                return []
            return self._abort(protocol_votes.taken_over(cancelled=self.cancel_asked))
        if isinstance(effect, Publish):
            return self._publish_failed(effect, event.failure, now_s)
        if event.failure.moving:
            return self._await_moves(event.failure, now_s)
        return self._abort(event.failure)

    def _published(self, now_s: float) -> list[Command]:
        """Its traces are in the manifest now: records in etcd are read often, and stay small."""
        self.move(Phase.IDLE, now_s)
        assert self.operation is not None
        if self.kind is OperationKind.BACKUP:
            self.operation = replace(self.operation, traces=())
        return [Persist(self.ctl, self.operation)]

    def _publish_failed(self, effect: Publish, failure: Failure, now_s: float) -> list[Command]:
        """The backup is decided, so it is repeated at every tick: for as long as the store is away,
        but only for a bound if the store says that it cannot succeed."""
        hopeless = failure.reason in PERMANENT or failure.reason == Corrupt.reason
        if hopeless and now_s - self.phase_began_s >= PUBLISH_S:
            return self._give_up_publishing(failure)
        self.again = effect
        told, self._unpublished = self._unpublished, failure
        if self.operation is None or (told is not None and told.message == failure.message):
            return []
        self.operation = replace(self.operation, state=State.COMMITTING, failure=failure)
        return [Persist(operation=self.operation)]

    def _give_up_publishing(self, failure: Failure) -> list[Command]:
        """Frees `ctl`. What is decided stays so: a sweep publishes it once the store takes it."""
        return self.close(State.NEEDS_OPERATOR, not_published(failure))

    def _drained_again(self, result: Drained, now_s: float) -> list[Command]:
        self.mark(DRAINED)
        undrained = tuple(sorted({*self.ctl.undrained, *result.undrained}))
        canaries, facts = result.canaries, {"undrained": undrained, "skew_ms": self._skew_ms}
        if canaries is None:
            return self.move(Phase.SEAL, now_s, **facts)
        keep = Run(StoreCanaries(self.ctl.epoch, canaries))  # not waited for: a store may be slow
        return [*self.move(Phase.SEAL, now_s, canaries=digest_of(canaries), **facts), keep]

    # Writing

    def _abort(self, failure: Failure) -> list[Command]:
        """Ends the attempt. A failure that can be repeated makes the operation pending again, as a
        new epoch."""
        assert self.operation is not None
        waits = excused(self.operation, self.request(), failure, self._attendance)
        self.operation = waits or replace(self.operation, awaited=None)
        again = waits is not None or may_repeat(self.operation, self.request().attempts, failure)
        known = self.operation.unusable
        found = tuple(one for one in failure.unusable if one not in known)
        self.operation = replace(self.operation, unusable=(*known, *found))
        lift = self._lift() if self.ctl.phase in FENCED else []
        commands = self.close(State.PENDING if again else State.ABORTED, failure)
        # An effect that still raises the fence is stopped first; then it is lifted, then written.
        return [Stop(self.ctl.epoch), *lift, *commands] if lift else commands

    def _lift(self) -> list[Command]:
        if self._fence is None:
            return []
        self.mark(FENCE_LIFTED)
        return [Lift(self._fence)]
