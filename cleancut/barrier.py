"""The coordinator's machine of a backup: prepare, cut, seal, upload, commit -- or abort.

Everything a successor needs is in what `Persist` wrote, so a crash at any line is just another
`Took`. No I/O, no clock: time is an argument.
"""

from __future__ import annotations

from msgspec.structs import replace

from cleancut import tally
from cleancut.attempt import Attempt
from cleancut.errors import Refused
from cleancut.phases import (
    CLOSED,
    NEEDS_SESSIONS,
    PERMANENT,
    STATE_OF,
    TRANSITIONS,
    Assign,
    Assigned,
    Drain,
    Drained,
    Keep,
    Probe,
    Publish,
    Stage,
)
from cleancut.records import Failure, Kind, Phase, State, digest_of
from cleancut.steps import (
    Began,
    Cancelled,
    Command,
    Decide,
    Done,
    Event,
    Failed,
    Persist,
    Progressed,
    Run,
    Seen,
    SessionMoved,
    Tick,
    Took,
    Voted,
)


class Barrier(Attempt):
    """One machine a leader's term; rebuilt by `Took`, started by `Began`."""

    kind, transitions, state_of = Kind.BACKUP, TRANSITIONS, STATE_OF

    def _forget(self, now_s: float) -> None:
        self.reset(now_s)
        self._draft: Assigned | None = None
        self._agreed_view = ""
        self._skew_ms = -1

    def step(self, event: Event, now_s: float) -> list[Command]:
        """What to do about `event`, in order."""
        match event:
            case Took():
                return self._took(event, now_s)
            case Began():
                return self._began(event, now_s)
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
                return self._failed(event) if event.effect == self.waiting else []
            case Tick():
                return self._tick(now_s)
            case Seen():
                raise AssertionError("agents read ctl, coordinators write it")

    # Beginning and taking over

    def _began(self, event: Began, now_s: float) -> list[Command]:
        assert self.idle, "an operation began while another holds ctl"
        self._forget(now_s)
        return self.open(event) or self._abort(tally.NO_AGENT)

    def _took(self, event: Took, now_s: float) -> list[Command]:
        self._forget(now_s)
        self.ctl, self.operation = event.ctl, event.operation
        self.members, self.votes = dict(event.members), dict(event.votes)
        match self.ctl.phase:
            case Phase.PREPARE | Phase.FENCE | Phase.CUT | Phase.SEAL:
                return self._abort(tally.LEADER_CHANGED)
            case Phase.UPLOAD:
                self.start_clocks(now_s)
                return self._uploaded()
            case Phase.COMMIT:
                return [self.run(Publish(self.ctl.epoch, self.ctl.manifest))]
            case _:
                return []

    # Votes

    def _voted(self, event: Voted, now_s: float) -> list[Command]:
        member = self.members.get(event.agent)
        if event.epoch != self.ctl.epoch or member is None or not tally.counts(event, member):
            return []
        self.votes[event.phase, event.agent] = event.vote
        if event.phase != self.ctl.phase.value:
            return []
        if not event.vote.yes:
            return self._abort(tally.told_by(event.agent, event.vote.failure))
        return self._count(now_s)

    def _count(self, now_s: float) -> list[Command]:
        match self.ctl.phase:
            case Phase.PREPARE:
                return self._prepared()
            case Phase.CUT:
                return self._cut(now_s)
            case Phase.SEAL:
                return self._sealed(now_s)
            case _:
                return self._uploaded()

    def _prepared(self) -> list[Command]:
        votes = self.agreed()
        if votes is None or self.waiting is not None:
            return []
        if self._draft is None or votes[0].view != self._agreed_view:
            self._agreed_view = votes[0].view
            names, ctl = tuple(sorted(self.members)), self.ctl
            request, view_object = tally.backup_request(self.operation), votes[0].view_object
            return [self.run(Assign(ctl.epoch, ctl.operation, view_object, names, request))]
        if not tally.all_ready(self._agreed_view, self.members, self.votes):
            return []
        return [self.run(Drain(self.ctl.epoch, self._draft.draft, 1))]

    def _cut(self, now_s: float) -> list[Command]:
        if (
            tally.yes_of_all(Phase.CUT, self.members, self.votes) is None
            or self.waiting is not None
        ):
            return []
        self._skew_ms = max(1, round((now_s - self.phase_began_s) * 1000))
        return [self.run(Drain(self.ctl.epoch, self.ctl.draft, 2))]

    def _sealed(self, now_s: float) -> list[Command]:
        votes = tally.yes_of_all(Phase.SEAL, self.members, self.votes)
        if votes is None:
            return []
        if {vote.view for vote in votes} != {self.ctl.views}:
            return self._abort(tally.VIEW_CHANGED)
        assert self._draft is not None, "SEAL is aborted by a takeover"
        drained = tally.drained(self._draft.collections, self.ctl.undrained)
        grade = tally.grade(self.members, self.votes, drained)
        if tally.backup_request(self.operation).require_proven and grade == "bounded":
            return self._abort(tally.NOT_PROVEN)
        return self.move(Phase.UPLOAD, now_s)

    def _uploaded(self) -> list[Command]:
        votes = tally.yes_of_all(Phase.UPLOAD, self.members, self.votes)
        if votes is None or self.waiting is not None:
            return []
        documents = {name: self.votes[Phase.UPLOAD.value, name].document for name in self.members}
        return [self.run(Stage(self.ctl.epoch, self.ctl, tuple(sorted(documents.items()))))]

    # Sessions and time

    def _session_moved(self, event: SessionMoved) -> list[Command]:
        member = self.members.get(event.agent)
        needed = self.ctl.phase in NEEDS_SESSIONS or self.opening is not None
        if member is None or member.session == event.token or not needed:
            return []
        return self._abort(tally.told_by(event.agent, tally.SESSION_LOST))

    def _tick(self, now_s: float) -> list[Command]:
        if self.again is not None:
            effect, self.again = self.again, None
            return [self.run(effect)]
        if self.ctl.phase in CLOSED or self.ctl.phase is Phase.COMMIT:
            return []
        if now_s >= self.deadline_s:
            return self._abort(tally.overdue(self.ctl.phase, self.members, self.votes))
        if self.ctl.phase is Phase.UPLOAD and now_s >= self.stalled_s:
            return self._abort(tally.stalled(self.ctl.bounds.stalled_s))
        return []

    def _cancelled(self) -> list[Command]:
        if self.ctl.phase is Phase.COMMIT or (self.ctl.phase in CLOSED and self.opening is None):
            return []
        return self._abort(tally.CANCELLED)

    # Answers of effects

    def _done(self, event: Done, now_s: float) -> list[Command]:
        effect, self.waiting = self.waiting, None
        match effect:
            case Probe():
                return self.opened(now_s)
            case Assign():
                return self._assigned(event.result)
            case Drain(round=1):
                return self._drained(event.result, now_s)
            case Drain():
                return self._drained_again(event.result, now_s)
            case Stage():
                self.ctl = self.moved(Phase.COMMIT, manifest=event.result)
                voters = tuple(sorted(self.members))
                publish = Publish(self.ctl.epoch, event.result)
                return [Decide(self.ctl, Phase.UPLOAD.value, voters), self.run(publish)]
            case Publish():
                return self.move(Phase.IDLE, now_s)
            case _:
                raise AssertionError("an answer that nobody waits for")

    def _failed(self, event: Failed) -> list[Command]:
        effect, self.waiting = self.waiting, None
        if isinstance(effect, Publish):
            self.again = effect  # the group is decided: repeated at every tick until it is done
            return []
        return self._abort(event.failure)

    def _assigned(self, draft: Assigned) -> list[Command]:
        self._draft = draft
        tasks = tally.indexed(draft.collections, draft.tasks)
        self.members = {
            name: replace(member, tasks=tasks[name], assigned=True)
            for name, member in self.members.items()
        }
        return [Persist(members=dict(self.members)), *self._prepared()]

    def _drained(self, result: Drained, now_s: float) -> list[Command]:
        ready = tally.all_ready(self._agreed_view, self.members, self.votes)
        if self._draft is None or not ready:
            return self._prepared()  # something moved while the drain ran
        return self.move(
            Phase.CUT,
            now_s,
            cut_at=result.at,
            draft=self._draft.draft,
            views=self._agreed_view,
            undrained=result.undrained,
            assigned=digest_of({str(name): m.tasks for name, m in self.members.items()}),
        )

    def _drained_again(self, result: Drained, now_s: float) -> list[Command]:
        undrained = tuple(sorted({*self.ctl.undrained, *result.undrained}))
        canaries, facts = result.canaries, {"undrained": undrained, "skew_ms": self._skew_ms}
        if canaries is None:
            return self.move(Phase.SEAL, now_s, **facts)
        keep = Run(Keep(self.ctl.epoch, canaries))  # not waited for: a store may be slow
        return [*self.move(Phase.SEAL, now_s, canaries=digest_of(canaries), **facts), keep]

    # Writing

    def _abort(self, failure: Failure) -> list[Command]:
        """Ends the attempt. What can be repeated becomes pending again, as a new epoch. A refusal
        is final in the first one only: later, an agent may be on its way back."""
        assert self.operation is not None
        attempts = self.operation.attempts
        final = failure.reason in PERMANENT and not (
            failure.reason == Refused.reason and attempts > 1
        )
        again = not final and attempts < tally.backup_request(self.operation).attempts
        return self.close(State.PENDING if again else State.ABORTED, failure)
