"""An agent's machine in a backup: see the same, be ready, be fenced, cut, read again, upload.

It follows `ctl` and its own member record, and answers with votes. What it has cut is worth
something only under the session that it was cut under; the end of an upload may be told by a later
one, from the journal. No I/O, no clock.
"""

from __future__ import annotations

import dataclasses

from msgspec.structs import replace

from cleancut.core.backup.participant_requests import (
    Capture,
    Confirm,
    FinishCapture,
    Load,
    ReadJournal,
    SeedShards,
)
from cleancut.core.primitives.codec import digest_of
from cleancut.core.primitives.ids import FencingToken
from cleancut.core.protocol.commands import CastVote, Command, Effect, Run, Stop
from cleancut.core.protocol.effect_requests import (
    OBSERVE_EVERY_S,
    Observe,
    Observed,
    Readings,
    ReadNumbers,
)
from cleancut.core.protocol.etcd_records import Ctl, EpochMember, Failure, ShardTask, Vote
from cleancut.core.protocol.events import Done, Event, Failed, Seen, Tick
from cleancut.core.protocol.fence import Fence
from cleancut.core.protocol.states import OperationKind, Phase

_OPEN = frozenset({Phase.PREPARE, Phase.FENCE, Phase.CUT, Phase.SEAL, Phase.UPLOAD})


class BackupParticipant:
    """One machine a session. `session` is the token that all its votes carry."""

    def __init__(self, session: FencingToken) -> None:
        self.session = session
        self.ctl = Ctl()
        self._forget()

    def _forget(self) -> None:
        self._tasks: tuple[ShardTask, ...] | None = None
        self._ready = ""
        self._arrivals: int | None = None
        self._running: Effect | None = None
        self._first: Readings | None = None
        self._second: Readings | None = None
        self._fence: Fence | None = None
        self._cast: Vote | None = None
        self._look_at_s = 0.0

    def step(self, event: Event, now_s: float) -> list[Command]:
        """What to do about `event`, in order."""
        match event:
            case Seen():
                return self._seen(event)
            case Done():
                return self._done(event, now_s) if event.effect == self._running else []
            case Failed():
                return self._failed(event) if event.effect == self._running else []
            case Tick():
                return self._look(now_s)
            case _:
                raise AssertionError(f"not an agent's event: {event}")

    def _seen(self, event: Seen) -> list[Command]:
        before, self.ctl = self.ctl, event.ctl
        stop: list[Command] = []
        if before.epoch != event.ctl.epoch or event.ctl.phase not in _OPEN:
            stop = [Stop(before.epoch)] if before.phase in _OPEN else []
            self._forget()
        if (before.epoch, before.phase) == (self.ctl.epoch, self.ctl.phase):
            return [*stop, *self._given(event.member)]
        self._running = None  # what still runs was asked for in another phase
        if event.member is None:
            return stop
        sows = self.ctl.kind is OperationKind.SEED and self.ctl.phase is Phase.UPLOAD
        if event.member.session != self.session and not sows:
            return [*stop, *self._rejoin()]
        if self._cast is not None and not self._cast.yes and self._cast.failure is not None:
            return [*stop, self._no(self._cast.failure)]  # a no stays a no in its epoch
        if sows:  # it proves nothing, so whoever was restarted meanwhile just goes on
            return [
                *stop,
                self._run(SeedShards(self.ctl.epoch, event.member.tasks, self.ctl.streams)),
            ]
        match self.ctl.phase:
            case Phase.PREPARE:
                return [*stop, self._run(Observe(self.ctl.epoch, self.ctl.probe))]
            case Phase.FENCE:
                return [*stop, self._run(Confirm(self.ctl.epoch))]
            case Phase.CUT:
                return [*stop, *self._cut()]
            case Phase.SEAL:
                return [*stop, *self._seal()]
            case Phase.UPLOAD:
                return [*stop, *self._upload()]
            case _:
                return stop

    def _given(self, member: EpochMember | None) -> list[Command]:
        """Its shards were given to it in the midst of PREPARE: it gets ready for them at once."""
        if self.ctl.phase is not Phase.PREPARE or member is None or not member.assigned:
            return []
        if member.session != self.session or member.tasks == self._tasks:
            return []
        self._tasks, self._ready = member.tasks, ""
        return [self._run(Load(self.ctl.epoch, member.tasks))]

    def _rejoin(self) -> list[Command]:
        """A restarted agent has nothing to say until the uploads: its cuts died with it."""
        return [self._run(ReadJournal(self.ctl.epoch))] if self.ctl.phase is Phase.UPLOAD else []

    def _look(self, now_s: float) -> list[Command]:
        due = self.ctl.phase is Phase.PREPARE and now_s >= self._look_at_s
        if not due or self._running is not None or (self._cast and not self._cast.yes):
            return []
        return [self._run(Observe(self.ctl.epoch, self.ctl.probe))]

    # Phases

    def _observed(self, seen: Observed, now_s: float) -> list[Command]:
        self._look_at_s = now_s + OBSERVE_EVERY_S
        vote = Vote(
            session=self.session,
            yes=True,
            view=seen.view,
            view_object=seen.view_object,
            probe=seen.probe,
            free_bytes=seen.free_bytes,
            ready=self._ready,
        )
        if seen.probe != self.ctl.probe:
            message = "sees another store than the coordinator (its probe object is not there)"
            hint = "give all agents and coordinators one store; file:// must be a shared mount"
            return [self._no(Failure(reason="REFUSED", message=message, hint=hint))]
        if self._ready and self._arrivals is None:
            self._arrivals = seen.arrivals
        given = self._given(seen.member)
        if given:
            return [*self._vote(replace(vote, ready="")), *given] if self._speaks() else given
        return self._vote(vote) if self._speaks() or self._ready else []

    def _speaks(self) -> bool:
        """Whether its view is waited for before anybody has shards: the others vote once, ready."""
        return self.ctl.speaker in (0, self.session)

    def _cut(self) -> list[Command]:
        if self._tasks is None or not self._ready:
            message = "was asked to cut what it has not prepared for"
            return [self._no(Failure(reason="UNAVAILABLE", message=message))]
        return [self._run(Capture(self.ctl.epoch, self._tasks_to_cut(self._tasks)))]

    def _tasks_to_cut(self, tasks: tuple[ShardTask, ...]) -> tuple[ShardTask, ...]:
        """Without a drain, a number one above the parent's may be a write: cut it anew."""
        undrained = self.ctl.undrained
        return tuple(replace(t, parent=None) if t.index in undrained else t for t in tasks)

    def _seal(self) -> list[Command]:
        if self._first is None or self._tasks is None:
            message = "was asked to read again what it has not cut"
            return [self._no(Failure(reason="UNAVAILABLE", message=message))]
        return [self._run(ReadNumbers(self.ctl.epoch, self._tasks, self._fence))]

    def _upload(self) -> list[Command]:
        if self._tasks is None or self._first is None or self._second is None:
            return self._rejoin()
        return [self._run(FinishCapture(self.ctl.epoch, self._tasks, self._first, self._second))]

    # Answers of effects

    def _done(self, event: Done, now_s: float) -> list[Command]:
        effect, self._running = self._running, None
        match effect:
            case Observe():
                return self._observed(event.result, now_s)
            case Load():
                self._ready = digest_of(effect.tasks)
                return [self._run(Observe(self.ctl.epoch, self.ctl.probe))]
            case Confirm():
                self._fence = event.result
                return self._vote(Vote(session=self.session, yes=True, fenced=True))
            case Capture():
                self._first = self._with_known_arrivals(event.result)
                return self._vote(self._reading(self._first))
            case ReadNumbers():
                self._second = event.result
                return self._vote(self._reading(event.result))
            case FinishCapture():
                return self._vote(Vote(session=self.session, yes=True, document=event.result))
            case SeedShards():
                return self._vote(Vote(session=self.session, yes=True, seeded=event.result))
            case ReadJournal():
                return [self._recalled(event.result)]
            case _:
                raise AssertionError("an answer that nobody waits for")

    def _with_known_arrivals(self, first: Readings) -> Readings:
        """What arrived between readiness and the first reading may have done so after the drain:
        then the next operation does not move the number, and the number proves nothing."""
        known = first.arrivals == self._arrivals
        return first if known else dataclasses.replace(first, arrivals=-1)

    def _reading(self, seen: Readings) -> Vote:
        return Vote(
            session=self.session,
            yes=True,
            numbers=seen.numbers,
            states=seen.states,
            incarnation=seen.incarnation,
            arrivals=seen.arrivals,
            view=seen.view,
            fenced=seen.fenced,
        )

    def _recalled(self, document: str) -> Command:
        if document:
            return CastVote(
                self.ctl.phase.value, Vote(session=self.session, yes=True, document=document)
            )
        message = "was restarted before its shards were stored"
        return self._no(Failure(reason="UNAVAILABLE", message=message))

    def _failed(self, event: Failed) -> list[Command]:
        self._running = None
        return [self._no(event.failure)]

    def _vote(self, vote: Vote) -> list[Command]:
        """The vote, unless it is what was cast last (free bytes alone are not worth a write)."""
        if self._cast is not None and replace(vote, free_bytes=self._cast.free_bytes) == self._cast:
            return []
        self._cast = vote
        return [CastVote(self.ctl.phase.value, vote)]

    def _no(self, failure: Failure) -> CastVote:
        self._cast = Vote(session=self.session, yes=False, failure=failure)
        return CastVote(self.ctl.phase.value, self._cast)

    def _run(self, effect: Effect) -> Run:
        self._running = effect
        return Run(effect)
